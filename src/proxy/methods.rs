//! Which methods stream, by what backends have shown of late. It decides only where the next
//! exchange starts: as a call or as a stream.

use std::cell::RefCell;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Methods that are remembered of one service on one worker; more are not learnt.
const MOST: usize = 256;

/// A method that was a stream so many times in a row needs as many calls to be forgotten.
const SUREST: u8 = 4;

/// The methods of one service that were seen to stream, by the hash of their paths.
#[derive(Debug, Default)]
pub struct Methods {
    hasher: RandomState,
    learnt: RefCell<HashTable<Learnt>>,
}

/// A method, known by its hash: a collision would only start a call elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(u64);

#[derive(Debug)]
struct Learnt {
    method: Method,
    sureness: u8,
}

impl Method {
    /// The hash, for tables.
    pub fn hash(self) -> u64 {
        self.0
    }
}

impl Methods {
    /// The method of a request with this path.
    pub fn of(&self, path: &[u8]) -> Method {
        Method(self.hasher.hash_one(path))
    }

    /// Whether none is known to stream, so that none has to be looked up.
    pub fn is_empty(&self) -> bool {
        self.learnt.borrow().is_empty()
    }

    /// Whether exchanges of this method were streams of late.
    pub fn streams(&self, method: Method) -> bool {
        self.learnt.borrow().find(method.0, |learnt| learnt.method == method).is_some()
    }

    /// An exchange of this method has become a stream, or was one again.
    pub fn learn_stream(&self, method: Method) {
        let mut learnt = self.learnt.borrow_mut();
        if let Some(known) = learnt.find_mut(method.0, |learnt| learnt.method == method) {
            known.sureness = (known.sureness + 1).min(SUREST);
        } else if learnt.len() < MOST {
            let new = Learnt { method, sureness: 1 };
            learnt.insert_unique(method.0, new, |learnt| learnt.method.0);
        }
    }

    /// An exchange of this method that started as a stream was none.
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
