//! Learned streaming methods: which methods stream, judged by recent exchanges. This decides only
//! whether the next exchange begins as a call or a stream.

use std::cell::RefCell;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Limit of methods remembered per service and worker; more are not learned.
const MOST: usize = 256;

/// Highest confidence: this many calls in a row make a method forgotten.
const SUREST: u8 = 4;

/// The streaming methods of one service, by path hash.
#[derive(Debug, Default)]
pub struct Methods {
    hasher: RandomState,
    learnt: RefCell<HashTable<Learnt>>,
}

/// The hash of a method's path. A collision only misjudges how an exchange begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(u64);

#[derive(Debug)]
struct Learnt {
    method: Method,
    sureness: u8,
}

impl Method {
    /// The hash, for hash tables.
    pub fn hash(self) -> u64 {
        self.0
    }
}

impl Methods {
    /// Hashes a path.
    pub fn of(&self, path: &[u8]) -> Method {
        Method(self.hasher.hash_one(path))
    }

    /// Whether no method is known to stream, so that lookups can be skipped.
    pub fn is_empty(&self) -> bool {
        self.learnt.borrow().is_empty()
    }

    /// Whether this method is known to stream.
    pub fn streams(&self, method: Method) -> bool {
        self.learnt.borrow().find(method.0, |learnt| learnt.method == method).is_some()
    }

    /// Records an exchange of this method that was a stream.
    pub fn learn_stream(&self, method: Method) {
        let mut learnt = self.learnt.borrow_mut();
        if let Some(known) = learnt.find_mut(method.0, |learnt| learnt.method == method) {
            known.sureness = (known.sureness + 1).min(SUREST);
        } else if learnt.len() < MOST {
            let new = Learnt { method, sureness: 1 };
            learnt.insert_unique(method.0, new, |learnt| learnt.method.0);
        }
    }

    /// Records an exchange of this method that began as a stream but was a call.
    pub fn learn_call(&self, method: Method) {
        let mut learnt = self.learnt.borrow_mut();
        if let Ok(mut known) = learnt.find_entry(method.0, |learnt| learnt.method == method) {
            let sureness = known.get().sureness - 1;
            match sureness {
                0 => drop(known.remove()),
                _ => known.get_mut().sureness = sureness,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_streams_is_learnt_at_once_and_forgotten_by_as_many_calls() {
        let methods = Methods::default();
        let watch = methods.of(b"/shop.Orders/Watch");
        assert!(methods.is_empty() && !methods.streams(watch));
        methods.learn_stream(watch);
        assert!(methods.streams(watch) && !methods.streams(methods.of(b"/shop.Orders/Get")));
        methods.learn_call(watch);
        assert!(methods.is_empty());
        (0..100).for_each(|_| methods.learn_stream(watch));
        (1..SUREST).for_each(|_| methods.learn_call(watch));
        assert!(methods.streams(watch));
        methods.learn_call(watch);
        assert!(!methods.streams(watch));
    }

    #[test]
    fn their_number_is_bounded() {
        let methods = Methods::default();
        for n in 0..2 * MOST {
            methods.learn_stream(methods.of(format!("/shop.Orders/{n}").as_bytes()));
        }
        assert_eq!(methods.learnt.borrow().len(), MOST);
    }
}
