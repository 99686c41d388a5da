//! Methods that only some backends implement, as during a rolling upgrade.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::transport::Server;

use crate::support::backend::Backend;
use crate::support::client::{self, Client, message, with};
use crate::support::gateway::{Gateway, one_service};

const RETRIES: &str = "equipoise_unimplemented_retries_total";

/// A tonic server that has another service, and not the one that is called.
struct Old {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Old {
    async fn start() -> Old {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_, health) = tonic_health::server::health_reporter();
        let server = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            Server::builder().add_service(health).serve_with_incoming(incoming).await.unwrap();
        });
        Old { address, server }
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn gateway(addresses: &[SocketAddr], balancer: &str) -> Gateway {
    Gateway::start(&one_service(addresses, &format!("balancer: {balancer}"))).await
}

/// So many calls of each kind that the old ones cannot answer; all are answered.
async fn all_are_answered(client: &mut Client, calls: usize) {
    for n in 0..calls {
        let payload = vec![n as u8; n * 400];
        let echoed = client.unary(message(payload.clone())).await.unwrap();
        assert_eq!(echoed.get_ref().payload, payload);
        let pieces = tokio_stream::iter((0..4).map(move |_| message(vec![n as u8; 100])));
        let whole = client.client_stream(pieces).await.unwrap();
        assert_eq!((whole.get_ref().replies, whole.get_ref().payload.len()), (4, 400));
    }
}

#[tokio::test]
async fn nothing_fails_while_one_backend_implements_the_method() {
    let key = "key: source_address";
    for policy in [
        "p2c_ewma".to_owned(),
        "least_request".to_owned(),
        "round_robin".to_owned(),
        "weighted_random".to_owned(),
        format!("{{ policy: maglev, {key} }}"),
        format!("{{ policy: consistent_hash, {key} }}"),
    ] {
        let (new, old) = (Backend::start().await, [Old::start().await, Old::start().await]);
        let gateway = gateway(&[old[0].address, new.address, old[1].address], &policy).await;
        let mut client = gateway.client().await;
        all_are_answered(&mut client, 40).await;
        let page = gateway.metrics().await;
        let retries = page.value(RETRIES, &[]);
        // Each of two methods is asked of each old backend once, and anew after ten seconds.
        assert!(retries <= 40.0, "{policy}: {retries}");
        assert!(page.samples("equipoise_retries_total").is_empty(), "the budget is for others");
        assert!(page.samples("equipoise_ejections_total").is_empty());
        gateway.idle().await;
    }
}

#[tokio::test]
async fn calls_at_the_same_time_fail_neither() {
    let (new, old) = (Backend::start().await, [Old::start().await, Old::start().await]);
    let gateway = gateway(&[old[0].address, old[1].address, new.address], "round_robin").await;
    let client = gateway.client().await;
    let calls = (0..200).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move { client.unary(message("x")).await })
    });
    for call in calls.collect::<Vec<_>>() {
        let answer = call.await.unwrap().unwrap();
        assert_eq!(client::backend(&answer), new.address);
    }
    gateway.idle().await;
}

#[tokio::test]
async fn where_all_lack_it_the_client_is_told_so_as_it_is() {
    let backends = [Backend::start().await, Backend::start().await];
    let addresses = [backends[0].address, backends[1].address];
    let gateway = gateway(&addresses, "round_robin").await;
    let mut client = gateway.client().await;
    for _ in 0..20 {
        let status = client.unary(with("x", "x-status", "12")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
        assert_eq!(status.message(), "asked for: \u{fc} \u{20ac} 100 %\n");
        assert_eq!(status.details(), [0, 1, 254, 255]);
        let backend = status.metadata().get("x-backend").unwrap().to_str().unwrap();
        assert!(addresses.iter().any(|address| address.to_string() == backend));
    }
    let asked: usize = backends.iter().map(|backend| backend.seen.requests()).sum();
    let page = gateway.metrics().await;
    assert_eq!(asked, 20 + page.value(RETRIES, &[]) as usize);
    assert!(asked < 30, "nobody is asked in vain again and again: {asked}");
    gateway.idle().await;
}
