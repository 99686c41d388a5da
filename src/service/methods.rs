//! Per-method counters of a service. Names of methods come from clients, so the cardinality is
//! bounded, and only methods that a backend is known to implement get counters of their own.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::model::MethodStats;

/// Name under which all other methods are counted.
pub const OTHER_METHOD: &str = "other";

/// Append-only table of methods: each worker caches a copy and only has to extend it.
#[derive(Debug)]
pub struct MethodTable {
    workers: usize,
    limit: usize,
    learnt: ArcSwap<Vec<Arc<MethodStats>>>,
    other: Arc<MethodStats>,
}

impl MethodTable {
    /// Creates an empty table for this many workers. The first `limit` methods get counters, further
    /// ones are counted as `OTHER_METHOD`. With 0 no call is counted at all.
    pub fn new(workers: usize, limit: usize) -> MethodTable {
        let other = Arc::new(MethodStats::new(OTHER_METHOD, workers));
        MethodTable { workers, limit, learnt: ArcSwap::default(), other }
    }

    /// Maximum of methods with counters of their own.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Number of methods with counters of their own.
    pub fn count(&self) -> usize {
        self.learnt.load().len()
    }

    /// Adds a method unless it is known, and returns its counters; `None` if the table is full.
    pub fn learn(&self, name: &str) -> Option<Arc<MethodStats>> {
        self.learnt.rcu(|learnt| {
            let mut next = Vec::clone(learnt);
            if next.len() < self.limit && next.iter().all(|known| known.name() != name) {
                next.push(Arc::new(MethodStats::new(name, self.workers)));
            }
            next
        });
        self.learnt.load().iter().find(|known| known.name() == name).cloned()
    }

    /// Methods that were added after the first `known`.
    pub fn since(&self, known: usize) -> Vec<Arc<MethodStats>> {
        self.learnt.load().iter().skip(known).cloned().collect()
    }

    /// Counters of all other methods.
    pub fn other(&self) -> &MethodStats {
        &self.other
    }

    /// All methods; `OTHER_METHOD` is last.
    pub fn all(&self) -> Vec<Arc<MethodStats>> {
        let mut all = self.since(0);
        all.push(Arc::clone(&self.other));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 20;

    #[test]
    fn each_is_learnt_once_and_their_number_is_bounded() {
        let methods = MethodTable::new(1, LIMIT);
        for n in 0..2 * LIMIT {
            let new = methods.learn(&format!("shop.Orders/{n}"));
            assert_eq!(new.is_some(), n < LIMIT);
            assert!(methods.learn(&format!("shop.Orders/{}", n / 2)).is_some());
        }
        assert_eq!((methods.count(), methods.since(0).len()), (LIMIT, LIMIT));
        let last = methods.since(LIMIT - 1);
        assert_eq!(last[0].name(), format!("shop.Orders/{}", LIMIT - 1));
    }
}
