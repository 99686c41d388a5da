//! Reloads of listeners and certificates.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

use crate::support::backend::Backend;
use crate::support::certificates::Authority;
use crate::support::client::{self, Client, message};
use crate::support::eventually;
use crate::support::frames::{
    DATA, END_STREAM, Frames, GOAWAY, HEADERS, SETTINGS, message as framed,
};
use crate::support::gateway::{Gateway, one_service};
use crate::support::process::Process;

/// `yaml` with these lines as its listeners.
fn listening(yaml: &str, listeners: &[&str]) -> String {
    let rows: String = listeners.iter().map(|row| format!("  - {row}\n")).collect();
    let at = "listeners: [ { address: 127.0.0.1:0 } ]\n";
    yaml.replace(at, &format!("listeners:\n{rows}"))
}

#[tokio::test]
async fn listeners_come_and_go_and_their_connections_finish() {
    let backend = Backend::start().await;
    let yaml = one_service(&[backend.address], "");
    let (one, other) = ("{ address: 127.0.0.1:0 }", "{ address: \"[::1]:0\" }");
    let mut gateway = Gateway::start(&listening(&yaml, &[one])).await;
    let first = gateway.front();
    assert!(gateway.reload(&listening(&yaml, &[one, other])).await);
    let second = gateway.fronts()[1];
    assert_eq!(gateway.front(), first, "it is the same socket");
    client::connect(second).await.unary(message("x")).await.unwrap();

    let mut frames = Frames::connect(first, &[]).await;
    frames.grpc(1, 0, "/echo.Echo/Unary", &[("x-hold", "1")]).await;
    frames.send(DATA, END_STREAM, 1, &framed(b"")).await;
    eventually("it is there", async || backend.seen.active() == 1).await;
    let mut stays = client::connect(second).await;
    assert!(gateway.reload(&listening(&yaml, &[other])).await);
    assert_eq!(gateway.fronts(), [second]);
    eventually("nobody listens", async || TcpStream::connect(first).await.is_err()).await;
    let goaway = frames.find(|frame| frame.kind == GOAWAY).await;
    assert_eq!(&goaway.payload[4..8], &[0; 4], "it is asked to go, in good order");
    backend.release();
    frames.find(|frame| frame.is(HEADERS, END_STREAM) && frame.stream == 1).await;
    stays.unary(message("x")).await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_taken_changes_nothing() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = format!("{{ address: {} }}", taken.local_addr().unwrap());
    let one = "{ address: 127.0.0.1:0 }";
    let mut gateway = Gateway::to(&[a.address]).await;
    let first = gateway.front();
    let mut client = gateway.client().await;
    for listeners in [&[&*taken][..], &[one, &taken], &[&taken, one]] {
        let yaml = listening(&one_service(&[b.address], ""), listeners);
        assert!(!gateway.reload(&yaml).await);
        assert_eq!(gateway.fronts(), [first]);
        for client in [&mut client, &mut client::connect(first).await] {
            let answer = client.unary(message("x")).await.unwrap();
            assert_eq!(client::backend(&answer), a.address);
        }
    }
    let errors = [("result", "error")];
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_config_reloads_total", &errors), 3.0);
}

/// These addresses, all with this port, as the rows of `listeners`.
fn at(ips: &[&str], port: u16) -> Vec<String> {
    ips.iter().map(|ip| format!("{{ address: \"{ip}:{port}\" }}")).collect()
}

fn on(yaml: &str, ips: &[&str], port: u16) -> String {
    let rows = at(ips, port);
    listening(yaml, &rows.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn answers(ip: &str, port: u16) -> bool {
    let address: SocketAddr = format!("{ip}:{port}").parse().unwrap();
    if TcpStream::connect(address).await.is_err() {
        return false;
    }
    client::connect(address).await.unary(message("x")).await.is_ok()
}

#[tokio::test]
async fn one_port_is_listened_on_for_both_families() {
    let backend = Backend::start().await;
    let yaml = one_service(&[backend.address], "");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut gateway = Gateway::start(&on(&yaml, &["0.0.0.0", "[::]"], free)).await;
    for (ips, v4, v6) in [
        (&["0.0.0.0", "[::]"][..], true, true),
        (&["[::]"], true, true),
        (&["[::]", "0.0.0.0"], true, true),
        (&["0.0.0.0"], true, false),
        (&["[::]"], true, true),
        (&["[::1]", "0.0.0.0"], true, true),
        (&["[::1]"], false, true),
        (&["[::]"], true, true),
        (&["127.0.0.1"], true, false),
    ] {
        assert!(gateway.reload(&on(&yaml, ips, free)).await, "{ips:?}");
        for (ip, taken) in [("127.0.0.1", v4), ("[::1]", v6)] {
            let what = format!("{ip} with {ips:?}");
            eventually(&what, async || answers(ip, free).await == taken).await;
        }
    }
}

#[tokio::test]
async fn an_address_takes_over_from_another_and_no_client_is_let_down() {
    let backend = Backend::start().await;
    let yaml = one_service(&[backend.address], "");
    let mut gateway = Gateway::to(&[backend.address]).await;
    let front = gateway.front();
    let mut frames = Frames::connect(front, &[]).await;
    frames.grpc(1, 0, "/echo.Echo/Unary", &[("x-hold", "1")]).await;
    frames.send(DATA, END_STREAM, 1, &framed(b"")).await;
    eventually("it is there", async || backend.seen.active() == 1).await;

    let held = tokio::spawn(async move {
        let goaway = frames.find(|frame| frame.kind == GOAWAY).await;
        assert_eq!(&goaway.payload[4..8], &[0; 4], "it is asked to go, in good order");
        frames.find(|frame| frame.is(HEADERS, END_STREAM) && frame.stream == 1).await;
    });

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let come = |_| {
        let stopped = stopped.clone();
        tokio::spawn(async move {
            while !*stopped.borrow() {
                let mut frames = Frames::connect(front, &[]).await;
                frames.find(|frame| frame.kind == SETTINGS).await;
            }
        })
    };
    let coming: Vec<_> = (0..4).map(come).collect();
    for _ in 0..3 {
        for ips in [&["0.0.0.0"][..], &["[::]"], &["0.0.0.0", "[::]"], &["127.0.0.1"]] {
            assert!(gateway.reload(&on(&yaml, ips, front.port())).await, "{ips:?}");
            assert!(answers("127.0.0.1", front.port()).await, "{ips:?}");
        }
    }
    stop.send(true).unwrap();
    for coming in coming {
        coming.await.expect("every connection is served");
    }
    backend.release();
    held.await.expect("the stream that began before has its answer");
}

/// Whether another program can listen on this port too.
fn can_be_shared(port: u16) -> bool {
    let address = SocketAddr::from(([0, 0, 0, 0], port));
    let other = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    other.set_reuse_address(true).unwrap();
    match other.bind(&address.into()) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            false
        }
    }
}

#[tokio::test]
async fn a_take_over_that_fails_changes_nothing() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let mut gateway = Gateway::to(&[a.address]).await;
    let front = gateway.front();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = format!("{{ address: {} }}", taken.local_addr().unwrap());
    let own = at(&["0.0.0.0"], gateway.control_address().port());
    let wide = at(&["[::]"], front.port());
    for listeners in [[&*wide[0], &*taken], [&*taken, &*wide[0]], [&*wide[0], &*own[0]]] {
        let yaml = listening(&one_service(&[b.address], ""), &listeners);
        assert!(!gateway.reload(&yaml).await);
        assert_eq!(gateway.fronts(), [front]);
        assert!(!can_be_shared(front.port()));
        let answer = client::connect(front).await.unary(message("x")).await.unwrap();
        assert_eq!(client::backend(&answer), a.address);
    }
    assert!(gateway.reload(&on(&one_service(&[b.address], ""), &["0.0.0.0"], front.port())).await);
    assert!(!can_be_shared(front.port()));
    let answer = client::connect(front).await.unary(message("x")).await.unwrap();
    assert_eq!(client::backend(&answer), b.address);
}

#[tokio::test]
async fn new_connections_get_the_new_limits() {
    let backend = Backend::start().await;
    let yaml = one_service(&[backend.address], "");
    let limited = |bytes: &str| {
        let row = format!("{{ address: 127.0.0.1:0, limits: {{ max_frame_size: {bytes} }} }}");
        listening(&yaml, &[&row])
    };
    let mut gateway = Gateway::start(&limited("16KiB")).await;
    let mut before = gateway.client().await;
    // Larger frames than the workers' initial limit.
    assert!(gateway.reload(&limited("1MiB")).await);
    let mut after = gateway.client().await;
    for client in [&mut before, &mut after] {
        let answer = client.unary(message(vec![7; 3 << 20])).await.unwrap();
        assert_eq!(answer.into_inner().payload.len(), 3 << 20);
    }
}

async fn trusting(gateway: &Process, ca: Certificate) -> Result<Client, tonic::transport::Error> {
    let tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("gateway.test");
    let endpoint = Channel::from_shared(format!("https://{}", gateway.front)).unwrap();
    Ok(Client::new(endpoint.tls_config(tls)?.connect().await?))
}

/// Installs the certificate and key of `from` where the gateway reads them.
fn install(from: &Authority, at: &Path) {
    for name in ["server.pem", "server.key"] {
        let new = at.join(format!("{name}.new"));
        std::fs::copy(from.folder().join(name), &new).unwrap();
        std::fs::rename(new, at.join(name)).unwrap();
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections() {
    let backend = Backend::start().await;
    let (old, new) = (Authority::new(), Authority::new());
    for authority in [&old, &new] {
        authority.issue("server", "gateway.test");
    }
    let folder = tempfile::tempdir().unwrap();
    install(&old, folder.path());
    let tls = "{ address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key } }";
    let yaml = listening(&one_service(&[backend.address], ""), &[tls]);
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, format!("{yaml}log: {{ format: json }}\n")).unwrap();
    let gateway = Process::with(&file).await;
    let mut before = trusting(&gateway, old.certificate()).await.unwrap();
    before.unary(message("x")).await.unwrap();
    assert!(trusting(&gateway, new.certificate()).await.is_err());

    install(&new, folder.path());
    eventually("the new one is shown", async || {
        trusting(&gateway, new.certificate()).await.is_ok()
    })
    .await;
    assert!(trusting(&gateway, old.certificate()).await.is_err());
    before.unary(message("on the old connection")).await.unwrap();
}

#[tokio::test]
async fn backends_get_the_renewed_certificate_too() {
    let (old, new) = (Authority::new(), Authority::new());
    let backend = |authority: &Authority| {
        let identity = authority.issue("backend", "backend.test");
        let tls = tonic::transport::ServerTlsConfig::new().identity(identity);
        crate::support::backend::Options { tls: Some(tls), ..Default::default() }
    };
    let [a, b] = [Backend::with(backend(&old)).await, Backend::with(backend(&new)).await];
    let folder = tempfile::tempdir().unwrap();
    let trust = |authority: &Authority| {
        std::fs::copy(authority.folder().join("ca.pem"), folder.path().join("ca.pem")).unwrap();
    };
    let yaml = |backend: &Backend| {
        let tls = "tls: { ca: ca.pem, server_name: backend.test }\npending_timeout: 5s";
        one_service(&[backend.address], tls)
    };
    trust(&old);
    let mut gateway = Gateway::start_in(&yaml(&a), folder.path()).await;
    let mut client = gateway.client().await;
    client.unary(message("x")).await.unwrap();
    // The same configuration; another authority behind the name.
    trust(&new);
    assert!(gateway.reload_in(&yaml(&b), folder.path()).await);
    let answer = client.unary(message("x")).await.unwrap();
    assert_eq!(client::backend(&answer), b.address);
    assert!(gateway.reload_in(&yaml(&a), folder.path()).await);
    client.unary(message("x")).await.unwrap_err();
    trust(&old);
    assert!(gateway.reload_in(&yaml(&a), folder.path()).await);
    client.unary(message("x")).await.unwrap();
}
