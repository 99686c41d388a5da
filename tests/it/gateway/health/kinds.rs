//! What can be asked, and what the answers are worth.

use std::convert::Infallible;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::transport::ServerTlsConfig;

use super::*;
use crate::support::certificates::Authority;
use crate::support::eventually;
use crate::support::gateway::PORTS;
use crate::support::http1::Recorder;
use crate::support::raw;

/// A gateway that checks this one backend, which is out for this reason.
async fn is_out(backend: SocketAddr, check: &str, more: &str, reason: &str) {
    let gateway = Gateway::start(&checked(&[backend], check, more)).await;
    out(&mut gateway.control().await, 0, reason).await;
}

/// The same, of one that is well.
async fn is_well(backend: SocketAddr, check: &str, more: &str) {
    let check = format!("{check}, initial: unhealthy");
    let gateway = Gateway::start(&checked(&[backend], &check, more)).await;
    well(&mut gateway.control().await, 0).await;
}

/// A backend that answers every request over HTTP/2 with this status.
async fn answering(status: u16) -> SocketAddr {
    raw::backend(move |(_, mut respond): raw::Exchange| async move {
        let head = http::Response::builder().status(status).body(()).unwrap();
        let _ = respond.send_response(head, true);
    })
    .await
}

#[tokio::test]
async fn without_the_service_of_health_it_is_out_and_says_so() {
    let backend = Backend::start().await;
    is_out(backend.address, "grpc: {}", "", "UNIMPLEMENTED").await;
    is_out(answering(503).await, "grpc: {}", "", "HTTP 503").await;
}

#[tokio::test]
async fn services_are_asked_about_by_name() {
    let (backend, says) = backend().await;
    is_out(backend.address, "grpc: shop.Orders", "", "NOT_FOUND").await;
    is_well(backend.address, "grpc: {}", "").await;
    says.set_service_status("shop.Orders", Serving).await;
    is_well(backend.address, "grpc: shop.Orders", "").await;
    says.set_service_status("shop.Orders", NotServing).await;
    is_out(backend.address, "grpc: { service: shop.Orders }", "", "NOT_SERVING").await;
}

/// Only `Check` is there, as in many servers.
#[tokio::test]
async fn who_cannot_be_listened_to_is_asked() {
    let watched = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&watched);
    let backend = raw::backend(move |(request, mut respond): raw::Exchange| {
        let count = std::sync::Arc::clone(&count);
        async move {
            if request.uri().path().ends_with("/Watch") {
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let mut head = raw::ok();
                head.headers_mut().extend(raw::status(12));
                respond.send_response(head, true).unwrap();
                return;
            }
            let mut body = respond.send_response(raw::ok(), false).unwrap();
            body.send_data(bytes::Bytes::from_static(b"\0\0\0\0\x02\x08\x01"), false).unwrap();
            body.send_trailers(raw::status(0)).unwrap();
        }
    })
    .await;
    let check = format!("grpc: {{}}, initial: unhealthy, {OFTEN}");
    let gateway = Gateway::start(&checked(&[backend], &check, "")).await;
    well(&mut gateway.control().await, 0).await;
    checks(&gateway, "success", 5.0).await;
    assert_eq!(watched.load(std::sync::atomic::Ordering::SeqCst), 1);
}

/// Waits for so many checks that came to this.
async fn checks(gateway: &Gateway, result: &str, least: f64) {
    let labels = [("service", "echo"), ("result", result)];
    let name = "equipoise_health_checks_total";
    let enough = async || {
        let page = gateway.metrics().await;
        page.samples(name).iter().any(|sample| {
            labels.iter().all(|(key, value)| sample.labels[*key] == *value) && sample.value >= least
        })
    };
    eventually(&format!("{least} checks: {result}"), enough).await;
}

#[tokio::test]
async fn pages_are_asked_for_in_the_protocol_of_the_service() {
    let check = "http: /healthz";
    for protocol in ["protocol: grpc", "protocol: http2"] {
        is_well(answering(204).await, check, protocol).await;
        is_out(answering(503).await, check, protocol, "HTTP 503").await;
        let other = "http: { path: /healthz, status: 500-503 }";
        is_well(answering(503).await, other, protocol).await;
        is_out(answering(204).await, other, protocol, "HTTP 204").await;
    }
    let http1 = "protocol: http1";
    let page = Recorder::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let check = format!(
        "{check}, authority: \"orders.internal:81\", headers: {{ x-probe: equipoise }}, {OFTEN}"
    );
    let gateway = Gateway::start(&checked(&[page.address], &check, http1)).await;
    checks(&gateway, "success", 3.0).await;
    let seen = page.seen();
    let head = "GET /healthz HTTP/1.1\r\nuser-agent: equipoise-health\r\nx-probe: equipoise\r\n\
                host: orders.internal:81\r\n\r\n";
    assert!(seen.starts_with(head), "{seen}");
    let odd = Recorder::answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").await;
    is_out(odd.address, &check, http1, "HTTP 404").await;
}

#[tokio::test]
async fn a_connection_is_enough_where_that_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let check = format!("tcp: {{}}, initial: unhealthy, {OFTEN}");
    let gateway = Gateway::start(&checked(&[address], &check, "")).await;
    let mut control = gateway.control().await;
    well(&mut control, 0).await;
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut said = Vec::new();
    socket.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"");
    drop(listener);
    out(&mut control, 0, "connect: refused").await;
}

/// It accepts, and then says nothing, as a process does that is stopped.
#[tokio::test]
async fn silence_is_an_answer_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let kept = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            kept.push(listener.accept().await);
        }
    });
    for check in ["grpc: {}", "http: /healthz"] {
        let check = format!("{check}, timeout: 50ms");
        is_out(address, &check, "", "timed out").await;
        let gateway = Gateway::start(&checked(&[address], &check, "")).await;
        checks(&gateway, "timeout", 1.0).await;
    }
    kept.abort();
}

/// Whatever comes, it is bounded, and it is not well.
#[tokio::test]
async fn hostile_answers_are_no_good_ones() {
    type Answer = fn(raw::Exchange) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
    let answers: [(&str, Answer); 3] = [
        ("an answer that is too large, or compressed", |(_, mut respond)| {
            Box::pin(async move {
                let mut body = respond.send_response(raw::ok(), false).unwrap();
                let _ = body.send_data(vec![0xff; 1 << 20].into(), false);
                std::future::pending::<Infallible>().await;
            })
        }),
        ("an answer without a message", |(_, mut respond)| {
            Box::pin(async move {
                let mut body = respond.send_response(raw::ok(), false).unwrap();
                body.send_trailers(raw::status(0)).unwrap();
            })
        }),
        ("a grpc-status that is none", |(_, mut respond)| {
            Box::pin(async move {
                let mut head = raw::ok();
                head.headers_mut().insert("grpc-status", "99999999999999999999".parse().unwrap());
                respond.send_response(head, true).unwrap();
            })
        }),
    ];
    for (reason, answer) in answers {
        is_out(raw::backend(answer).await, "grpc: {}, timeout: 60s", "", reason).await;
    }
    let floods = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = floods.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = floods.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n").await;
                while socket.write_all(b"x-more: and more\r\n").await.is_ok() {}
            });
        }
    });
    let check = "http: /healthz, timeout: 60s, initial: healthy";
    let gateway = Gateway::start(&checked(&[address], check, "protocol: http1")).await;
    checks(&gateway, "failure", 1.0).await;
    well_or_out(&gateway).await;
}

async fn well_or_out(gateway: &Gateway) {
    let is_out = |all: &[BackendView]| all[0].state() == Unhealthy;
    gateway.control().await.backends_once("it is out", is_out).await;
}

#[tokio::test]
async fn tls_is_the_services_unless_that_is_refused() {
    let authority = Authority::new();
    let identity = authority.issue("backend", "backend.test");
    authority.issue("client", "client.test");
    let tls = ServerTlsConfig::new().identity(identity).client_ca_root(authority.certificate());
    let health = HealthReporter::new();
    let options = Options { tls: Some(tls), health: Some(health), ..Options::default() };
    let backend = Backend::with(options).await;
    let clear = Recorder::answering(b"").await;
    let yaml = |name: &str, check: &str| {
        format!(
            "{PORTS}services:\n  echo:\n    tls: {{ ca: ca.pem, cert: client.pem, key: client.key, \
             server_name: {name} }}\n    health: {{ initial: unhealthy, {check} }}\n    \
             endpoints: [ {{ address: {} }} ]\nroutes: [ {{ service: echo }} ]\n",
            backend.address
        )
    };
    let start = async |yaml: &str| Gateway::start_in(yaml, authority.folder()).await;
    for check in ["grpc: {}", "tcp: {}"] {
        let gateway = start(&yaml("backend.test", check)).await;
        well(&mut gateway.control().await, 0).await;
        let gateway = start(&yaml("other.test", check)).await;
        let refused = |all: &[BackendView]| all[0].state_reason.starts_with("TLS handshake failed");
        gateway.control().await.backends_once("it is not trusted", refused).await;
    }
    let port = clear.address.port();
    let gateway =
        start(&yaml("backend.test", &format!("tcp: {{}}, port: {port}, tls: false"))).await;
    well(&mut gateway.control().await, 0).await;
}
