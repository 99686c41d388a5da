//! Building pickers must not delay anything else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use equipoise::service::{Change, Terms};

use super::*;

/// A policy whose pickers, except the first, take as long to build as the test says.
#[derive(Debug)]
struct Slow {
    builds: AtomicUsize,
    finish: Mutex<mpsc::Receiver<()>>,
}

impl Factory for Slow {
    fn build(&self, _: Arc<EndpointSet>, _: &mut fastrand::Rng) -> Box<dyn Picker> {
        if self.builds.fetch_add(1, Ordering::SeqCst) > 0 {
            self.finish.lock().unwrap().recv().unwrap();
        }
        Box::new(First)
    }
}

struct Setting {
    orders: Arc<Service>,
    slow: Arc<Slow>,
    finish: mpsc::Sender<()>,
}

impl Setting {
    fn new() -> Setting {
        let (finish, finished) = mpsc::channel();
        let slow = Arc::new(Slow { builds: AtomicUsize::new(0), finish: Mutex::new(finished) });
        let mut config = spec("orders", &[("a:1", 1), ("b:1", 1)]);
        config.spec.balancer.factory = Arc::clone(&slow) as Arc<dyn Factory>;
        let orders = Service::start(config, &environment(WORKERS));
        Setting { orders, slow, finish }
    }

    fn builds(&self) -> usize {
        self.slow.builds.load(Ordering::SeqCst)
    }

    fn set_weight(&self, weight: u32) -> JoinHandle<u64> {
        let orders = Arc::clone(&self.orders);
        tokio::spawn(async move {
            let change = Change::SetWeights([("a:1".to_owned(), weight)].into());
            orders.change(change, Terms::default(), "test".into()).await.unwrap()
        })
    }

    /// Waits until a picker is being built on another thread.
    async fn building(&self, builds: usize) {
        while self.builds() < builds {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn views_are_answered_while_a_picker_is_built() {
    let setting = Setting::new();
    let change = setting.set_weight(5);
    setting.building(2).await;
    // The service's writer shares this thread with everything else in the test.
    assert_eq!(setting.orders.view().revision, 1);
    assert_eq!(setting.orders.snapshot().load().revision, 1, "not before it is whole");
    assert!(!change.is_finished());
    setting.finish.send(()).unwrap();
    assert_eq!(change.await.unwrap(), 2);
    assert_eq!(members(&setting.orders)[0], ("a:1".into(), 5));
}

#[tokio::test]
async fn changes_that_wait_together_are_one_picker() {
    let setting = Setting::new();
    let first = setting.set_weight(2);
    setting.building(2).await;
    let burst: Vec<_> = (3..53).map(|weight| setting.set_weight(weight)).collect();
    for _ in 0..burst.len() {
        tokio::task::yield_now().await; // until each has sent its request
    }
    setting.finish.send(()).unwrap();
    setting.finish.send(()).unwrap();
    assert_eq!(first.await.unwrap(), 2);
    let mut revisions = Vec::new();
    for change in burst {
        revisions.push(change.await.unwrap());
    }
    assert!(revisions.into_iter().eq(3..53), "each has its own, in the order in which they came");
    assert_eq!(setting.builds(), 3);
    let snapshot = setting.orders.snapshot().load_full();
    assert_eq!((snapshot.revision, snapshot.generation), (52, 3));
    assert_eq!(members(&setting.orders)[0], ("a:1".into(), 52));
}

#[tokio::test]
async fn a_backend_removed_and_added_in_one_burst_is_new() {
    let setting = Setting::new();
    let before = Arc::clone(&setting.orders.view().backends[1].endpoint);
    let first = setting.set_weight(2);
    setting.building(2).await;
    let orders = Arc::clone(&setting.orders);
    let burst = tokio::spawn(async move {
        let change = |change| orders.change(change, Terms::default(), "test".into());
        let again = equipoise::service::EndpointSpec { address: "b:1".into(), weight: 1 };
        tokio::join!(change(Change::Remove(vec!["b:1".into()])), change(Change::Add(vec![again])))
    });
    tokio::task::yield_now().await;
    setting.finish.send(()).unwrap();
    setting.finish.send(()).unwrap();
    first.await.unwrap();
    let (removed, added) = burst.await.unwrap();
    assert_eq!((removed, added), (Ok(3), Ok(4)));
    let view = setting.orders.view();
    assert_ne!(view.backends[1].endpoint.id(), before.id());
    assert_eq!(setting.builds(), 3);
}

#[tokio::test]
async fn a_change_that_leaves_the_set_as_it_is_keeps_the_picker() {
    let gateway = Gateway::with(&[("a:1", 3), ("b:1", 0)]).await;
    let picker = || gateway.orders.snapshot().load().picker.clone().unwrap();
    let first = picker();
    let mut config = spec("orders", &[("a:1", 3), ("b:1", 0)]);
    config.spec.streams = vec!["/shop.Orders/Watch".into()];
    gateway.orders.configure(config).await;
    gateway.client().await.drain_backend(drain("b:1")).await.unwrap();
    assert_eq!(gateway.orders.snapshot().load().generation, 3);
    assert!(Arc::ptr_eq(&first, &picker()), "who takes turns does not start anew");
    gateway.client().await.set_weights(weights([("a:1", 4)])).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &picker()));
}
