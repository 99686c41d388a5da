//! Views of services for operators.

use equipoise::control::proto::{self, BackendState};
use equipoise::model::{ExchangeClass, Time};
use equipoise::stats::QUANTILE_ERROR;
use tonic::Streaming;

use super::*;

const HOUR: i64 = 3600;

async fn watch(gateway: &Gateway, seconds: i64, nanos: i32) -> Streaming<proto::Service> {
    let request = proto::WatchServiceRequest {
        service: "orders".into(),
        interval: Some(prost_types::Duration { seconds, nanos }),
        since_revision: None,
    };
    let mut client = gateway.client().await;
    client.watch_service(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn services_are_listed_by_name() {
    let gateway = Gateway::start().await;
    let carts = service("carts", &[("c:1", 0)]);
    publish(&gateway.registry, [&gateway.orders, &carts]).await;
    let mut client = gateway.client().await;
    client.drain_backend(drain("a:1")).await.unwrap();
    let request = proto::ListServicesRequest {};
    let listed = client.list_services(request).await.unwrap().into_inner();
    let summary = |name: &str, revision, backends, eligible, draining| proto::ServiceSummary {
        name: name.into(),
        policy: "first".into(),
        revision,
        generation: revision,
        backends,
        eligible_backends: eligible,
        draining_backends: draining,
        overrides: draining,
        policy_settings: Some(Default::default()),
        ..Default::default()
    };
    let expected = [summary("carts", 1, 1, 0, 0), summary("orders", 2, 2, 1, 1)];
    assert_eq!(listed.services, expected);
}

#[tokio::test]
async fn an_unknown_service_is_not_found() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let service = || "x".repeat(5000);
    let request = proto::GetServiceRequest { service: service(), since_revision: None };
    let got = client.get_service(request).await.unwrap_err();
    let request =
        proto::WatchServiceRequest { service: service(), interval: None, since_revision: None };
    let watched = client.watch_service(request).await.unwrap_err();
    for status in [got, watched] {
        assert_eq!(status.code(), tonic::Code::NotFound);
        assert!(status.message().len() < 200, "{status:?}");
    }
}

#[tokio::test]
async fn a_backend_shows_how_it_does() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let idle = get(&mut client).await;
    for backend in &idle.backends {
        assert_eq!((backend.requests, backend.recent_requests), (0, 0));
        assert_eq!((backend.success_ratio, backend.p50_seconds), (None, None));
    }
    gateway.record(0, 0, GrpcCode::Ok, 60);
    gateway.record(0, 1, GrpcCode::Unavailable, 20);
    gateway.record(0, 1, GrpcCode::Cancelled, 5);
    let view = gateway.orders.view();
    view.backends[0].endpoint.load().begin(ExchangeClass::Call, Time::ZERO);
    gateway.observed(85).await;

    let service = get(&mut client).await;
    let [a, b] = &service.backends[..] else {
        panic!("two backends: {service:?}");
    };
    assert_eq!((a.requests, a.recent_requests, a.in_flight), (85, 85, 1));
    assert_eq!(a.success_ratio, Some(0.75));
    for quantile in [a.p50_seconds, a.p90_seconds, a.p99_seconds, a.p999_seconds] {
        assert!((quantile.unwrap() - 0.01).abs() < 0.01 * QUANTILE_ERROR, "{quantile:?}");
    }
    assert!(a.ewma_seconds > 0.0);
    assert_eq!((b.requests, b.success_ratio, b.p99_seconds), (0, None, None));
}

/// Samples of a long-tailed distribution from two workers, and their exact quantiles.
#[tokio::test]
async fn quantiles_are_those_of_the_samples_themselves() {
    let gateway = Gateway::start().await;
    let endpoint = Arc::clone(&gateway.orders.view().backends[0].endpoint);
    let mut rng = fastrand::Rng::with_seed(11);
    let mut draw = || Duration::from_secs_f64(0.004 * (1.0 - rng.f64()).powf(-0.6));
    let mut samples: Vec<Duration> = (0..30_000).map(|_| draw()).collect();
    for (number, sample) in samples.iter().enumerate() {
        endpoint.worker_stats(number % WORKERS).record_call(Code::Grpc(GrpcCode::Ok), *sample);
    }
    gateway.observed(30_000).await;
    samples.sort_unstable();
    let service = get(&mut gateway.client().await).await;
    let said = &service.backends[0];
    for (rank, quantile) in [
        (15_000, said.p50_seconds),
        (27_000, said.p90_seconds),
        (29_700, said.p99_seconds),
        (29_970, said.p999_seconds),
    ] {
        let exact = samples[rank - 1].as_secs_f64();
        let off = (quantile.unwrap() - exact).abs() / exact;
        assert!(off <= QUANTILE_ERROR, "{quantile:?} against {exact}");
    }
}

#[tokio::test]
async fn a_backend_without_a_connection_yet_is_connecting() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let endpoint = Arc::clone(&gateway.orders.view().backends[0].endpoint);
    let connecting = endpoint.count_connecting();
    assert_eq!(get(&mut client).await.backends[0].state(), BackendState::Connecting);
    let _connected = endpoint.count_connected();
    assert_eq!(get(&mut client).await.backends[0].state(), BackendState::Ready);
    drop(connecting);
    assert_eq!(get(&mut client).await.backends[0].state(), BackendState::Ready);
}

#[tokio::test]
async fn a_watch_shows_the_service_at_once_and_after_every_change() {
    let gateway = Gateway::start().await;
    let mut stream = watch(&gateway, HOUR, 0).await;
    assert_eq!(stream.message().await.unwrap().unwrap().revision, 1);
    let mut client = gateway.client().await;
    for weight in 1..=20 {
        client.set_weights(weights([("b:1", weight)])).await.unwrap();
        let seen = stream.message().await.unwrap().unwrap();
        let expected = (u64::from(weight) + 1, weight);
        assert_eq!((seen.revision, seen.backends[1].effective_weight), expected);
    }
}

#[tokio::test]
async fn a_watch_shows_the_service_each_interval() {
    let gateway = Gateway::start().await;
    let mut stream = watch(&gateway, 0, 100_000_000).await;
    for _ in 0..5 {
        assert_eq!(stream.message().await.unwrap().unwrap().revision, 1);
    }
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_state_and_not_every_one() {
    let names: Vec<_> = (0..500).map(|i| format!("backend-{i:050}.{}:1", "x".repeat(50))).collect();
    let backends: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let gateway = Gateway::with(&backends).await;
    let mut stream = watch(&gateway, HOUR, 0).await;
    let mut client = gateway.client().await;
    let changes = 200;
    for weight in 1..=changes {
        client.set_weights(weights([(backends[0].0, weight)])).await.unwrap();
    }
    let (mut messages, mut last) = (0, 0);
    while last < u64::from(changes) + 1 {
        let seen = stream.message().await.unwrap().unwrap().revision;
        assert!(seen > last, "{seen} after {last}");
        (messages, last) = (messages + 1, seen);
    }
    assert!(messages < changes, "{messages}");
}

#[tokio::test]
async fn an_interval_out_of_range_is_refused() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    for (seconds, nanos) in [(0, 0), (0, 99_999_999), (-1, 0), (3600, 1), (i64::MAX, 0)] {
        let request = proto::WatchServiceRequest {
            service: "orders".into(),
            interval: Some(prost_types::Duration { seconds, nanos }),
            since_revision: None,
        };
        let status = client.watch_service(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{seconds} {nanos}");
        assert!(status.message().contains("0.1 to 3600 seconds"));
    }
}

#[tokio::test]
async fn streams_beyond_the_bound_are_refused_until_others_end() {
    let gateway = Gateway::start().await;
    let mut streams = Vec::new();
    let mut clients = Vec::new();
    let request = || proto::WatchServiceRequest {
        service: "orders".into(),
        interval: Some(prost_types::Duration { seconds: HOUR, nanos: 0 }),
        since_revision: None,
    };
    for _ in 0..8 {
        clients.push(gateway.client().await);
    }
    for i in 0..1000 {
        let stream = clients[i % 8].watch_service(request()).await.unwrap();
        streams.push(stream.into_inner());
    }
    let client = &mut clients[0];
    let status = client.watch_service(request()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status:?}");
    streams.clear();
    while client.watch_service(request()).await.is_err() {
        tokio::task::yield_now().await;
    }
}
