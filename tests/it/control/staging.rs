//! Several services switch to a new configuration together.

use equipoise::service::{Change, StagedService, Terms};

use super::*;

async fn staged(service: &Arc<Service>, backends: &[(&str, u32)]) -> StagedService {
    Arc::clone(service).staged(spec(service.name(), backends)).await
}

fn set_weight(service: &Arc<Service>, weight: u32) -> JoinHandle<u64> {
    let service = Arc::clone(service);
    tokio::spawn(async move {
        let change = Change::SetWeights([("a:1".to_owned(), weight)].into());
        service.change(change, Terms::default(), "test".into()).await.unwrap()
    })
}

/// The configuration's number, and the policies of its services.
fn published(registry: &Registry) -> (u64, Vec<(u64, usize)>) {
    let routing = registry.routing();
    let snapshots = routing.snapshots.iter().map(|it| (it.generation, it.set.len()));
    (routing.configuration, snapshots.collect())
}

#[tokio::test]
async fn nothing_is_seen_before_all_is_there_and_then_all_at_once() {
    let gateway = Gateway::start().await;
    let carts = service("carts", &[("c:1", 1)]);
    publish(&gateway.registry, [&gateway.orders, &carts]).await;
    assert_eq!(published(&gateway.registry), (2, vec![(1, 2), (1, 1)]));
    let orders = staged(&gateway.orders, &[("a:1", 5)]).await;
    let both = vec![orders, staged(&carts, &[("c:1", 1), ("d:1", 1)]).await];
    assert_eq!(published(&gateway.registry), (2, vec![(1, 2), (1, 1)]));
    assert_eq!(gateway.orders.view().backends.len(), 2);
    gateway.registry.publish(Arc::default(), both).await;
    assert_eq!(published(&gateway.registry), (3, vec![(2, 1), (2, 2)]));
    assert_eq!(gateway.orders.view().backends.len(), 1);
    assert_eq!(members(&carts).len(), 2);
}

#[tokio::test]
async fn a_change_in_between_waits_and_is_lost_nowhere() {
    let gateway = Gateway::start().await;
    let orders = staged(&gateway.orders, &[("a:1", 5), ("c:1", 1)]).await;
    let change = set_weight(&gateway.orders, 9);
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(!change.is_finished());
    gateway.registry.publish(Arc::default(), vec![orders]).await;
    assert_eq!(change.await.unwrap(), 2);
    let expected = vec![("a:1".to_owned(), 9), ("c:1".to_owned(), 1)];
    assert_eq!(members(&gateway.orders), expected);
    assert_eq!(published(&gateway.registry), (2, vec![(3, 2)]));
}

#[tokio::test]
async fn a_dropped_staging_changes_nothing() {
    let gateway = Gateway::start().await;
    drop(staged(&gateway.orders, &[("c:1", 5)]).await);
    assert_eq!(set_weight(&gateway.orders, 9).await.unwrap(), 2);
    let expected = vec![("a:1".to_owned(), 9), ("b:1".to_owned(), 1)];
    assert_eq!(members(&gateway.orders), expected);
    assert_eq!(published(&gateway.registry), (1, vec![(2, 2)]));
}

#[tokio::test]
async fn an_unchanged_service_takes_changes_during_a_reload() {
    let gateway = Gateway::start().await;
    let same = staged(&gateway.orders, &[("a:1", 3), ("b:1", 1)]).await;
    assert_eq!(set_weight(&gateway.orders, 9).await.unwrap(), 2);
    gateway.registry.publish(Arc::default(), vec![same]).await;
    assert_eq!(members(&gateway.orders)[0], ("a:1".into(), 9));
    assert_eq!(published(&gateway.registry), (2, vec![(2, 2)]));
}

#[tokio::test]
async fn a_service_ends_with_the_routing_that_has_it() {
    let gateway = Gateway::start().await;
    let carts = service("carts", &[("c:1", 1)]);
    publish(&gateway.registry, [&gateway.orders, &carts]).await;
    let (weak, mut views) = (Arc::downgrade(&carts), carts.watch());
    drop(carts);
    publish(&gateway.registry, [&gateway.orders]).await;
    assert!(weak.upgrade().is_none());
    while views.changed().await.is_ok() {} // its writer has stopped
}
