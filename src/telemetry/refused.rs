//! Refused connections, counted by listener.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::multiple::RefMulti;

use crate::model::ConnectionRefusals;

/// Counters of refused connections, by listener. A listener that has been closed is dropped.
#[derive(Debug, Default)]
pub struct RefusedConnections(DashMap<Arc<str>, Arc<ConnectionRefusals>>);

/// The refused connections of one listener.
#[derive(Clone, Debug)]
pub struct RefusedSample {
    /// The listener's address, or what it serves.
    pub listener: Arc<str>,
    /// The counts.
    pub refusals: Arc<ConnectionRefusals>,
}

impl RefusedConnections {
    /// The counters of the listener of this name.
    pub fn at(&self, listener: &str) -> Arc<ConnectionRefusals> {
        Arc::clone(&self.0.entry(listener.into()).or_default())
    }

    /// All listeners, sorted by name.
    pub fn samples(&self) -> Vec<RefusedSample> {
        self.0.retain(|_, refusals| Arc::strong_count(refusals) > 1);
        let sample = |entry: RefMulti<'_, Arc<str>, Arc<ConnectionRefusals>>| RefusedSample {
            listener: Arc::clone(entry.key()),
            refusals: Arc::clone(entry.value()),
        };
        let mut samples: Vec<_> = self.0.iter().map(sample).collect();
        samples.sort_by(|a, b| a.listener.cmp(&b.listener));
        samples
    }
}
