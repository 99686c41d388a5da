//! No request of a client comes to the gateway's own control API and metrics, whatever names them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

use equipoise::control::proto;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::dns::NameServer;
use crate::support::gateway::{Control, Gateway};
use crate::support::{eventually, http1};

const GET: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// A gateway whose metrics are at `metrics`, a server for names, and a service with these keys.
fn yaml(metrics: &str, server: &NameServer, services: &str, route: &str) -> String {
    format!(
        "workers: 1\nlisteners: [ 127.0.0.1:0 ]\ncontrol: 127.0.0.1:0\nmetrics: '{metrics}'\n\
         dns: {{ servers: [ \"{}\" ] }}\nservices:\n{services}routes: [ {route} ]\n",
        server.address
    )
}

fn own(endpoints: &str) -> String {
    format!("  own: {{ protocol: http1, pending_timeout: 200ms, {endpoints} }}\n")
}

async fn status(front: SocketAddr) -> String {
    let answer = http1::exchange(front, GET).await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// A backend at this address that answers everything with 204.
async fn backend(address: SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        }
    });
}

/// An address of an interface other than loopback, if there is one.
fn interface() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

#[tokio::test]
async fn by_file_by_name_by_reload_by_an_address_of_an_interface() {
    let server = NameServer::start().await;
    server.set("inside.test", &["127.0.0.9"]);
    let nobody = own("endpoints: [ '127.0.0.1:1' ]");
    let mut gateway = Gateway::start(&yaml("0.0.0.0:0", &server, &nobody, "own")).await;
    let port = gateway.metrics_address().port();
    server.set_hosts("_own._tcp.test", &[(1, 1, port, "inside.test")]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backends.yaml");
    std::fs::write(&file, format!("[ '127.0.0.1:{port}', '127.8.8.8:{port}' ]")).unwrap();
    let mut ways = vec![
        own(&format!("endpoints: [ '127.0.0.1:{port}' ]")),
        own(&format!("endpoints: [ '127.0.0.2:{port}' ]")),
        own(&format!("endpoints: [ '[::ffff:127.0.0.3]:{port}' ]")),
        own(&format!("endpoints: [ '0.0.0.0:{port}' ]")),
        own(&format!("endpoints: [ 'localhost:{port}' ]")),
        own(&format!("endpoints: [ 'inside.test:{port}' ]")),
        own(&format!("discover: {{ file: {} }}", file.display())),
        own("discover: { dns: { srv: [ _own._tcp.test ] } }"),
    ];
    if let Some(ip) = interface() {
        ways.push(own(&format!("endpoints: [ '{}' ]", SocketAddr::new(ip, port))));
    }
    for way in ways {
        assert!(gateway.reload(&yaml("0.0.0.0:0", &server, &way, "own")).await, "{way}");
        assert_eq!(status(gateway.front()).await, "503", "{way}");
    }
}

#[tokio::test]
async fn by_a_name_that_becomes_one_of_them() {
    let server = NameServer::start().await;
    server.set("turns.test", &["127.0.0.2"]);
    let nobody = own("endpoints: [ '127.0.0.1:1' ]");
    let mut gateway = Gateway::start(&yaml("127.0.0.1:0", &server, &nobody, "own")).await;
    let port = gateway.metrics_address().port();
    backend(SocketAddr::new([127, 0, 0, 2].into(), port)).await;
    let named = own(&format!("endpoints: [ 'turns.test:{port}' ]"));
    assert!(gateway.reload(&yaml("127.0.0.1:0", &server, &named, "own")).await);
    assert_eq!(status(gateway.front()).await, "204", "it is not this gateway's yet");
    server.set("turns.test", &["127.0.0.1"]);
    // 200 would be the gateway's own health.
    eventually("it turns", async || match &*status(gateway.front()).await {
        "204" => false,
        other => {
            assert_eq!(other, "503");
            true
        }
    })
    .await;
}

#[tokio::test]
async fn by_probes_and_mirrors() {
    let server = NameServer::start().await;
    let folder = Path::new("");
    let nobody = own("endpoints: [ '127.0.0.1:1' ]");
    let mut gateway = Gateway::start(&yaml("127.0.0.1:0", &server, &nobody, "own")).await;
    let port = gateway.metrics_address().port();
    let probed = own(&format!(
        "endpoints: [ '127.0.0.1:{port}' ], \
         health: {{ http: {{ path: /healthz }}, interval: 1s, rise: 1, fall: 1 }}"
    ));
    assert!(gateway.reload_in(&yaml("127.0.0.1:0", &server, &probed, "own"), folder).await);
    eventually("the probe fails", async || {
        let page = gateway.metrics().await;
        let checks = page.samples("equipoise_health_checks_total");
        let of = |result: &str| {
            let of = checks.iter().filter(|check| check.labels["result"] == result);
            of.map(|check| check.value).sum::<f64>()
        };
        assert_eq!(of("success"), 0.0);
        of("failure") > 0.0
    })
    .await;
    let shadow = [127, 0, 0, 2].into();
    backend(SocketAddr::new(shadow, port)).await;
    let services = own(&format!("endpoints: [ '127.0.0.1:{port}' ]"))
        + &format!("  real: {{ protocol: http1, endpoints: [ '{shadow}:{port}' ] }}\n");
    let route = "{ service: real, mirror: { service: own } }";
    assert!(gateway.reload(&yaml("127.0.0.1:0", &server, &services, route)).await);
    assert_eq!(status(gateway.front()).await, "204");
    eventually("the copy has failed", async || {
        let page = gateway.metrics().await;
        let copies = page.samples("equipoise_mirrored_total");
        assert!(copies.iter().all(|copy| copy.labels["result"] != "answered" || copy.value == 0.0));
        copies.iter().any(|copy| copy.value > 0.0)
    })
    .await;
}

#[tokio::test]
async fn by_what_an_operator_adds() {
    let server = NameServer::start().await;
    server.set("inside.test", &["127.0.0.9"]);
    let yaml = yaml("127.0.0.1:0", &server, "  echo: { endpoints: [ '127.0.0.1:1' ] }\n", "echo");
    let gateway = Gateway::start(&yaml).await;
    let port = gateway.control_address().port();
    let mut control = gateway.control().await;
    control.remove(&["127.0.0.1:1".parse().unwrap()]).await;
    for own in [
        format!("127.0.0.1:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("[::ffff:7f00:1]:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::]:{port}"),
        format!("localhost:{port}"),
        format!("LOCALHOST.:{port}"),
    ] {
        control.add_at(&own).await;
        let mut through = Control::connect(gateway.front()).await;
        let refused = through.0.list_services(proto::ListServicesRequest {}).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable, "{own}: {refused:?}");
        let added = control.backends().await;
        let names: Vec<_> = added.into_iter().map(|backend| backend.address).collect();
        control.remove_at(&names).await;
    }
}

#[tokio::test]
async fn a_request_does_not_come_back_to_go_round() {
    let server = NameServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backends.yaml");
    std::fs::write(&file, "[]").unwrap();
    let listed = format!(
        "discover: {{ file: {{ path: {} }}, keep_empty_for: 0s }}, retry_budget: {{ ratio: 0.1 }}",
        file.display()
    );
    let yaml = yaml("127.0.0.1:0", &server, &own(&listed), "own");
    let mut gateway = Gateway::start(&yaml).await;
    let accepted = async |gateway: &Gateway| {
        let page = gateway.metrics().await;
        page.samples("equipoise_accepted_total").iter().map(|sample| sample.value).sum::<f64>()
    };
    let mut sent = 0.0;
    let port = gateway.front().port();
    for place in [gateway.front().to_string(), format!("localhost:{port}")] {
        std::fs::write(&file, format!("[ '{place}' ]")).unwrap();
        let mut control = gateway.control().await;
        eventually("it is listed", async || {
            let request = proto::GetServiceRequest { service: "own".into(), since_revision: None };
            let seen = control.0.get_service(request).await.unwrap().into_inner().backends;
            seen.iter().any(|backend| backend.address == place)
        })
        .await;
        assert_eq!(status(gateway.front()).await, "503", "{place}");
        sent += 1.0;
        assert_eq!(accepted(&gateway).await, sent, "{place}");
    }
    // A listener that a reload brings is one of them too.
    let socket = folder.path().join("client.sock").display().to_string();
    let more = format!("listeners: [ 127.0.0.1:0, 'unix:{socket}' ]");
    let at_socket = own(&format!("endpoints: [ 'unix:{socket}' ]"));
    let more = yaml.replace("listeners: [ 127.0.0.1:0 ]", &more);
    assert!(gateway.reload(&more.replace(&own(&listed), &at_socket)).await);
    assert_eq!(status(gateway.front()).await, "503");
    assert_eq!(accepted(&gateway).await, sent + 1.0);
}
