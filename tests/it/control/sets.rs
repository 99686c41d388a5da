//! Backends added and removed at run time, and changes of policy.

use std::sync::Arc;

use equipoise::control::proto::{
    self, AddBackendsRequest, NewBackend, RemoveBackendsRequest, SetPolicyRequest,
};
use equipoise::model::{ExchangeClass, Time};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::{Code, Status};

use super::*;

fn add<'a>(backends: impl IntoIterator<Item = (&'a str, Option<u32>)>) -> AddBackendsRequest {
    let backends = backends.into_iter();
    let backends = backends.map(|(a, weight)| NewBackend { address: a.into(), weight });
    AddBackendsRequest {
        service: "orders".into(),
        backends: backends.collect(),
        ..Default::default()
    }
}

fn remove(addresses: &[&str]) -> RemoveBackendsRequest {
    RemoveBackendsRequest {
        service: "orders".into(),
        addresses: addresses.iter().map(|address| (*address).into()).collect(),
        ..Default::default()
    }
}

fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

fn map(key: &str, value: Value) -> Struct {
    Struct { fields: [(key.into(), value)].into() }
}

fn policy(name: &str, settings: Struct) -> SetPolicyRequest {
    SetPolicyRequest {
        service: "orders".into(),
        policy: name.into(),
        settings: Some(settings),
        ..Default::default()
    }
}

fn addresses(service: &proto::Service) -> Vec<(&str, u32)> {
    service.backends.iter().map(|b| (&*b.address, b.weight)).collect()
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, named: &[&str]) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    for name in named {
        assert!(status.message().contains(name), "{name}: {status:?}");
    }
}

#[tokio::test]
async fn backends_are_added_behind_those_of_the_configuration() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let endpoint = Arc::clone(&gateway.orders.view().backends[0].endpoint);
    let request = add([("[::1]:80", Some(0)), ("c.example:50051", None)]);
    assert_eq!(client.add_backends(request).await.unwrap().into_inner().revision, 2);
    let seen = get(&mut client).await;
    let expected = [("a:1", 3), ("b:1", 1), ("[::1]:80", 0), ("c.example:50051", 1)];
    assert_eq!(addresses(&seen), expected);
    let expected = [("a:1".into(), 3), ("b:1".into(), 1), ("c.example:50051".into(), 1)];
    assert_eq!(members(&gateway.orders), expected);
    assert!(Arc::ptr_eq(&gateway.orders.view().backends[0].endpoint, &endpoint));

    client.set_weights(weights([("[::1]:80", 9)])).await.unwrap();
    client.drain_backend(drain("c.example:50051")).await.unwrap();
    assert_eq!(members(&gateway.orders)[2], ("[::1]:80".into(), 9));
    assert_eq!(members(&gateway.orders).len(), 3);
}

#[tokio::test]
async fn a_removed_backend_is_gone_and_can_be_added_again() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    client.drain_backend(drain("b:1")).await.unwrap();
    client.remove_backends(remove(&["b:1"])).await.unwrap();
    assert_eq!(addresses(&get(&mut client).await), [("a:1", 3)]);
    refused(client.drain_backend(drain("b:1")).await, Code::InvalidArgument, &["no backend `b:1`"]);

    let answer = client.add_backends(add([("b:1", Some(7))])).await.unwrap();
    assert_eq!(answer.into_inner().revision, 4);
    assert_eq!(members(&gateway.orders), [("a:1".into(), 3), ("b:1".into(), 7)]);
}

#[tokio::test]
async fn statistics_of_a_backend_are_kept_until_its_last_request_ends() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let endpoint = Arc::clone(&gateway.orders.view().backends[1].endpoint);
    endpoint.load().begin(ExchangeClass::Call, Time::ZERO);
    client.remove_backends(remove(&["b:1"])).await.unwrap();
    let leaving = |view: &Arc<equipoise::service::ServiceView>| view.leaving.len();
    assert_eq!(leaving(&gateway.orders.view()), 1);

    endpoint.load().end(ExchangeClass::Call, Time::ZERO);
    let mut views = gateway.orders.watch();
    let _ = views.wait_for(|view| leaving(view) == 0).await.unwrap();
}

#[tokio::test]
async fn nothing_is_added_when_anything_is_wrong() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let stale = AddBackendsRequest { expected_revision: Some(9), ..add([("c:1", None)]) };
    let elsewhere = AddBackendsRequest { service: "order".into(), ..add([("c:1", None)]) };
    for (request, code, named) in [
        (add([]), Code::InvalidArgument, &["at least one"][..]),
        (add([("c:1", None), ("A:1", None)]), Code::InvalidArgument, &["`A:1` twice"]),
        (add([("c:1", None), ("c:1", None)]), Code::InvalidArgument, &["`c:1` twice"]),
        (add([("c:1", None), ("c", None)]), Code::InvalidArgument, &["`c` has no port"]),
        (add([("c:1", Some(1001))]), Code::InvalidArgument, &["c:1=1001", "0 to 1000"]),
        (stale, Code::Aborted, &["revision 1,"]),
        (elsewhere, Code::NotFound, &["did you mean `orders`"]),
    ] {
        refused(client.add_backends(request).await, code, named);
    }
    let names: Vec<_> = (0..10_000).map(|i| format!("c:{}", i + 1)).collect();
    let many = add(names.iter().map(|name| (name.as_str(), None)));
    refused(client.add_backends(many).await, Code::InvalidArgument, &["10002", "10000"]);
    let just = add(names.iter().skip(2).map(|name| (name.as_str(), None)));
    client.add_backends(just).await.unwrap();
    assert_eq!(members(&gateway.orders).len(), 10_000);
}

#[tokio::test]
async fn nothing_is_removed_when_anything_is_wrong() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let stale = RemoveBackendsRequest { expected_revision: Some(9), ..remove(&["a:1"]) };
    for (request, code, named) in [
        (remove(&[]), Code::InvalidArgument, &["at least one"][..]),
        (remove(&["a:1", "c:1"]), Code::InvalidArgument, &["no backend `c:1`", "`a:1`, `b:1`"]),
        (remove(&["a:1", "b:1"]), Code::FailedPrecondition, &["allow_empty"]),
        (stale, Code::Aborted, &["revision 1,"]),
    ] {
        refused(client.remove_backends(request).await, code, named);
    }
    assert_eq!(get(&mut client).await.revision, 1);
    let all = RemoveBackendsRequest { allow_empty: true, ..remove(&["a:1", "b:1"]) };
    client.remove_backends(all).await.unwrap();
    assert_eq!(addresses(&get(&mut client).await), []);
    client.add_backends(add([("z:1", None)])).await.unwrap();
    assert_eq!(members(&gateway.orders), [("z:1".into(), 1)]);
}

#[tokio::test]
async fn a_policy_is_set_with_settings_as_the_configuration_has_them() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let endpoint = Arc::clone(&gateway.orders.view().backends[0].endpoint);
    let mut settings =
        map("key", Value { kind: Some(Kind::StructValue(map("header", text("x")))) });
    let number = Value { kind: Some(Kind::NumberValue(64.0)) };
    settings.fields.insert("replicas".into(), number);
    let answer = client.set_policy(policy("consistent_hash", settings)).await.unwrap();
    assert_eq!(answer.into_inner().revision, 2);
    assert_eq!(get(&mut client).await.policy, "consistent_hash");
    let snapshot = gateway.orders.snapshot().load_full();
    assert_eq!(snapshot.spec.balancer.policy, "consistent_hash");
    assert!(Arc::ptr_eq(&snapshot.set.members()[0].endpoint, &endpoint));

    let decay = map("decay", text("5s"));
    client.set_policy(policy("p2c_ewma", decay)).await.unwrap();
    client.set_policy(policy("configured", Struct::default())).await.unwrap();
    assert_eq!(get(&mut client).await.policy, "first");
}

#[tokio::test]
async fn a_wrong_policy_changes_nothing() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let none = Struct::default();
    let list = Value { kind: Some(Kind::ListValue(Default::default())) };
    let stale = SetPolicyRequest { expected_revision: Some(9), ..policy("maglev", none.clone()) };
    let stale = SetPolicyRequest { policy: "round_robin".into(), ..stale };
    for (request, code, named) in [
        (policy("", none.clone()), Code::InvalidArgument, &["unknown policy", "round_robin"][..]),
        (policy("round_robbin", none), Code::InvalidArgument, &["did you mean `round_robin`?"]),
        (policy("p2c_ewma", map("decai", text("5s"))), Code::InvalidArgument, &["`decay`"]),
        (policy("p2c_ewma", map("decay", text("5 parsecs"))), Code::InvalidArgument, &["decay"]),
        (policy("p2c_ewma", map("decay", list)), Code::InvalidArgument, &["`decay`"]),
        (policy("configured", map("a", text("1"))), Code::InvalidArgument, &["no settings"]),
        (stale, Code::Aborted, &["revision 1,"]),
    ] {
        refused(client.set_policy(request).await, code, named);
    }
    assert_eq!(get(&mut client).await.revision, 1);
}

#[tokio::test]
async fn overrides_survive_a_reload() {
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;
    let configured = |backends| spec("orders", backends);
    client.set_weights(weights([("a:1", 30)])).await.unwrap();
    client.drain_backend(drain("b:1")).await.unwrap();
    client.add_backends(add([("x:1", Some(5))])).await.unwrap();
    client.set_policy(policy("round_robin", Struct::default())).await.unwrap();
    let endpoint = Arc::clone(&gateway.orders.view().backends[0].endpoint);

    gateway.orders.configure(configured(&[("c:1", 4), ("a:1", 1), ("b:1", 8)])).await;
    let seen = get(&mut client).await;
    assert_eq!((seen.revision, &*seen.policy), (5, "round_robin"));
    assert_eq!(addresses(&seen), [("c:1", 4), ("a:1", 30), ("b:1", 8), ("x:1", 5)]);
    let members = members(&gateway.orders);
    assert_eq!(members, [("c:1".into(), 4), ("a:1".into(), 30), ("x:1".into(), 5)]);
    assert!(Arc::ptr_eq(&gateway.orders.view().backends[1].endpoint, &endpoint));

    gateway.orders.configure(configured(&[("c:1", 4), ("a:1", 1), ("b:1", 8)])).await;
    assert_eq!(get(&mut client).await.generation, 6, "nothing has changed");
    client.remove_backends(remove(&["c:1", "x:1"])).await.unwrap();
    gateway.orders.configure(configured(&[("c:1", 7), ("a:1", 1)])).await;
    assert_eq!(addresses(&get(&mut client).await), [("a:1", 30)]);
    gateway.orders.configure(configured(&[("a:1", 1)])).await;
    gateway.orders.configure(configured(&[("a:1", 1), ("b:1", 2), ("c:1", 7)])).await;
    assert_eq!(addresses(&get(&mut client).await), [("a:1", 30), ("b:1", 2), ("c:1", 7)]);
}
