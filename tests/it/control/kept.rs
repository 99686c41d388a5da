//! Changes take effect once they are kept, and only then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use equipoise::overrides::{ChangeRecord, Kept, NotKept, RecordKind, Store};
use equipoise::service::{Change, Terms};
use tokio::sync::Semaphore;
use tonic::Code;

use super::*;
use crate::support::eventually;

/// A store that fails or waits as it is told.
#[derive(Debug)]
struct Scripted {
    fails: AtomicBool,
    /// One permit for each call that may go on.
    gate: Arc<Semaphore>,
    kept: Arc<Mutex<Vec<Arc<ChangeRecord>>>>,
}

impl Scripted {
    fn new() -> Arc<Scripted> {
        let (gate, kept) = (Arc::new(Semaphore::new(1000)), Arc::default());
        Arc::new(Scripted { fails: false.into(), gate, kept })
    }

    fn revisions(&self) -> Vec<Option<u64>> {
        self.kept.lock().unwrap().iter().map(|record| record.revision).collect()
    }
}

impl Store for Scripted {
    fn lasts(&self) -> bool {
        true
    }

    fn keep(&self, records: Vec<Arc<ChangeRecord>>) -> Kept {
        let (gate, kept) = (Arc::clone(&self.gate), Arc::clone(&self.kept));
        let fails = self.fails.load(SeqCst);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            if fails {
                return Err(NotKept("the change is not in effect: the disk is full".into()));
            }
            kept.lock().unwrap().extend(records);
            Ok(())
        })
    }
}

/// A service whose changes `store` keeps.
fn orders(store: &Arc<Scripted>) -> (Arc<Registry>, Arc<Service>) {
    let kept: Arc<dyn Store> = Arc::clone(store) as _;
    let registry = Registry::with_store(1, CounterSettings::default(), Clock::start(), kept);
    let initial = registry.initial_state("orders");
    let config = spec("orders", &[("a:1", 3), ("b:1", 1)]);
    (Arc::new(registry), Service::start_with(initial, config, &environment(1)))
}

async fn change(service: &Service, change: Change) -> Result<u64, String> {
    let terms = Terms { allow_empty: true, ..Terms::default() };
    service.change(change, terms, "test".into()).await.map_err(|error| error.to_string())
}

fn weight(weight: u32) -> Change {
    Change::SetWeights([("a:1".to_owned(), weight)].into())
}

#[tokio::test]
async fn a_change_that_cannot_be_kept_is_refused_and_not_in_effect() {
    let store = Scripted::new();
    let gateway = Gateway::keeping(Arc::clone(&store) as _).await;
    let mut client = gateway.client().await;
    assert!(client.set_weights(weights([("a:1", 5)])).await.unwrap().into_inner().durable);
    store.fails.store(true, SeqCst);
    let status = client.set_weights(weights([("a:1", 9)])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("the disk is full"), "{status}");
    let error = ctl::run(&gateway, "set-weight orders a:1=9").await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("not in effect: the disk is full (UNAVAILABLE)"), "{error}");
    let before = (2, vec![(5, 5, BackendState::Idle), (1, 1, BackendState::Idle)]);
    assert_eq!(settings(&get(&mut client).await), before);
    assert_eq!(members(&gateway.orders)[0].1, 5);
    // Reads and reloads go on, and the next change has the next revision.
    gateway.orders.configure(spec("orders", &[("a:1", 4), ("b:1", 2)])).await;
    store.fails.store(false, SeqCst);
    assert_eq!(client.set_weights(weights([("a:1", 7)])).await.unwrap().into_inner().revision, 3);
    assert_eq!(members(&gateway.orders), [("a:1".into(), 7), ("b:1".into(), 2)]);
    assert_eq!(store.revisions(), [Some(2), Some(3)]);
}

#[tokio::test]
async fn a_change_waits_for_its_store_and_the_service_does_not() {
    let store = Scripted::new();
    let (_registry, orders) = orders(&store);
    let passing = Change::SetWeights([("b:1".to_owned(), 50)].into());
    let terms = Terms { ttl: Some(Duration::from_millis(500)), ..Terms::default() };
    orders.change(passing, terms, "test".into()).await.unwrap();
    store.gate.forget_permits(1000);
    let waiting = tokio::spawn({
        let orders = Arc::clone(&orders);
        async move { change(&orders, weight(9)).await }
    });
    // What is over ends while the change waits.
    eventually("it is over", async || members(&orders)[1].1 == 1).await;
    assert_eq!((orders.view().revision, members(&orders)[0].1), (2, 3));
    let reload = tokio::spawn({
        let orders = Arc::clone(&orders);
        async move { orders.configure(spec("orders", &[("a:1", 2), ("b:1", 2)])).await }
    });
    let late = tokio::spawn({
        let orders = Arc::clone(&orders);
        async move { change(&orders, weight(10)).await }
    });
    assert!(!waiting.is_finished() && !reload.is_finished() && !late.is_finished());
    store.gate.add_permits(1000);
    assert_eq!(waiting.await.unwrap(), Ok(3));
    reload.await.unwrap();
    assert_eq!(late.await.unwrap(), Ok(4));
    eventually("it is over again", async || {
        members(&orders) == [("a:1".into(), 10), ("b:1".into(), 2)]
    })
    .await;
}

#[tokio::test]
async fn what_has_ended_is_kept_too() {
    let store = Scripted::new();
    let (registry, orders) = orders(&store);
    publish(&registry, [&orders]).await;
    change(&orders, Change::Drain { address: "b:1".into(), timeout: None }).await.unwrap();
    orders.configure(spec("orders", &[("a:1", 3)])).await;
    let kinds = || -> Vec<RecordKind> {
        store.kept.lock().unwrap().iter().map(|record| record.kind).collect()
    };
    let before = registry.routing();
    eventually("its end is kept", async || kinds() == [RecordKind::Change, RecordKind::Ended])
        .await;
    registry.publish(Arc::default(), Vec::new()).await;
    registry.retire(&before).await;
    assert_eq!(kinds()[2..], [RecordKind::Gone]);
}
