//! A listener while it runs: what it gives new connections may change, and it may go before the
//! connections that came by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::accept::ListenerSpec;
use crate::model::Refusals;

/// A listener while it runs. Shared by its acceptor, its connections, and who configures it.
#[derive(Debug)]
pub struct Listener {
    spec: ArcSwap<ListenerSpec>,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) refusals: Arc<Refusals>,
    closed: AtomicBool,
    has_successor: AtomicBool,
    close: Notify,
}

impl Listener {
    /// A listener as `spec` says, which counts what it refuses.
    pub fn new(spec: ListenerSpec, refusals: Arc<Refusals>) -> Arc<Listener> {
        Arc::new(Listener {
            spec: ArcSwap::from_pointee(spec),
            connections: Arc::default(),
            refusals,
            closed: AtomicBool::new(false),
            has_successor: AtomicBool::new(false),
            close: Notify::new(),
        })
    }

    /// What a connection that comes now gets.
    pub fn spec(&self) -> Arc<ListenerSpec> {
        self.spec.load_full()
    }

    /// Connections that come from now on get what `spec` says; the address stays.
    pub fn configure(&self, spec: ListenerSpec) {
        let before = self.spec();
        let tls = match (spec.tls, &before.tls) {
            (Some(tls), Some(before)) => Some(tls.in_place_of(before)),
            (tls, _) => tls,
        };
        self.spec.store(Arc::new(ListenerSpec { tls, ..spec }));
    }

    /// No new connections; those there are are asked to go, and finish.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.close.notify_one();
    }

    /// As [`Listener::close`], where another one takes its clients.
    pub fn hand_over(&self) {
        self.has_successor.store(true, Ordering::Relaxed);
        self.close();
    }

    /// Whether another one takes its clients. For its acceptor, once it is closed.
    pub(super) fn has_successor(&self) -> bool {
        self.has_successor.load(Ordering::Relaxed)
    }

    /// Whether it is closed, so that its connections have to go.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Ends when it is closed. For its one acceptor.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }
}
