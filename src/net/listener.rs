//! A running listener: its configuration may be replaced, and it may close before the connections
//! that it accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::accept::ListenerSpec;
use crate::model::ConnectionRefusals;

/// A running listener, shared by its acceptor, its connections and the reload.
#[derive(Debug)]
pub struct Listener {
    spec: ArcSwap<ListenerSpec>,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) refusals: Arc<ConnectionRefusals>,
    closed: AtomicBool,
    has_successor: AtomicBool,
    close: Notify,
}

impl Listener {
    /// A listener by `spec`, which counts its refusals.
    pub fn new(spec: ListenerSpec, refusals: Arc<ConnectionRefusals>) -> Arc<Listener> {
        Arc::new(Listener {
            spec: ArcSwap::from_pointee(spec),
            connections: Arc::default(),
            refusals,
            closed: AtomicBool::new(false),
            has_successor: AtomicBool::new(false),
            close: Notify::new(),
        })
    }

    /// The configuration for new connections.
    pub fn spec(&self) -> Arc<ListenerSpec> {
        self.spec.load_full()
    }

    /// Replaces the configuration for new connections; the address stays.
    pub fn configure(&self, spec: ListenerSpec) {
        let before = self.spec();
        let tls = match (spec.tls, &before.tls) {
            (Some(tls), Some(before)) => Some(tls.in_place_of(before)),
            (tls, _) => tls,
        };
        self.spec.store(Arc::new(ListenerSpec { tls, ..spec }));
    }

    /// Closes the listener and drains its connections.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.close.notify_one();
    }

    /// As [`Listener::close`], when another listener takes over its address.
    pub fn hand_over(&self) {
        self.has_successor.store(true, Ordering::Relaxed);
        self.close();
    }

    /// Whether another listener takes over. For its acceptor, once it is closed.
    pub(super) fn has_successor(&self) -> bool {
        self.has_successor.load(Ordering::Relaxed)
    }

    /// Whether it is closed, so that its connections are to drain.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Resolves when it is closed. For its one acceptor.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }
}
