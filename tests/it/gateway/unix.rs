//! Unix sockets: backends at them, and clients.

mod listeners;
mod operators;

use std::fmt::Write as _;
use std::path::Path;

use equipoise::control::proto::BackendState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tonic::Code;
use tonic::transport::ServerTlsConfig;

use crate::support::backend::at_socket;
use crate::support::certificates::Authority;
use crate::support::client::message;
use crate::support::eventually;
use crate::support::gateway::{Gateway, PORTS};
use crate::support::http1::exchange;

/// A configuration whose service has the backends at these paths of `folder`.
fn at(folder: &Path, names: &[&str], settings: &str) -> String {
    let mut yaml = format!("{PORTS}services:\n  echo:\n{settings}    endpoints:\n");
    for name in names {
        let _ = writeln!(yaml, "      - unix:{}", folder.join(name).display());
    }
    yaml + "routes: [ echo ]\n"
}

/// The socket that `answer` is from, within its folder.
fn name<T>(answer: &tonic::Response<T>) -> String {
    let backend = answer.metadata().get("x-backend").unwrap().to_str().unwrap();
    assert!(backend.starts_with("unix:/"), "{backend}");
    backend.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn backends_may_be_at_sockets_whose_names_care_for_case() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = ["a.sock", "A.sock"].map(|name| at_socket(&folder.path().join(name), None));
    let gateway = Gateway::start(&at(folder.path(), &["a.sock", "A.sock"], "")).await;
    let mut client = gateway.client().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        seen.insert(name(&client.unary(message("x")).await.unwrap()));
    }
    assert_eq!(Vec::from_iter(seen), ["A.sock", "a.sock"]);
    let large = vec![7; 3 << 20];
    let parts = tokio_stream::iter((0..5).map(move |_| message(large.clone())));
    let mut answers = client.bidi(parts).await.unwrap().into_inner();
    for _ in 0..5 {
        assert_eq!(answers.message().await.unwrap().unwrap().payload.len(), 3 << 20);
    }
    // Operators and metrics name them as the file does, and however they are written.
    let known = gateway.control().await.backends().await;
    let address = format!("unix:{}", folder.path().join("a.sock").display());
    assert!(known.iter().any(|backend| backend.address == address), "{known:?}");
    let page = gateway.metrics().await;
    let up = page.samples("equipoise_backend_up");
    assert_eq!(up.len(), 2);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_backend_that_comes_back_to_its_socket_is_served_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.sock");
    let gateway = Gateway::start(&at(folder.path(), &["orders.sock"], "")).await;
    let mut client = gateway.client().await;
    let refused = client.unary(message("x")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let back = async |client: &mut crate::support::client::Client| {
        eventually("it is served", async || client.unary(message("x")).await.is_ok()).await;
    };
    let first = at_socket(&path, None);
    back(&mut client).await;
    first.abort();
    eventually("it is gone", async || client.unary(message("x")).await.is_err()).await;
    std::fs::remove_file(&path).unwrap();
    let second = at_socket(&path, None);
    back(&mut client).await;
    second.abort();
}

#[tokio::test]
async fn tls_goes_over_a_socket_by_the_name_it_is_told() {
    let authority = Authority::new();
    let identity = authority.issue("backend", "backend.test");
    let path = authority.folder().join("orders.sock");
    let task = at_socket(&path, Some(ServerTlsConfig::new().identity(identity)));
    let tls = "    tls: { ca: ca.pem, server_name: backend.test }\n";
    let yaml = at(authority.folder(), &["orders.sock"], tls);
    let gateway = Gateway::start_in(&yaml, authority.folder()).await;
    let mut client = gateway.client().await;
    let large = vec![1; 1 << 20];
    let answer = client.unary(message(large.clone())).await.unwrap();
    assert_eq!(name(&answer), "orders.sock");
    assert!(answer.into_inner().payload == large);
    let unnamed = yaml.replace(", server_name: backend.test", "");
    let report = equipoise::config::parse(&unnamed, authority.folder()).unwrap_err();
    assert!(report.pretty().contains("server_name"), "{}", report.pretty());
    task.abort();
}

#[tokio::test]
async fn backends_at_sockets_may_speak_http1() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("pages.sock")).unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let len = socket.read(&mut head).await.unwrap();
            assert!(String::from_utf8_lossy(&head[..len]).to_lowercase().contains("\r\nhost: h\r"));
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";
            socket.write_all(answer).await.unwrap();
        }
    });
    let settings = "    protocol: http1\n    preconnect: 0\n";
    let gateway = Gateway::start(&at(folder.path(), &["pages.sock"], settings)).await;
    let request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    assert!(exchange(gateway.front(), request).await.ends_with("\r\n\r\npage"));
}

/// A socket whose queue of connections is full refuses them at once; they have their time.
#[tokio::test]
async fn a_socket_that_is_full_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("busy.sock");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = UnixStream::connect(&path).await {
        waiting.push(stream);
    }
    let settings = "    connect_timeout: 60s\n    pending_timeout: 60s\n    protocol: http1\n";
    let gateway = Gateway::start(&at(folder.path(), &["busy.sock"], settings)).await;
    let front = gateway.front();
    let call = tokio::spawn(async move {
        exchange(front, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await
    });
    eventually("the gateway connects", async || {
        let known = gateway.control().await.backends().await;
        known.iter().any(|backend| backend.state() == BackendState::Connecting)
    })
    .await;
    socket.set_nonblocking(true).unwrap();
    let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(socket)).unwrap();
    drop(waiting);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                if socket.read(&mut head).await.is_ok_and(|len| len > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    socket.write_all(answer).await.unwrap();
                }
            });
        }
    });
    assert!(call.await.unwrap().ends_with("\r\n\r\nok"));
}

#[test]
fn paths_that_cannot_be_are_refused() {
    for (address, says) in [
        ("unix:orders.sock".to_owned(), "begins with /"),
        (format!("unix:/run/{}.sock", "x".repeat(100)), "110 bytes"),
        ("unix:@orders".to_owned(), "no path"),
    ] {
        let yaml = format!(
            "{PORTS}services: {{ echo: {{ endpoints: [ \"{address}\" ] }} }}\nroutes: [ echo ]\n"
        );
        let report = equipoise::config::parse(&yaml, Path::new("")).unwrap_err();
        assert!(report.pretty().contains(says), "{}", report.pretty());
    }
    let yaml = at(Path::new("/run"), &["a.sock", "./a.sock"], "");
    let report = equipoise::config::parse(&yaml, Path::new("")).unwrap_err();
    assert!(report.pretty().contains("listed twice"), "{}", report.pretty());
}
