//! The gRPC methods of a service that are counted apart. Their names come from clients, so their
//! number is bounded, and only what a backend knows gets a place.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::model::MethodStats;

/// The name of what has no place of its own.
pub const OTHER_METHOD: &str = "other";

/// Methods in the order in which they were learnt: none is ever forgotten, so that each worker
/// keeps a copy of the list that it only has to continue.
#[derive(Debug)]
pub struct MethodTable {
    workers: usize,
    most: usize,
    learnt: ArcSwap<Vec<Arc<MethodStats>>>,
    other: Arc<MethodStats>,
}

impl MethodTable {
    /// None yet, for this many workers; `most` are counted under their names, and the calls of
    /// further ones as those of `OTHER_METHOD`. With 0 no call is counted at all.
    pub fn new(workers: usize, most: usize) -> MethodTable {
        let other = Arc::new(MethodStats::new(OTHER_METHOD, workers));
        MethodTable { workers, most, learnt: ArcSwap::default(), other }
    }

    /// How many methods may be counted under their names.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many methods are counted under their names.
    pub fn count(&self) -> usize {
        self.learnt.load().len()
    }

    /// Gives a method a place, if it has none and there is one left, and says what is counted there.
    pub fn learn(&self, name: &str) -> Option<Arc<MethodStats>> {
        self.learnt.rcu(|learnt| {
            let mut next = Vec::clone(learnt);
            if next.len() < self.most && next.iter().all(|known| known.name() != name) {
                next.push(Arc::new(MethodStats::new(name, self.workers)));
            }
            next
        });
        self.learnt.load().iter().find(|known| known.name() == name).cloned()
    }

    /// Those that were learnt after the first `known`.
    pub fn since(&self, known: usize) -> Vec<Arc<MethodStats>> {
        self.learnt.load().iter().skip(known).cloned().collect()
    }

    /// What is counted of all that have no place.
    pub fn other(&self) -> &MethodStats {
        &self.other
    }

    /// All of them, and that last.
    pub fn all(&self) -> Vec<Arc<MethodStats>> {
        let mut all = self.since(0);
        all.push(Arc::clone(&self.other));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 20;

    #[test]
    fn each_is_learnt_once_and_their_number_is_bounded() {
        let methods = MethodTable::new(1, MOST);
        for n in 0..2 * MOST {
            let new = methods.learn(&format!("shop.Orders/{n}"));
            assert_eq!(new.is_some(), n < MOST);
            assert!(methods.learn(&format!("shop.Orders/{}", n / 2)).is_some());
        }
        assert_eq!((methods.count(), methods.since(0).len()), (MOST, MOST));
        let last = methods.since(MOST - 1);
        assert_eq!(last[0].name(), format!("shop.Orders/{}", MOST - 1));
    }
}
