//! Changes by operators, accepted and refused.

use std::sync::Arc;

use equipoise::control::proto::BackendState::{Draining, Ejected, Idle};
use equipoise::control::proto::{self, OverrideKind, SetWeightsRequest};
use serde_json::json;
use tonic::{Code, Status};

use super::*;

#[tokio::test]
async fn weights_take_effect_before_the_answer() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let endpoint = Arc::clone(&gateway.orders.view().backends[1].endpoint);

    let answer = client.set_weights(weights([("b:1", 1000)])).await.unwrap();
    assert_eq!(answer.into_inner().revision, 2);
    assert_eq!(members(&gateway.orders), [("a:1".into(), 3), ("b:1".into(), 1000)]);
    assert_eq!(settings(&get(&mut client).await), (2, vec![(3, 3, Idle), (1000, 1000, Idle)]));

    client.set_weights(weights([("a:1", 0)])).await.unwrap();
    assert_eq!(members(&gateway.orders), [("b:1".into(), 1000)]);
    let snapshot = gateway.orders.snapshot().load();
    assert!(Arc::ptr_eq(&snapshot.set.members()[0].endpoint, &endpoint));
}

#[tokio::test]
async fn a_drained_backend_keeps_its_weight() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;

    let answer = client.drain_backend(drain("a:1")).await.unwrap();
    assert_eq!(answer.into_inner().revision, 2);
    assert_eq!(members(&gateway.orders), [("b:1".into(), 1)]);

    client.set_weights(weights([("a:1", 7)])).await.unwrap();
    assert_eq!(members(&gateway.orders), [("b:1".into(), 1)]);
    assert_eq!(settings(&get(&mut client).await), (3, vec![(7, 0, Draining), (1, 1, Idle)]));

    let answer = client.undrain_backend(undrain("a:1")).await.unwrap();
    assert_eq!(answer.into_inner().revision, 4);
    assert_eq!(members(&gateway.orders), [("a:1".into(), 7), ("b:1".into(), 1)]);
}

fn eject(backend: &str, seconds: Option<i64>) -> proto::EjectBackendRequest {
    proto::EjectBackendRequest {
        service: "orders".into(),
        backend: backend.into(),
        time: seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        expected_revision: None,
        dry_run: false,
    }
}

fn heal(backend: &str) -> proto::HealBackendRequest {
    let (service, backend) = ("orders".into(), backend.into());
    proto::HealBackendRequest { service, backend, ..Default::default() }
}

#[tokio::test]
async fn an_ejection_by_hand_lasts_until_the_backend_is_healed_or_reset() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let answer = client.eject_backend(eject("b:1", None)).await.unwrap().into_inner();
    assert_eq!((answer.revision, &*answer.warning), (2, ""), "half of two may be out");
    assert_eq!(members(&gateway.orders), [("a:1".into(), 3)]);
    let shown = get(&mut client).await;
    assert_eq!(settings(&shown), (2, vec![(3, 3, Idle), (1, 0, Ejected)]));
    assert_eq!(shown.backends[1].state_reason, "an operator's ejection");
    let [wanted] = &shown.overrides[..] else { panic!("{:?}", shown.overrides) };
    assert_eq!((wanted.kind(), &*wanted.backend), (OverrideKind::Eject, "b:1"));

    let answer = client.heal_backend(heal("b:1")).await.unwrap().into_inner();
    assert_eq!(answer.revision, 3);
    let shown = get(&mut client).await;
    assert_eq!((settings(&shown).1, shown.overrides.len()), (vec![(3, 3, Idle), (1, 1, Idle)], 0));

    client.eject_backend(eject("b:1", Some(3600))).await.unwrap();
    let left = get(&mut client).await.backends[1].state_left_seconds;
    assert!(left > Some(3500.0), "{left:?}");
    let reset = proto::ResetServiceRequest { service: "orders".into(), ..Default::default() };
    client.reset_service(reset).await.unwrap();
    assert_eq!(members(&gateway.orders).len(), 2);
    let counted: Vec<_> = gateway.orders.counts().ejections.totals().collect();
    assert!(counted.contains(&("hand", 2)), "{counted:?}");
}

#[tokio::test]
async fn an_ejection_by_hand_holds_above_the_limit_and_its_answer_warns() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    client.eject_backend(eject("a:1", None)).await.unwrap();
    let answer = client.eject_backend(eject("b:1", None)).await.unwrap().into_inner();
    assert!(answer.warning.starts_with("panic: "), "{}", answer.warning);
    assert_eq!(settings(&get(&mut client).await).1, vec![(3, 3, Ejected), (1, 1, Ejected)]);
    for (backend, seconds) in [("x:1", None), ("a:1", Some(0)), ("a:1", Some(-1))] {
        let refused = client.eject_backend(eject(backend, seconds)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    }
    assert_eq!(client.heal_backend(heal("x:1")).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn nothing_changes_when_a_change_is_refused() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let before = get(&mut client).await;
    let unknown_service = SetWeightsRequest { service: "carts".into(), ..weights([("a:1", 1)]) };
    let stale = SetWeightsRequest { expected_revision: Some(7), ..weights([("a:1", 1)]) };
    let wrong = [
        (unknown_service, Code::NotFound, &["carts"][..]),
        (
            weights([("a:1", 9), ("x:1", 1), ("y:1", 1)]),
            Code::InvalidArgument,
            &["`x:1`, `y:1`", "`a:1`, `b:1`", "orders"],
        ),
        (
            weights([("a:1", 1), ("b:1", 1001), ("z:1", 5000)]),
            Code::InvalidArgument,
            &["b:1=1001", "z:1=5000", "0 to 1000", "no backend `z:1`"],
        ),
        (weights([]), Code::InvalidArgument, &["at least one"]),
        (stale, Code::Aborted, &["revision 1,", "expected 7"]),
        (weights([("a:1", 0), ("b:1", 0)]), Code::FailedPrecondition, &["orders", "allow_empty"]),
    ];
    for (request, code, named) in wrong {
        let status = client.set_weights(request.clone()).await.unwrap_err();
        refused(&status, code, named);
        assert_eq!(settings(&get(&mut client).await), settings(&before), "{request:?}");
    }
    assert_eq!(members(&gateway.orders), [("a:1".into(), 3), ("b:1".into(), 1)]);
}

#[tokio::test]
async fn drains_are_refused_like_weights() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let elsewhere = proto::DrainBackendRequest { service: "carts".into(), ..drain("a:1") };
    let stale = proto::DrainBackendRequest { expected_revision: Some(2), ..drain("a:1") };
    for (request, code, named) in [
        (elsewhere, Code::NotFound, "carts"),
        (drain("x:1"), Code::InvalidArgument, "`x:1`"),
        (stale, Code::Aborted, "revision 1"),
    ] {
        let status = client.drain_backend(request).await.unwrap_err();
        refused(&status, code, &[named]);
    }
    let status = client.undrain_backend(undrain("x:1")).await.unwrap_err();
    refused(&status, Code::InvalidArgument, &["`x:1`"]);
    assert_eq!(get(&mut client).await.revision, 1);

    client.drain_backend(drain("a:1")).await.unwrap();
    let status = client.drain_backend(drain("b:1")).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, &["allow_empty"]);
    let status = client.set_weights(weights([("b:1", 0)])).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, &["allow_empty"]);
    assert_eq!(members(&gateway.orders), [("b:1".into(), 1)]);
}

#[tokio::test]
async fn a_service_is_emptied_only_on_purpose() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    client.drain_backend(drain("a:1")).await.unwrap();
    let empty = proto::DrainBackendRequest { allow_empty: true, ..drain("b:1") };
    client.drain_backend(empty).await.unwrap();
    let snapshot = gateway.orders.snapshot().load_full();
    assert!(snapshot.set.is_empty() && snapshot.picker.is_none());

    client.undrain_backend(undrain("b:1")).await.unwrap();
    let snapshot = gateway.orders.snapshot().load_full();
    assert!(snapshot.set.len() == 1 && snapshot.picker.is_some());
}

#[tokio::test]
async fn messages_stay_short_however_long_the_request_is() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let names: Vec<_> = (0..1000).map(|i| format!("{i}{}", "x".repeat(1000))).collect();
    let request = weights(names.iter().map(|name| (name.as_str(), 2000)));
    let status = client.set_weights(request).await.unwrap_err();
    refused(&status, Code::InvalidArgument, &["and 992 more"]);
    assert!(status.message().len() < 2000, "{}", status.message().len());
}

#[tokio::test]
async fn of_changes_expecting_the_same_revision_one_wins() {
    let gateway = Gateway::start().await;
    let mut attempts = tokio::task::JoinSet::new();
    for weight in 0..20 {
        let mut client = gateway.client().await;
        attempts.spawn(async move {
            let request =
                SetWeightsRequest { expected_revision: Some(1), ..weights([("a:1", weight)]) };
            client.set_weights(request).await
        });
    }
    let results = attempts.join_all().await;
    let won = results.iter().filter(|r| r.is_ok()).count();
    let aborted = |r: &&Result<_, Status>| r.as_ref().is_err_and(|s| s.code() == Code::Aborted);
    assert_eq!((won, results.iter().filter(aborted).count()), (1, 19));
    assert_eq!(gateway.orders.view().revision, 2);
}

#[tokio::test]
async fn a_thousand_changes_from_several_clients_all_land() {
    let gateway = Gateway::start().await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut client = gateway.client().await;
        clients.spawn(async move {
            let mut revisions = Vec::new();
            for weight in 1..=250 {
                let answer = client.set_weights(weights([("a:1", weight)])).await;
                revisions.push(answer.unwrap().into_inner().revision);
            }
            revisions
        });
    }
    let mut revisions = clients.join_all().await.concat();
    revisions.sort_unstable();
    assert!(revisions.into_iter().eq(2..=1001));
    assert_eq!(gateway.orders.snapshot().load().revision, 1001);
    assert_eq!(members(&gateway.orders)[0], ("a:1".into(), 250));
}

#[tokio::test]
async fn a_worker_sees_a_change_once_it_is_answered() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let mut cache = gateway.registry.routing_cache();
    let (ask, asked) = std::sync::mpsc::channel();
    let (tell, told) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || {
        while asked.recv().is_ok() {
            tell.send(cache.load().snapshots[0].revision).unwrap();
        }
    });
    for weight in 1..=200 {
        let answer = client.set_weights(weights([("a:1", weight)])).await;
        ask.send(()).unwrap();
        assert_eq!(told.recv().unwrap(), answer.unwrap().into_inner().revision);
    }
    drop(ask);
    worker.join().unwrap();
}

#[tokio::test]
async fn every_change_leaves_a_line_in_the_log() {
    // tracing caches interest globally: a test on another thread that registers the same events may
    // disable them until the next rebuild, so one attempt is not enough.
    let mut fields = Vec::new();
    for _ in 0..20 {
        fields = log_of_two_changes().await;
        if fields.len() == 2 {
            break;
        }
    }
    let [made, refused] = &fields[..] else {
        panic!("two lines: {fields:?}");
    };
    assert_eq!((&made["message"], &made["change"]), (&json!("change made"), &json!("drain `a:1`")));
    assert_eq!((&made["before"], &made["revision"]), (&json!(1), &json!(2)));
    assert_eq!((&made["old"], &made["new"]), (&json!("`a:1=3`"), &json!("`a:1=3 drained`")));
    assert_eq!((&refused["message"], &refused["revision"]), (&json!("change refused"), &json!(2)));
    assert!(made["sequence"].as_u64() < refused["sequence"].as_u64());
    for line in [made, refused] {
        assert_eq!(line["service"], "orders");
        assert!(line["by"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    }
}

async fn log_of_two_changes() -> Vec<serde_json::Value> {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let log = tracing_subscriber::fmt().json();
    let log = log.with_writer(Arc::new(file.reopen().unwrap())).finish();
    let logging = tracing::subscriber::set_default(log);
    tracing::callsite::rebuild_interest_cache();
    client.drain_backend(drain("a:1")).await.unwrap();
    client.drain_backend(drain("b:1")).await.unwrap_err();
    drop(logging);
    let fields = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["fields"].take()
    };
    let text = std::fs::read_to_string(file.path()).unwrap();
    text.lines().map(fields).collect()
}

fn refused(status: &Status, code: Code, named: &[&str]) {
    assert_eq!(status.code(), code, "{status:?}");
    for name in named {
        assert!(status.message().contains(name), "{name}: {status:?}");
    }
}
