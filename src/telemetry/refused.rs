//! The connections that were refused, by the listener that they came to.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::multiple::RefMulti;

use crate::model::Refusals;

/// The connections that were refused, by the listener that they came to. A listener that is gone
/// is forgotten.
#[derive(Debug, Default)]
pub struct RefusedConnections(DashMap<Arc<str>, Arc<Refusals>>);

/// What one listener has refused.
#[derive(Clone, Debug)]
pub struct RefusedSample {
    /// Its address, or what it serves.
    pub listener: Arc<str>,
    /// The counts.
    pub refusals: Arc<Refusals>,
}

impl RefusedConnections {
    /// Where a listener of this name counts.
    pub fn at(&self, listener: &str) -> Arc<Refusals> {
        Arc::clone(&self.0.entry(listener.into()).or_default())
    }

    /// All of them, by name.
    pub fn samples(&self) -> Vec<RefusedSample> {
        self.0.retain(|_, refusals| Arc::strong_count(refusals) > 1);
        let sample = |entry: RefMulti<'_, Arc<str>, Arc<Refusals>>| RefusedSample {
            listener: Arc::clone(entry.key()),
            refusals: Arc::clone(entry.value()),
        };
        let mut samples: Vec<_> = self.0.iter().map(sample).collect();
        samples.sort_by(|a, b| a.listener.cmp(&b.listener));
        samples
    }
}
