//! Reloads keep operators' overrides, and log any that are dropped.

use crate::support::backend::Backend;
use crate::support::client::{self, message};
use crate::support::gateway::{Control, Gateway, PORTS, one_service};
use crate::support::process::Process;
use equipoise::control::proto;

fn weighted(backends: &[(&Backend, u32)]) -> String {
    let one = |(backend, weight): &(&Backend, u32)| {
        format!("      - {{ address: \"{}\", weight: {weight} }}\n", backend.address)
    };
    let backends: String = backends.iter().map(one).collect();
    format!(
        "{PORTS}services:\n  echo:\n    endpoints:\n{backends}routes: [ {{ service: echo }} ]\n"
    )
}

#[tokio::test]
async fn the_log_says_what_a_new_file_says_in_vain() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let yaml = |a_weight, b_weight| weighted(&[(&a, a_weight), (&b, b_weight)]);
    let gateway = Process::start(&yaml(5, 5)).await;
    let mut control = Control::connect(gateway.control).await;
    control.set_weights(&[(a.address, 80)]).await;
    gateway.configure(&yaml(20, 5));
    gateway.hang_up();
    let covered = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|text| text.contains("has changed under"))
    };
    let line = gateway.said(covered).await;
    let told = line["overrides"].as_str().unwrap();
    let expected = format!("{} has weight 80, configured is weight 20, by 127.0.0.1:", a.address);
    assert!(told.contains(&expected), "{line}");
    assert_eq!((&line["service"], &line["count"]), (&"echo".into(), &1.into()));
    // A later change of other services is not logged again for this one.
    gateway.configure(&yaml(20, 6));
    gateway.hang_up();
    let again =
        |line: &serde_json::Value| line["message"] == "reconfigured" && line["generation"] == 4;
    assert_eq!(gateway.said(again).await["revision"], 2, "no operator has changed more");
    assert_eq!(gateway.count(covered), 1);
}

#[tokio::test]
async fn changes_that_name_nothing_there_is_are_in_the_log_too() {
    let a = Backend::start().await;
    let gateway = Process::start(&weighted(&[(&a, 1)])).await;
    let mut control = Control::connect(gateway.control).await;
    let request = proto::DrainBackendRequest {
        service: "carts".into(),
        backend: "a:1".into(),
        ..Default::default()
    };
    control.0.drain_backend(request).await.unwrap_err();
    let refused = |line: &serde_json::Value, service: &str| {
        line["message"] == "change refused" && line["service"] == service
    };
    let line = gateway.said(|line| refused(line, "carts")).await;
    assert!(line["by"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert_eq!(line["change"], "drain `a:1`");
    assert!(line["error"].as_str().unwrap().contains("no service `carts`"), "{line}");

    let list = prost_types::value::Kind::ListValue(prost_types::ListValue::default());
    let list = prost_types::Value { kind: Some(list) };
    let settings = prost_types::Struct { fields: [("decay".to_owned(), list)].into() };
    let request = proto::SetPolicyRequest {
        service: "echo".into(),
        policy: "p2c_ewma".into(),
        settings: Some(settings),
        ..Default::default()
    };
    control.0.set_policy(request).await.unwrap_err();
    let line = gateway.said(|line| refused(line, "echo")).await;
    assert!(line["error"].as_str().unwrap().contains("setting `decay`"), "{line}");

    let request = proto::SetSplitRequest { route: "nowhere".into(), ..Default::default() };
    control.0.set_split(request).await.unwrap_err();
    let line = gateway.said(|line| line["route"] == "nowhere").await;
    assert_eq!(line["message"], "change refused");
}

#[tokio::test]
async fn a_service_that_comes_back_goes_on_above_its_revisions() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let mut gateway = Gateway::to(&[a.address]).await;
    let mut control = gateway.control().await;
    for weight in 2..=4 {
        control.set_weights(&[(a.address, weight)]).await;
    }
    let other = one_service(&[b.address], "").replace("echo", "other");
    assert!(gateway.reload(&other).await);
    assert!(gateway.reload(&one_service(&[a.address], "")).await);
    let request = proto::GetServiceRequest { service: "echo".into(), since_revision: None };
    let service = control.0.get_service(request).await.unwrap().into_inner();
    assert_eq!((service.revision, service.overrides.len()), (5, 0));
    let request = proto::SetWeightsRequest {
        service: "echo".into(),
        weights: [(a.address.to_string(), 9)].into(),
        expected_revision: Some(4),
        ..Default::default()
    };
    let stale = control.0.set_weights(request).await.unwrap_err();
    assert_eq!(stale.code(), tonic::Code::Aborted, "{stale}");
}

#[tokio::test]
async fn a_split_is_in_effect_when_it_was_answered_and_after_a_reload() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let yaml = |weight| {
        format!(
            "{PORTS}services:\n  old: {{ endpoints: [ {{ address: \"{}\" }} ] }}\n  new: {{ endpoints: \
             [ {{ address: \"{}\" }} ] }}\nroutes:\n  - name: canary\n    split: [ {{ service: old, \
             weight: 100 }}, {{ service: new, weight: {weight} }} ]\n",
            a.address, b.address
        )
    };
    let mut gateway = Gateway::start(&yaml(0)).await;
    let mut control = gateway.control().await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(gateway.client().await);
    }
    let mut set = async |old, new| {
        let weights = [("old".to_owned(), old), ("new".to_owned(), new)].into();
        let request =
            proto::SetSplitRequest { route: "canary".into(), weights, ..Default::default() };
        control.0.set_split(request).await.unwrap();
    };
    for round in 0..10 {
        let (backend, weights) = if round % 2 == 0 { (&b, (0, 1)) } else { (&a, (1, 0)) };
        set(weights.0, weights.1).await;
        for client in &mut clients {
            let answer = client.unary(message("x")).await.unwrap();
            assert_eq!(client::backend(&answer), backend.address, "{round}");
        }
    }
    assert!(gateway.reload(&yaml(50)).await);
    for client in &mut clients {
        let answer = client.unary(message("x")).await.unwrap();
        assert_eq!(client::backend(&answer), a.address, "operators have said 1 to 0");
    }
}

#[tokio::test]
async fn what_was_wanted_of_a_service_that_goes_has_ended_and_the_log_says_so() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let yaml = weighted(&[(&a, 5)]);
    let gateway = Process::start(&yaml).await;
    let mut control = Control::connect(gateway.control).await;
    control.set_weights(&[(a.address, 80)]).await;
    gateway.configure(&yaml.replace("weight: 5", "weight: 80"));
    gateway.hang_up();
    let same = |line: &serde_json::Value| {
        let told = line["overrides"].as_str().unwrap_or_default();
        told.contains("has weight 80, as the configuration says too")
    };
    gateway.said(same).await;
    let other = weighted(&[(&b, 1)]).replace("echo", "carts");
    gateway.configure(&other);
    gateway.hang_up();
    let ended = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|text| text.contains("this service no more"))
    };
    let line = gateway.said(ended).await;
    assert_eq!((&line["service"], &line["count"]), (&"echo".into(), &1.into()));
    assert!(line["overrides"].as_str().unwrap().contains("has weight 80"), "{line}");
    for (message, service) in [("services added", "`carts`"), ("services removed", "`echo`")] {
        let line = gateway.said(|line| line["message"] == message).await;
        assert_eq!(line["services"], service);
    }
}
