//! Where the snapshots of one service are published.

use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;

use super::Snapshot;
use super::routing::Published;

/// Where the snapshots of one service are published: for itself, and in the routing that the service
/// is part of.
#[derive(Debug)]
pub(super) struct Outlet {
    snapshot: ArcSwap<Snapshot>,
    /// It holds the service, which is to end when it is gone.
    routing: OnceLock<Weak<Published>>,
}

impl Outlet {
    /// For a service that is part of no routing yet.
    pub(super) fn new(snapshot: Snapshot) -> Arc<Outlet> {
        let snapshot = ArcSwap::from_pointee(snapshot);
        Arc::new(Outlet { snapshot, routing: OnceLock::new() })
    }

    /// The newest snapshot.
    pub(super) fn snapshot(&self) -> &ArcSwap<Snapshot> {
        &self.snapshot
    }

    /// From now on the service may be part of this routing.
    pub(super) fn join(&self, routing: &Arc<Published>) {
        self.routing.get_or_init(|| Arc::downgrade(routing));
    }

    /// Makes this the newest snapshot, by which every later request goes.
    pub(super) fn publish(&self, snapshot: &Arc<Snapshot>) {
        // First here: whoever puts together another routing meanwhile looks here again.
        self.snapshot.store(Arc::clone(snapshot));
        if let Some(routing) = self.routing.get().and_then(Weak::upgrade) {
            routing.put(snapshot);
        }
    }
}
