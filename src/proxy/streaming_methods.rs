//! Learned streaming methods: which methods stream, judged by recent exchanges. This decides only
//! whether the next exchange begins as a call or a stream.

use std::cell::RefCell;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Limit of methods remembered per service and worker; more are not learned.
const MAX_METHODS: usize = 256;

/// Highest confidence: this many calls in a row make a method forgotten.
const MAX_CONFIDENCE: u8 = 4;

/// The streaming methods of one service, by path hash.
#[derive(Debug, Default)]
pub struct StreamingMethods {
    hasher: RandomState,
    learned: RefCell<HashTable<Learned>>,
}

/// The hash of a method's path. A collision only misjudges how an exchange begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodHash(u64);

#[derive(Debug)]
struct Learned {
    method: MethodHash,
    confidence: u8,
}

impl MethodHash {
    /// The hash, for hash tables.
    pub fn hash(self) -> u64 {
        self.0
    }
}

impl StreamingMethods {
    /// Hashes a path.
    pub fn hash(&self, path: &[u8]) -> MethodHash {
        MethodHash(self.hasher.hash_one(path))
    }

    /// Whether no method is known to stream, so that lookups can be skipped.
    pub fn is_empty(&self) -> bool {
        self.learned.borrow().is_empty()
    }

    /// Whether this method is known to stream.
    pub fn streams(&self, method: MethodHash) -> bool {
        self.learned.borrow().find(method.0, |learned| learned.method == method).is_some()
    }

    /// Records an exchange of this method that was a stream.
    pub fn learn_stream(&self, method: MethodHash) {
        let mut learned = self.learned.borrow_mut();
        if let Some(known) = learned.find_mut(method.0, |learned| learned.method == method) {
            known.confidence = (known.confidence + 1).min(MAX_CONFIDENCE);
        } else if learned.len() < MAX_METHODS {
            let new = Learned { method, confidence: 1 };
            learned.insert_unique(method.0, new, |learned| learned.method.0);
        }
    }

    /// Records an exchange of this method that began as a stream but was a call.
    pub fn learn_call(&self, method: MethodHash) {
        let mut learned = self.learned.borrow_mut();
        if let Ok(mut known) = learned.find_entry(method.0, |learned| learned.method == method) {
            let confidence = known.get().confidence - 1;
            match confidence {
                0 => drop(known.remove()),
                _ => known.get_mut().confidence = confidence,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_streams_is_learnt_at_once_and_forgotten_by_as_many_calls() {
        let methods = StreamingMethods::default();
        let watch = methods.hash(b"/shop.Orders/Watch");
        assert!(methods.is_empty() && !methods.streams(watch));
        methods.learn_stream(watch);
        assert!(methods.streams(watch) && !methods.streams(methods.hash(b"/shop.Orders/Get")));
        methods.learn_call(watch);
        assert!(methods.is_empty());
        (0..100).for_each(|_| methods.learn_stream(watch));
        (1..MAX_CONFIDENCE).for_each(|_| methods.learn_call(watch));
        assert!(methods.streams(watch));
        methods.learn_call(watch);
        assert!(!methods.streams(watch));
    }

    #[test]
    fn their_number_is_bounded() {
        let methods = StreamingMethods::default();
        for n in 0..2 * MAX_METHODS {
            methods.learn_stream(methods.hash(format!("/shop.Orders/{n}").as_bytes()));
        }
        assert_eq!(methods.learned.borrow().len(), MAX_METHODS);
    }
}
