//! The history of a service, reverts, and changes that hold for a time.

use std::collections::BTreeMap;

use equipoise::service::{Change, Terms};
use serde_json::{Value, json};
use tonic::metadata::BinaryMetadataValue;
use tonic::{Code, Request};

use super::ctl::run;
use super::*;
use crate::support::eventually;

async fn refused(gateway: &Gateway, line: &str) -> (u8, String) {
    let error = run(gateway, line).await.unwrap_err();
    (error.exit_code(), error.to_string())
}

async fn all(gateway: &Gateway, lines: &[&str]) {
    for line in lines {
        run(gateway, line).await.unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

async fn history(gateway: &Gateway) -> Vec<Value> {
    let text = run(gateway, "history orders --output json").await.unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["service"], &json["durable"]), (&json!("orders"), &json!(false)));
    json["changes"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_history_tells_who_why_and_what() {
    let gateway = Gateway::start().await;
    assert_eq!(run(&gateway, "history orders").await.unwrap(), "Nobody has changed orders.\n");
    all(
        &gateway,
        &[
            "set-weight orders a:1=80 --by ann --reason slow",
            "drain orders b:1 --by bob --ttl 1h",
            "set-policy orders round_robin --by ann",
        ],
    )
    .await;
    run(&gateway, "drain orders x:1").await.unwrap_err();
    gateway.orders.configure(spec("orders", &[("a:1", 3)])).await;
    let changes = history(&gateway).await;
    let told: Vec<_> = changes.iter().map(|it| (&it["revision"], &it["old"], &it["new"])).collect();
    let expected = [
        (&json!(4), &json!("the drain of `b:1`"), &json!("")),
        (&json!(4), &json!("`policy first`"), &json!("`policy round_robin`")),
        (&json!(3), &json!("`b:1=1`"), &json!("`b:1=1 drained`")),
        (&json!(2), &json!("`a:1=3`"), &json!("`a:1=80`")),
    ];
    assert_eq!(told[0].0, expected[0].0);
    assert!(told[0].1.as_str().unwrap().contains("the drain of `b:1`"), "{:?}", told[0]);
    assert_eq!(told[1..], expected[1..]);
    assert_eq!((&changes[0]["ended"], &changes[1]["ended"]), (&json!(true), &json!(false)));
    let first = &changes[3];
    assert_eq!((&first["actor"], &first["reason"]), (&json!("ann"), &json!("slow")));
    assert!(first["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{first}");
    assert_eq!((&first["until"], &changes[2]["until"].is_string()), (&json!(null), &true));

    let text = run(&gateway, "history orders").await.unwrap();
    let lines: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.starts_with("orders: the last changes, which are lost when the gateway"),
        "{text}"
    );
    for part in [
        "no longer configured, and so ended: `the drain of `b:1``",
        "set weights `a:1=80`, by ann (127.0.0.1:",
        "as \u{201C}slow\u{201D}: `a:1=3` -> `a:1=80`",
        "Z drain `b:1` until 20",
    ] {
        assert!(lines.contains(part), "{part}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_eq!(refused(&gateway, "history carts").await.0, 3);
}

#[tokio::test]
async fn one_change_is_undone_unless_a_later_one_touched_the_same() {
    let gateway = Gateway::start().await;
    let weights =
        || members(&gateway.orders).into_iter().map(|(_, weight)| weight).collect::<Vec<_>>();
    all(
        &gateway,
        &["set-weight orders a:1=80 b:1=9", "set-weight orders a:1=5 --by bob --reason x"],
    )
    .await;
    let (exit, error) = refused(&gateway, "revert orders 2").await;
    assert_eq!(exit, 4);
    for part in ["revision 3, made by 127.0.0.1:", "(bob) (x)", "the weight of `a:1`", "(ABORTED)"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(weights(), [5, 9]);
    let told = run(&gateway, "revert orders 3").await.unwrap();
    assert!(told.starts_with("orders is now at revision 4"), "{told}");
    assert_eq!(weights(), [80, 9]);
    // The revert itself is in the way of the first, and is undone as any change.
    assert!(refused(&gateway, "revert orders 2").await.1.contains("revision 4"));
    all(&gateway, &["revert orders 4"]).await;
    assert_eq!(weights(), [5, 9]);
    for (line, part) in [
        ("revert orders 9", "have made revisions 2 to 5 (OUT_OF_RANGE)"),
        ("revert orders 5 --expected-revision 4", "(ABORTED)"),
        ("revert orders 1", "(OUT_OF_RANGE)"),
    ] {
        let (exit, error) = refused(&gateway, line).await;
        assert!(exit == 4 && error.contains(part), "{line}: {error}");
    }
    assert_eq!(weights(), [5, 9]);
}

#[tokio::test]
async fn what_was_added_removed_drained_and_reset_comes_back_by_a_revert() {
    let gateway = Gateway::start().await;
    let seen = || members(&gateway.orders);
    let named = |list: &[(&str, u32)]| -> Vec<(String, u32)> {
        list.iter().map(|(address, weight)| ((*address).into(), *weight)).collect()
    };
    all(&gateway, &["add orders c:1=7 d:1=8", "set-weight orders c:1=70", "remove orders c:1"])
        .await;
    assert_eq!(seen(), named(&[("a:1", 3), ("b:1", 1), ("d:1", 8)]));
    all(&gateway, &["revert orders 4"]).await;
    assert_eq!(seen(), named(&[("a:1", 3), ("b:1", 1), ("c:1", 70), ("d:1", 8)]));
    all(&gateway, &["drain orders b:1", "remove orders a:1", "reset orders --allow-empty"]).await;
    assert_eq!(seen(), named(&[("a:1", 3), ("b:1", 1)]));
    all(&gateway, &["revert orders 8"]).await;
    assert_eq!(seen(), named(&[("c:1", 70), ("d:1", 8)]));
    all(&gateway, &["revert orders 9", "set-policy orders round_robin", "revert orders 11"]).await;
    assert_eq!(seen(), named(&[("a:1", 3), ("b:1", 1)]));
    assert_eq!(gateway.orders.view().spec.balancer.policy, "first");
    // It obeys the rules of all changes.
    all(&gateway, &["set-weight orders b:1=0", "set-weight orders a:1=0 --allow-empty"]).await;
    all(&gateway, &["add orders e:1=1"]).await;
    let (_, error) = refused(&gateway, "revert orders 15").await;
    assert!(error.contains("--allow-empty"), "{error}");
}

/// Changes that hold for a time, in virtual time.
#[tokio::test(start_paused = true)]
async fn a_change_with_a_time_gives_way_to_what_was_before() {
    let orders = service("orders", &[("a:1", 3), ("b:1", 1)]);
    let change = async |change, seconds: Option<u64>| {
        let ttl = seconds.map(Duration::from_secs);
        let terms = Terms { ttl, allow_empty: true, ..Terms::default() };
        orders.change(change, terms, "test".into()).await
    };
    let weight = |weight| Change::SetWeights(BTreeMap::from([("a:1".to_owned(), weight)]));
    let now = || members(&orders).into_iter().map(|(_, weight)| weight).collect::<Vec<_>>();
    let pass = async |seconds| {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    change(weight(80), None).await.unwrap();
    change(weight(10), Some(60)).await.unwrap();
    change(Change::Remove(vec!["b:1".into()]), Some(30)).await.unwrap();
    let add = EndpointSpec { address: "c:1".into(), weight: 7 };
    change(Change::Add(vec![add]), Some(90)).await.unwrap();
    assert_eq!(now(), [10, 7]);
    let until = orders.view().overrides.iter().filter(|one| one.until.is_some()).count();
    assert_eq!(until, 3);
    pass(31).await;
    assert_eq!(now(), [10, 1, 7]);
    pass(30).await;
    assert_eq!(now(), [80, 1, 7], "not what is configured: what was before");
    pass(30).await;
    assert_eq!(now(), [80, 1]);
    assert_eq!(orders.view().revision, 5, "nobody has changed anything since");
    // What is taken back for a time is there again, too.
    change(Change::Drain { address: "b:1".into(), timeout: None }, None).await.unwrap();
    change(Change::Undrain("b:1".into()), Some(10)).await.unwrap();
    change(Change::SetPolicy { policy: "round_robin".into(), settings: Vec::new() }, Some(10))
        .await
        .unwrap();
    assert_eq!((now(), orders.view().spec.balancer.policy), (vec![80, 1], "round_robin"));
    pass(11).await;
    assert_eq!((now(), orders.view().spec.balancer.policy), (vec![80], "first"));
    // One that is over cannot be reverted; one that is not can.
    let late = change(Change::Revert(7), None).await.unwrap_err().to_string();
    assert!(late.contains("has reverted by itself"), "{late}");
    change(weight(1), Some(100)).await.unwrap();
    change(Change::Revert(9), None).await.unwrap();
    assert_eq!(now(), [80]);
    pass(100).await;
    assert_eq!(now(), [80]);
    for wrong in [0, 366 * 24 * 3600] {
        let refused = change(weight(2), Some(wrong)).await.unwrap_err().to_string();
        assert!(refused.contains("up to 365 days"), "{refused}");
    }
    let eject = Change::Eject { address: "a:1".into(), time: Some(Duration::from_secs(5)) };
    assert!(change(eject, Some(5)).await.is_err(), "two times");
    change(Change::Eject { address: "a:1".into(), time: None }, Some(5)).await.unwrap();
    let ejected = || {
        let view = orders.view();
        let on_trial = view.backends[0].condition.ejected.map(|ejected| ejected.on_trial);
        (on_trial, view.overrides.iter().filter(|it| it.backend == "a:1").count())
    };
    assert_eq!(ejected(), (Some(false), 2));
    pass(6).await;
    assert_eq!(ejected().1, 1);
}

#[tokio::test]
async fn splits_have_a_history_reverts_and_times() {
    let gateway = Gateway::start().await;
    let yaml = "listeners: [ { address: 127.0.0.1:0 } ]\nservices: { orders: { endpoints: [ { address: \
                a:1 } ] }, carts: { endpoints: [ { address: b:1 } ] } }\nroutes: [ { name: checkout, \
                split: [ { service: orders, weight: 9 }, { service: carts, weight: 1 } ] } ]\n";
    let plan = equipoise::config::parse(yaml, std::path::Path::new("")).unwrap();
    let carts = service("carts", &[("c:1", 1)]);
    let services = [&gateway.orders, &carts].map(|it| Arc::clone(it).into());
    gateway.registry.publish(plan.routes, services.into()).await;
    let registry = Arc::clone(&gateway.registry);
    let expiring = tokio::spawn(async move { registry.expire_splits().await });
    let weights = || {
        let view = gateway.registry.routing().splits.view("checkout").unwrap();
        view.shares.iter().map(|share| share.weight).collect::<Vec<_>>()
    };
    all(&gateway, &["set-split checkout carts=5", "set-split checkout orders=3 --reason go"]).await;
    let told = run(&gateway, "set-split checkout orders=0 --ttl 100ms").await.unwrap();
    assert!(told.starts_with("the split of checkout is now at revision 4, for 100ms"), "{told}");
    eventually("it is over", async || weights() == [3, 5]).await;
    all(&gateway, &["revert-split checkout 3"]).await;
    assert_eq!(weights(), [9, 5]);
    let (exit, error) = refused(&gateway, "revert-split checkout 3").await;
    assert!(exit == 4 && error.contains("has edited the weight of `orders`"), "{error}");
    let text = run(&gateway, "history-split checkout --output json").await.unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let told: Vec<_> =
        json["changes"].as_array().unwrap().iter().map(|it| it["revision"].clone()).collect();
    assert_eq!(
        (&json["route"], told),
        (&json!("checkout"), vec![5.into(), 4.into(), 3.into(), 2.into()])
    );
    assert_eq!(refused(&gateway, "revert-split nowhere 2").await.0, 3);
    expiring.abort();
}

#[tokio::test]
async fn names_and_reasons_are_kept_as_they_are_or_refused() {
    let gateway = Gateway::start().await;
    let long = "x".repeat(257);
    for (line, part) in [
        (format!("drain orders a:1 --reason {long}"), "up to 256 characters, this one has 257"),
        (format!("drain orders a:1 --by {}", &long[..65]), "a name has up to 64"),
        ("drain orders a:1 --reason a\u{7}b".to_owned(), "U+0007"),
    ] {
        let (exit, error) = refused(&gateway, &line).await;
        assert!(exit == 2 && error.contains(part), "{error}");
    }
    all(&gateway, &["drain orders a:1 --by J\u{f6}rg --reason W\u{e4}rme"]).await;
    let first = history(&gateway).await.remove(0);
    assert_eq!((&first["actor"], &first["reason"]), (&json!("J\u{f6}rg"), &json!("W\u{e4}rme")));
    // Other clients are refused by the gateway.
    let mut client = gateway.client().await;
    let mut request = Request::new(drain("b:1"));
    let text = BinaryMetadataValue::from_bytes(b"a\nb");
    request.metadata_mut().insert_bin("equipoise-reason-bin", text);
    let status = client.drain_backend(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert_eq!(history(&gateway).await.len(), 1);
}
