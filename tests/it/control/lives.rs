//! A backend that is removed and added again is a new one; statistics since a revision.

use equipoise::model::{ExchangeClass, Time};
use equipoise::service::{BackendView, Change, Terms};

use super::ctl::run;
use super::*;

const OK: GrpcCode = GrpcCode::Ok;
const BAD: GrpcCode = GrpcCode::Unavailable;

async fn change(gateway: &Gateway, change: Change) -> u64 {
    let conditions = Terms { allow_empty: true, ..Terms::default() };
    gateway.orders.change(change, conditions, "test".into()).await.unwrap()
}

fn find(gateway: &Gateway, address: &str) -> BackendView {
    let view = gateway.orders.view();
    view.backends.iter().find(|b| b.endpoint.address() == address).unwrap().clone()
}

async fn remove(gateway: &Gateway, address: &str) -> u64 {
    change(gateway, Change::Remove(vec![address.into()])).await
}

async fn add(gateway: &Gateway, address: &str) -> u64 {
    change(gateway, Change::Add(vec![EndpointSpec { address: address.into(), weight: 1 }])).await
}

async fn since(gateway: &Gateway, revision: Option<u64>) -> Result<proto::Service, tonic::Status> {
    let request = proto::GetServiceRequest { service: "orders".into(), since_revision: revision };
    gateway.client().await.get_service(request).await.map(|answer| answer.into_inner())
}

/// Revision, requests, failures and codes of a backend.
fn counted(service: &proto::Service, backend: usize) -> (u64, u64, u64, Vec<(&str, &str, u64)>) {
    let since = service.backends[backend].since.as_ref().unwrap();
    let codes = since.codes.iter().map(|c| (&*c.protocol, &*c.code, c.count)).collect();
    (since.revision, since.requests, since.failures, codes)
}

#[tokio::test]
async fn a_backend_added_again_starts_afresh() {
    for in_flight in [false, true] {
        let gateway = Gateway::start().await;
        gateway.record(1, 0, BAD, 50);
        gateway.observed(50).await;
        let old = find(&gateway, "b:1");
        if in_flight {
            old.endpoint.load().begin(ExchangeClass::Call, Time::ZERO);
        }
        remove(&gateway, "b:1").await;
        add(&gateway, "b:1").await;
        let new = find(&gateway, "b:1");
        assert!(!Arc::ptr_eq(&new.endpoint, &old.endpoint), "in flight: {in_flight}");
        assert_eq!((new.recent.requests, new.recent.success_ratio), (0, None));
        let seen = since(&gateway, None).await.unwrap();
        assert_eq!((seen.backends[1].requests, seen.backends[1].in_flight), (0, 0));
        gateway.record(1, 1, OK, 3);
        gateway.observed(3).await;
        assert_eq!(find(&gateway, "b:1").recent.success_ratio, Some(1.0));
        let leaving = |view: &Arc<equipoise::service::ServiceView>| view.leaving.len();
        assert_eq!(leaving(&gateway.orders.view()), usize::from(in_flight));
        if in_flight {
            old.endpoint.load().end(ExchangeClass::Call, Time::ZERO);
        }
        let _ = gateway.orders.watch().wait_for(|view| leaving(view) == 0).await.unwrap();
    }
}

#[tokio::test]
async fn a_reload_that_takes_out_and_another_that_puts_back_make_another_too() {
    let gateway = Gateway::start().await;
    let (a, b) = (find(&gateway, "a:1").endpoint, find(&gateway, "b:1").endpoint);
    b.load().begin(ExchangeClass::Stream, Time::ZERO);
    gateway.orders.configure(spec("orders", &[("a:1", 3)])).await;
    gateway.orders.configure(spec("orders", &[("b:1", 1), ("a:1", 9)])).await;
    assert!(!Arc::ptr_eq(&find(&gateway, "b:1").endpoint, &b));
    assert!(Arc::ptr_eq(&find(&gateway, "a:1").endpoint, &a), "it was never away");
    assert!(Arc::ptr_eq(&gateway.orders.view().leaving[0].endpoint, &b));
}

#[tokio::test]
async fn changes_keep_the_identity_of_endpoints() {
    let gateway = Gateway::start().await;
    let b = find(&gateway, "b:1").endpoint;
    gateway.record(1, 0, OK, 4);
    change(&gateway, Change::SetWeights([("b:1".to_owned(), 0)].into())).await;
    change(&gateway, Change::Drain { address: "b:1".into(), timeout: None }).await;
    change(&gateway, Change::Undrain("b:1".into())).await;
    gateway.orders.configure(spec("orders", &[("B:1", 7), ("c:1", 1)])).await;
    let seen = since(&gateway, Some(1)).await.unwrap();
    assert!(Arc::ptr_eq(&find(&gateway, "b:1").endpoint, &b));
    assert_eq!(counted(&seen, 0), (1, 4, 0, vec![("grpc", "OK", 4)]));
}

#[tokio::test]
async fn requests_are_counted_from_a_revision_on() {
    let gateway = Gateway::start().await;
    gateway.record(0, 0, OK, 10);
    gateway.record(0, 1, BAD, 2);
    let second = change(&gateway, Change::SetWeights([("b:1".to_owned(), 5)].into())).await;
    gateway.record(0, 0, BAD, 3);
    gateway.record(0, 0, GrpcCode::Cancelled, 1);
    gateway.record(1, 1, GrpcCode::NotFound, 4);
    remove(&gateway, "b:1").await;
    let current = add(&gateway, "b:1").await;
    gateway.record(1, 0, OK, 6);
    gateway.orders.view().backends[1]
        .endpoint
        .worker_stats(0)
        .record_call(equipoise::model::Code::Http(502), Duration::from_millis(1));
    let all = vec![("grpc", "OK", 10), ("grpc", "CANCELLED", 1), ("grpc", "UNAVAILABLE", 5)];
    let later = vec![("grpc", "CANCELLED", 1), ("grpc", "UNAVAILABLE", 3)];
    let new = vec![("grpc", "OK", 6), ("http", "502", 1)];
    let seen = since(&gateway, Some(1)).await.unwrap();
    assert_eq!(counted(&seen, 0), (1, 16, 5, all));
    assert_eq!(counted(&seen, 1), (1, 7, 1, new.clone()), "not those of the life before");
    let seen = since(&gateway, Some(second)).await.unwrap();
    assert_eq!(counted(&seen, 0), (second, 4, 3, later));
    let seen = since(&gateway, None).await.unwrap();
    assert_eq!(counted(&seen, 0), (current, 0, 0, vec![]));
    assert_eq!(counted(&seen, 1), (current, 7, 1, new));

    let shown = run(&gateway, &format!("backends orders --since {second}")).await.unwrap();
    let expected = "\
orders: first, revision 4; counted since revision 2
BACKEND  STATE  WEIGHT  REQUESTS  FAILURES  CODES
a:1      IDLE        3         4         3  CANCELLED: 1, UNAVAILABLE: 3
b:1      IDLE        1         7         1  OK: 6, 502: 1
total                         11         4
";
    let trimmed: Vec<&str> = shown.lines().map(str::trim_end).collect();
    assert_eq!(trimmed, expected.lines().collect::<Vec<_>>(), "{shown}");
    let shown = run(&gateway, "backends orders --since 2 --output json").await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let since = &json["services"][0]["backends"][0]["since"];
    assert_eq!((&since["revision"], &since["failures"]), (&2.into(), &3.into()));
    assert_eq!(since["codes"][1]["code"], "UNAVAILABLE");
}

#[tokio::test]
async fn past_and_future_revisions_are_refused() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let watch = |since_revision| proto::WatchServiceRequest {
        service: "orders".into(),
        interval: None,
        since_revision,
    };
    let mut watched = client.watch_service(watch(Some(1))).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(counted(&first, 0).0, 1);
    let mut current = client.watch_service(watch(None)).await.unwrap().into_inner();
    for weight in 1..=20 {
        change(&gateway, Change::SetWeights([("b:1".to_owned(), weight)].into())).await;
    }
    for revision in [0, 5, 22, u64::MAX] {
        let error = since(&gateway, Some(revision)).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::OutOfRange, "{revision}");
        let says = ["`orders`", &format!("revision {revision}:"), "revisions 6 to 21"];
        assert!(says.iter().all(|says| error.message().contains(says)), "{error}");
        let error = client.watch_service(watch(Some(revision))).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::OutOfRange, "{revision}");
    }
    for revision in [6, 21] {
        assert_eq!(counted(&since(&gateway, Some(revision)).await.unwrap(), 0).0, revision);
    }
    // A stream with a revision ends when that is no longer kept; one without continues.
    let error = loop {
        if let Err(error) = watched.message().await {
            break error;
        }
    };
    assert_eq!(error.code(), tonic::Code::OutOfRange);
    loop {
        let seen = current.message().await.unwrap().unwrap();
        assert_eq!(counted(&seen, 0).0, seen.revision);
        if seen.revision == 21 {
            break;
        }
    }
}
