//! What roles allow, and for which services.

use equipoise::access::{Need, Role};
use equipoise::control::proto::control_client::ControlClient;
use equipoise::control::proto::{self, ListServicesRequest, ListSplitsRequest};

use super::*;

const CONTROL: &str =
    "{ address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key }, tokens: tokens.txt }";

async fn with(tokens: &str) -> (app::Gateway, Authority) {
    let authority = Authority::new();
    authority.issue("server", NAME);
    std::fs::write(authority.folder().join("tokens.txt"), tokens).unwrap();
    let gateway = start(CONTROL, authority.folder()).await;
    (gateway, authority)
}

fn revisions(gateway: &app::Gateway) -> Vec<u64> {
    gateway.services().list().iter().map(|service| service.view().revision).collect()
}

#[tokio::test]
async fn a_read_role_changes_nothing_and_sees_everything() {
    let (gateway, authority) = with(&line("ann", "read", "t", "never")).await;
    let (who, before) = (Who::token("t"), revisions(&gateway));
    let channel = who.connect(tcp(&gateway), &authority).await.unwrap();
    for method in methods() {
        let code = who.code(&channel, &method, "orders").await;
        match method.rule().role {
            Role::Read => assert!(
                !matches!(code, Code::PermissionDenied | Code::Unauthenticated),
                "{}: {code:?}",
                method.path
            ),
            _ => assert_eq!(code, Code::PermissionDenied, "{}", method.path),
        }
    }
    assert_eq!(revisions(&gateway), before);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_operator_moves_traffic_and_no_more() {
    let (gateway, authority) = with(&line("ann", "operate", "t", "never")).await;
    let who = Who::token("t");
    let channel = who.connect(tcp(&gateway), &authority).await.unwrap();
    for method in methods() {
        let denied = who.code(&channel, &method, "orders").await == Code::PermissionDenied;
        assert_eq!(denied, method.rule().role == Role::Admin, "{}", method.path);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_role_for_orders_reaches_no_cart() {
    let (gateway, authority) = with(&line("ann", "admin:orders*", "t", "never")).await;
    let (who, before) = (Who::token("t"), revisions(&gateway));
    let channel = who.connect(tcp(&gateway), &authority).await.unwrap();
    for method in methods() {
        let rule = method.rule();
        let carts = who.call(&channel, &method, "carts").await.err();
        let code = carts.as_ref().map_or(Code::Ok, Status::code);
        let named = method.first.is_some();
        match rule.need {
            Need::Service | Need::Split | Need::All => {
                assert_eq!(code, Code::PermissionDenied, "{}", method.path);
            }
            Need::Listed if named && method.path.contains("Control/") => {
                assert_eq!(code, Code::PermissionDenied, "{}", method.path);
            }
            Need::Listed | Need::Identity => {
                assert_ne!(code, Code::PermissionDenied, "{}", method.path);
            }
        }
        // Nor is it told whether there is such a service.
        if rule.need == Need::Service {
            let none = who.call(&channel, &method, "none").await.unwrap_err();
            assert_eq!(none.code(), Code::PermissionDenied, "{}", method.path);
            let own = who.code(&channel, &method, "orders-eu").await;
            assert_ne!(own, Code::PermissionDenied, "{}", method.path);
        }
    }
    let mut client = ControlClient::new(channel);
    let listed = client.list_services(who.sign(ListServicesRequest {})).await.unwrap().into_inner();
    let names: Vec<_> = listed.services.iter().map(|service| &*service.name).collect();
    assert_eq!(names, ["orders", "orders-eu"]);
    let splits = client.list_splits(who.sign(ListSplitsRequest {})).await.unwrap().into_inner();
    assert!(splits.splits.iter().all(|split| split.route != "both"), "{splits:?}");
    let unknown = proto::GetServiceRequest { service: "orderz".into(), since_revision: None };
    let refused = client.get_service(who.sign(unknown)).await.unwrap_err();
    assert!(!refused.message().contains("carts"), "{refused:?}");
    let carts = revisions(&gateway)[0];
    assert_eq!(carts, before[0], "`carts` is the first by name");
    gateway.shutdown().await;
}

#[tokio::test]
async fn to_revert_needs_the_role_that_the_change_needed() {
    let tokens = line("ann", "operate", "op", "never") + &line("root", "admin", "adm", "never");
    let (gateway, authority) = with(&tokens).await;
    let (operator, admin) = (Who::token("op"), Who::token("adm"));
    let channel = operator.connect(tcp(&gateway), &authority).await.unwrap();
    let mut client = ControlClient::new(channel);
    let drain = proto::DrainBackendRequest {
        service: "orders".into(),
        backend: "127.0.0.1:1".into(),
        ..Default::default()
    };
    let drained = client.drain_backend(operator.sign(drain)).await.unwrap().into_inner();
    let added = proto::AddBackendsRequest {
        service: "orders".into(),
        backends: vec![proto::NewBackend { address: "127.0.0.1:3".into(), weight: None }],
        ..Default::default()
    };
    let added = client.add_backends(admin.sign(added)).await.unwrap().into_inner();
    let revert = |revision| proto::RevertChangeRequest {
        service: "orders".into(),
        revision,
        ..Default::default()
    };
    let refused = client.revert_change(operator.sign(revert(added.revision))).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    assert!(refused.message().contains("needs the role admin"), "{refused:?}");
    client.revert_change(operator.sign(revert(drained.revision))).await.unwrap();
    client.revert_change(admin.sign(revert(added.revision))).await.unwrap();
    let changes = proto::ListChangesRequest { service: "orders".into(), route: String::new() };
    let changes = client.list_changes(operator.sign(changes)).await.unwrap().into_inner().changes;
    let who: Vec<_> = changes.iter().rev().map(|change| &*change.identity).collect();
    assert_eq!(who, ["token:ann", "token:root", "token:ann", "token:root"]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_dry_run_needs_the_role_of_the_change() {
    let (gateway, authority) = with(&line("ann", "operate:orders*", "t", "never")).await;
    let who = Who::token("t");
    let channel = who.connect(tcp(&gateway), &authority).await.unwrap();
    let mut client = ControlClient::new(channel);
    let drain = |service: &str| proto::DrainBackendRequest {
        service: service.into(),
        backend: "127.0.0.1:1".into(),
        dry_run: true,
        ..Default::default()
    };
    let may = client.drain_backend(who.sign(drain("orders"))).await.unwrap().into_inner();
    assert_eq!((may.revision, may.preview.unwrap().revision), (1, 2));
    let denied = client.drain_backend(who.sign(drain("carts"))).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let add = proto::AddBackendsRequest {
        service: "orders".into(),
        backends: vec![proto::NewBackend { address: "127.0.0.1:3".into(), weight: None }],
        dry_run: true,
        ..Default::default()
    };
    assert_eq!(
        client.add_backends(who.sign(add)).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    gateway.shutdown().await;
}
