//! Rate limits of routes.

use tonic::Code;

use crate::support::backend::Backend;
use crate::support::client::{message, with};
use crate::support::gateway::{Gateway, one_service};
use crate::support::http1;

async fn gateway(backend: &Backend, limit: &str) -> Gateway {
    let yaml = one_service(&[backend.address], "");
    let limited = format!("{{ service: echo, rate_limit: {limit} }}");
    Gateway::start(&yaml.replace("{ service: echo }", &limited)).await
}

#[tokio::test]
async fn a_burst_is_let_through_and_the_rest_is_told_when_to_come_back() {
    let backend = Backend::start().await;
    // On a machine however slow no token comes back in the test.
    let gateway = gateway(&backend, "{ per_second: 1, burst: 30 }").await;
    let mut client = gateway.client().await;
    let mut refused = None;
    let mut served = 0;
    for _ in 0..200 {
        match client.unary(message("x")).await {
            Ok(_) => served += 1,
            Err(status) => {
                refused = Some(status);
                break;
            }
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("rate limit"), "{refused}");
    let pushback = refused.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap();
    assert!((1..=1000).contains(&pushback.parse::<u64>().unwrap()), "{pushback}");
    assert_eq!(backend.seen.requests(), served);
    assert!(served >= 30);
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_rejected_total", &[("reason", "rate_limited")]), 1.0);
    let mut last = String::new();
    for _ in 0..3 {
        let get = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        last = http1::exchange(gateway.front(), get).await;
        if last.starts_with("HTTP/1.1 429 ") {
            break;
        }
    }
    assert!(last.to_lowercase().contains("\r\nretry-after: 1\r\n"), "{last}");
    gateway.idle().await;
}

#[tokio::test]
async fn users_have_limits_of_their_own() {
    let backend = Backend::start().await;
    let limit = "{ per_second: 1, burst: 5, key: { header: x-user-id } }";
    let gateway = gateway(&backend, limit).await;
    let mut client = gateway.client().await;
    let mut refused = 0;
    for _ in 0..20 {
        refused += usize::from(client.unary(with("x", "x-user-id", "a")).await.is_err());
    }
    assert!(refused > 0, "one user has sent too many");
    for user in ["b", "c", "d"] {
        for _ in 0..5 {
            client.unary(with("x", "x-user-id", user)).await.unwrap();
        }
    }
    gateway.idle().await;
}
