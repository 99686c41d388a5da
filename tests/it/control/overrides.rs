//! Overrides: shown, logged at a reload, and reset.

use equipoise::control::proto::OverrideKind;
use tonic::Code;

use super::ctl::run;
use super::*;

/// Kind, backend, configured value and wanted value of every override.
type Told = (OverrideKind, String, Option<u32>, Option<u32>);

async fn told(gateway: &Gateway) -> Vec<Told> {
    let service = get(&mut gateway.client().await).await;
    let told = |one: &proto::Override| {
        assert!(one.by.starts_with("127.0.0.1:"), "{one:?}");
        assert!(one.at.is_some_and(|at| at.seconds > 1_700_000_000), "{one:?}");
        (one.kind(), one.backend.clone(), one.configured_weight, one.weight)
    };
    service.overrides.iter().map(told).collect()
}

async fn all(gateway: &Gateway, lines: &[&str]) {
    for line in lines {
        run(gateway, line).await.unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

async fn addresses(gateway: &Gateway) -> Vec<(String, u32)> {
    let service = get(&mut gateway.client().await).await;
    service.backends.iter().map(|b| (b.address.clone(), b.effective_weight)).collect()
}

fn named(backends: &[(&str, u32)]) -> Vec<(String, u32)> {
    backends.iter().map(|(address, weight)| ((*address).into(), *weight)).collect()
}

#[tokio::test]
async fn overrides_are_shown_with_the_configured_value() {
    let gateway = Gateway::with(&[("a:1", 3), ("b:1", 1), ("c:1", 5)]).await;
    assert_eq!(told(&gateway).await, []);
    let changes = ["set-weight orders A:1=80", "drain orders b:1", "remove orders c:1"];
    all(&gateway, &changes).await;
    all(&gateway, &["add orders d:1=7", "set-policy orders round_robin"]).await;
    gateway.orders.configure(spec("orders", &[("a:1", 20), ("b:1", 1), ("c:1", 6)])).await;
    use OverrideKind::{Add, Drain, Policy, Remove, Weight};
    let expected = [
        (Policy, String::new(), None, None),
        (Weight, "a:1".into(), Some(20), Some(80)),
        (Drain, "b:1".into(), Some(1), None),
        (Remove, "c:1".into(), Some(6), None),
        (Add, "d:1".into(), None, Some(7)),
    ];
    assert_eq!(told(&gateway).await, expected);
    let service = get(&mut gateway.client().await).await;
    let policy = |policy: &Option<proto::Policy>| policy.clone().unwrap().name;
    let first = &service.overrides[0];
    assert_eq!((policy(&first.configured_policy), policy(&first.policy)), {
        ("first".into(), "round_robin".into())
    });

    let shown = run(&gateway, "backends orders").await.unwrap();
    for line in [
        "policy round_robin, configured first; by 127.0.0.1:",
        "a:1 weight 80, configured 20; by 127.0.0.1:",
        "b:1 drained, configured weight 1; by 127.0.0.1:",
        "c:1 removed, configured weight 6; by 127.0.0.1:",
        "d:1 added with weight 7, not configured; by 127.0.0.1:",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let summary = run(&gateway, "services").await.unwrap();
    assert!(summary.lines().nth(1).unwrap().ends_with(" 5"), "{summary}");

    let json = run(&gateway, "backends orders --output json").await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let one = &json["services"][0]["overrides"][1];
    assert_eq!((&one["kind"], &one["backend"]), (&"WEIGHT".into(), &"a:1".into()));
    assert_eq!((&one["configured_weight"], &one["weight"]), (&20.into(), &80.into()));
    assert!(one["at"].as_str().unwrap().ends_with('Z'), "{one}");
}

#[tokio::test]
async fn a_reset_restores_the_configuration_of_a_backend() {
    let gateway = Gateway::with(&[("a:1", 3), ("b:1", 1)]).await;
    all(
        &gateway,
        &["set-weight orders a:1=9", "drain orders a:1", "remove orders b:1 --allow-empty"],
    )
    .await;
    all(&gateway, &["add orders c:1=7", "reset orders A:1"]).await;
    assert_eq!(addresses(&gateway).await, named(&[("a:1", 3), ("c:1", 7)]));
    all(&gateway, &["reset orders b:1"]).await;
    assert_eq!(addresses(&gateway).await, named(&[("a:1", 3), ("b:1", 1), ("c:1", 7)]));
    all(&gateway, &["reset orders c:1"]).await;
    assert_eq!(addresses(&gateway).await, named(&[("a:1", 3), ("b:1", 1)]));
    assert_eq!(told(&gateway).await, []);
}

#[tokio::test]
async fn a_reset_restores_the_configuration_of_a_service() {
    let gateway = Gateway::with(&[("a:1", 3), ("b:1", 1)]).await;
    all(&gateway, &["set-policy orders maglev key.header=x", "add orders c:1", "drain orders c:1"])
        .await;
    all(&gateway, &["set-weight orders a:1=0", "remove orders b:1 --allow-empty"]).await;
    gateway.orders.configure(spec("orders", &[("a:1", 4), ("b:1", 2)])).await;
    let answer = run(&gateway, "reset orders --expected-revision 6").await.unwrap();
    assert_eq!(answer, "orders is now at revision 7; it is lost when the gateway ends\n");
    assert_eq!(addresses(&gateway).await, named(&[("a:1", 4), ("b:1", 2)]));
    assert_eq!(gateway.orders.view().spec.balancer.policy, "first");
    assert_eq!(told(&gateway).await, []);
}

#[tokio::test]
async fn a_reset_obeys_the_rules_of_all_changes() {
    let gateway = Gateway::with(&[("a:1", 0), ("b:1", 0)]).await;
    all(&gateway, &["set-weight orders a:1=1"]).await;
    let cases = [
        ("reset orders z:1", Code::InvalidArgument, "no backend `z:1`"),
        ("reset orders --expected-revision 1", Code::Aborted, "revision 2"),
        ("reset orders", Code::FailedPrecondition, "--allow-empty"),
        ("reset carts", Code::NotFound, "carts"),
    ];
    for (line, code, part) in cases {
        let error = run(&gateway, line).await.unwrap_err().to_string();
        let name = equipoise::model::GrpcCode::from_number(code as u32).name();
        assert!(error.contains(part) && error.ends_with(&format!("({name})")), "{line}: {error}");
        assert_eq!(told(&gateway).await.len(), 1, "{line}");
    }
    all(&gateway, &["reset orders --allow-empty"]).await;
    assert_eq!(members(&gateway.orders), []);
}

#[tokio::test]
async fn a_removed_backend_is_named_in_errors() {
    let gateway = Gateway::with(&[("a:1", 3), ("b:1", 1)]).await;
    all(&gateway, &["remove orders b:1"]).await;
    let error = run(&gateway, "set-weight orders b:1=2").await.unwrap_err().to_string();
    assert!(error.contains("operators have removed `b:1`"), "{error}");
}

#[tokio::test]
async fn a_service_that_comes_back_repeats_no_revision() {
    let gateway = Gateway::start().await;
    all(&gateway, &["set-weight orders a:1=9", "set-weight orders a:1=8"]).await;
    let before = gateway.registry.routing();
    gateway.registry.publish(Arc::default(), Vec::new()).await;
    // Whoever still holds a reference to the retired service changes nothing.
    gateway.registry.retire(&before).await;
    let change = equipoise::service::Change::Drain { address: "a:1".into(), timeout: None };
    let late = gateway.orders.change(change, Default::default(), "late".into()).await;
    assert!(late.unwrap_err().to_string().contains("no service `orders`"));
    let initial = gateway.registry.initial_state("orders");
    let config = spec("orders", &[("a:1", 3)]);
    let back = Service::start_with(initial, config, &environment(1));
    assert_eq!(back.view().revision, 4);
}

#[tokio::test]
async fn policies_show_every_setting_in_effect() {
    let gateway = Gateway::start().await;
    all(&gateway, &["set-policy orders p2c_ewma decay=3s"]).await;
    let shown = run(&gateway, "policies orders").await.unwrap();
    assert!(shown.starts_with("orders: p2c_ewma decay=3s "), "{shown}");
    assert!(shown.contains("penalty="), "a default: {shown}");
    all(&gateway, &["set-policy orders consistent_hash key.header=x-user"]).await;
    let shown = run(&gateway, "policies").await.unwrap();
    let expected = "orders: consistent_hash fallback=random key.header=x-user replicas=256\n";
    assert_eq!(shown, expected);
    for line in ["policies --output json", "services --output json", "backends --output json"] {
        let json = run(&gateway, line).await.unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let settings = &json["services"][0]["policy_settings"];
        let expected = serde_json::json!({
            "fallback": "random", "key": { "header": "x-user" }, "replicas": "256",
        });
        assert_eq!(settings, &expected, "{line}");
    }
    // A source address is always present, so there is no fallback to show.
    all(&gateway, &["set-policy orders maglev key=source_address"]).await;
    let shown = run(&gateway, "policies orders").await.unwrap();
    assert!(!shown.contains("fallback"), "{shown}");
}

#[tokio::test]
async fn the_author_is_the_address_and_the_given_name() {
    let gateway = Gateway::start().await;
    all(&gateway, &["drain orders a:1 --by alice@laptop"]).await;
    let by = |service: &proto::Service| service.overrides[0].by.clone();
    let said = by(&get(&mut gateway.client().await).await);
    assert!(said.starts_with("127.0.0.1:") && said.ends_with(" (alice@laptop)"), "{said}");
    all(&gateway, &["undrain orders a:1"]).await;
    gateway.client().await.drain_backend(drain("a:1")).await.unwrap();
    let said = by(&get(&mut gateway.client().await).await);
    assert!(!said.contains('('), "nobody has said anything: {said}");
}

#[tokio::test]
async fn the_reason_of_a_change_is_kept_with_its_author() {
    let gateway = Gateway::start().await;
    for reason in ["disk", &"x".repeat(256)] {
        all(&gateway, &[&format!("drain orders a:1 --reason {reason}")]).await;
        let said = get(&mut gateway.client().await).await.overrides[0].reason.clone();
        assert_eq!(said, reason);
        let json = run(&gateway, "backends orders --output json").await.unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["services"][0]["overrides"][0]["reason"], said);
        all(&gateway, &["undrain orders a:1"]).await;
    }
}

#[tokio::test]
async fn revisions_count_operators_changes_and_generations_all_changes() {
    let gateway = Gateway::start().await;
    let now = async || {
        let service = get(&mut gateway.client().await).await;
        let snapshot = gateway.orders.snapshot().load();
        assert_eq!(
            (snapshot.revision, snapshot.generation),
            (service.revision, service.generation)
        );
        (service.revision, service.generation)
    };
    let configure = async |a| gateway.orders.configure(spec("orders", &[("a:1", a)])).await;
    assert_eq!(now().await, (1, 1));
    all(&gateway, &["set-weight orders a:1=9"]).await;
    assert_eq!(now().await, (2, 2));
    configure(5).await;
    assert_eq!(now().await, (2, 3));
    configure(5).await;
    assert_eq!(now().await, (2, 3), "nothing is otherwise");
    configure(6).await;
    // A reload does not count as a conflicting change by another operator.
    all(&gateway, &["set-weight orders a:1=8 --expected-revision 2"]).await;
    assert_eq!(now().await, (3, 5));
    let text = run(&gateway, "services --output json").await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&json["services"][0]["revision"], &json["services"][0]["generation"]),
        (&3.into(), &5.into())
    );
    let text = run(&gateway, "backends orders").await.unwrap();
    assert!(text.contains("revision 3, generation 5;"), "{text}");
}
