//! Publication of the snapshots of one service.

use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;

use super::Snapshot;
use super::routing::RoutingCell;

/// Publishes the snapshots of one service: in its own cell, and in the routing that it is part of.
#[derive(Debug)]
pub(super) struct SnapshotPublisher {
    snapshot: ArcSwap<Snapshot>,
    /// Weak, as the routing holds the service.
    routing: OnceLock<Weak<RoutingCell>>,
}

impl SnapshotPublisher {
    /// Creates a publisher that is not part of a routing yet.
    pub(super) fn new(snapshot: Snapshot) -> Arc<SnapshotPublisher> {
        let snapshot = ArcSwap::from_pointee(snapshot);
        Arc::new(SnapshotPublisher { snapshot, routing: OnceLock::new() })
    }

    /// The newest snapshot.
    pub(super) fn snapshot(&self) -> &ArcSwap<Snapshot> {
        &self.snapshot
    }

    /// Publishes into this routing too, from now on.
    pub(super) fn attach(&self, routing: &Arc<RoutingCell>) {
        self.routing.get_or_init(|| Arc::downgrade(routing));
    }

    /// Publishes a snapshot: every later request uses it.
    pub(super) fn publish(&self, snapshot: &Arc<Snapshot>) {
        // First its own cell: a concurrent update of the routing is retried and reads it again.
        self.snapshot.store(Arc::clone(snapshot));
        if let Some(routing) = self.routing.get().and_then(Weak::upgrade) {
            routing.publish_snapshot(snapshot);
        }
    }
}
