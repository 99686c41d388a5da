//! Methods that some backends of a service do not implement, as during a rolling upgrade.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Weak;
use std::time::Duration;

use super::method_metrics::CalledMethod;
use super::streaming_methods::MethodHash;
use super::worker_snapshot::WorkerSnapshot;
use crate::model::{EndpointId, Time};

/// Limit of entries per service and worker. It also bounds retries, since a call is retried only if
/// its method can be remembered: calls of methods that no backend implements must not multiply.
const MAX_ENTRIES: usize = 128;

/// How long a backend is avoided for a method.
const TTL: Duration = Duration::from_secs(10);

/// The backends that recently answered UNIMPLEMENTED, by method.
#[derive(Debug, Default)]
pub struct UnimplementedMethods {
    /// The oldest first.
    entries: RefCell<VecDeque<Entry>>,
}

#[derive(Debug)]
struct Entry {
    method: MethodHash,
    endpoint: EndpointId,
    /// The connection that it was learnt on: the next one may reach another version of the backend.
    conn: Weak<dyn Any>,
    expires: Time,
}

impl Entry {
    fn holds(&self, now: Time) -> bool {
        self.expires > now && self.conn.strong_count() > 0
    }
}

impl UnimplementedMethods {
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// Remembers that a backend does not implement a method, for some seconds at most, and no longer than
    /// `conn` lives. Returns false if the list is full.
    pub fn learn(
        &self,
        method: MethodHash,
        endpoint: EndpointId,
        conn: Weak<dyn Any>,
        now: Time,
    ) -> bool {
        let mut entries = self.entries.borrow_mut();
        let same = |entry: &Entry| entry.method == method && entry.endpoint == endpoint;
        entries.retain(|entry| entry.holds(now) && !same(entry));
        let has_room = entries.len() < MAX_ENTRIES;
        if has_room {
            entries.push_back(Entry { method, endpoint, conn, expires: now + TTL });
        }
        has_room
    }

    /// Forgets that a backend does not implement a method: it does.
    pub fn forget(&self, method: MethodHash, endpoint: EndpointId) {
        let same = |entry: &Entry| entry.method == method && entry.endpoint == endpoint;
        self.entries.borrow_mut().retain(|entry| !same(entry));
    }

    /// Indices in `view` of the endpoints that do not implement the method.
    pub fn indices(
        &self,
        view: &WorkerSnapshot,
        called: Option<&CalledMethod>,
        now: Time,
    ) -> Vec<usize> {
        if self.is_empty() {
            return Vec::new();
        }
        let method = called.and_then(|called| view.calls.method(called));
        let endpoints = method.map(|method| self.endpoints(method, now)).unwrap_or_default();
        let is_one =
            |index: &usize| view.endpoint(*index).is_some_and(|id| endpoints.contains(&id));
        (0..view.pools.len()).filter(|index| !endpoints.is_empty() && is_one(index)).collect()
    }

    /// The backends that do not implement a method.
    fn endpoints(&self, method: MethodHash, now: Time) -> Vec<EndpointId> {
        let mut entries = self.entries.borrow_mut();
        while entries.pop_front_if(|entry| entry.expires <= now).is_some() {}
        let known = entries.iter().filter(|entry| entry.method == method && entry.holds(now));
        known.map(|entry| entry.endpoint).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::streaming_methods::StreamingMethods;
    use super::*;
    use crate::model::Endpoint;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn endpoint() -> EndpointId {
        Endpoint::new("127.0.0.1:1", 1, Time::ZERO).id()
    }

    fn connection() -> (Rc<dyn Any>, Weak<dyn Any>) {
        let conn: Rc<dyn Any> = Rc::new(());
        let weak = Rc::downgrade(&conn);
        (conn, weak)
    }

    #[test]
    fn a_backend_is_avoided_for_the_method_that_it_lacks_and_for_some_seconds() {
        let (methods, known) = (StreamingMethods::default(), UnimplementedMethods::default());
        let (get, put) = (methods.hash(b"/shop.Orders/Get"), methods.hash(b"/shop.Orders/Put"));
        let (a, b) = (endpoint(), endpoint());
        let (_conn, conn) = connection();
        assert!(known.is_empty() && known.endpoints(get, at(0)).is_empty());
        assert!(known.learn(get, a, Weak::clone(&conn), at(0)));
        assert!(known.learn(get, b, Weak::clone(&conn), at(4)));
        assert_eq!(known.endpoints(get, at(9)), [a, b]);
        assert!(known.endpoints(put, at(9)).is_empty());
        assert_eq!(known.endpoints(get, at(10)), [b]);
        assert!(
            known.endpoints(get, at(14)).is_empty() && known.is_empty(),
            "and costs nothing then"
        );
    }

    #[test]
    fn a_second_unimplemented_renews_the_entry() {
        let (methods, known) = (StreamingMethods::default(), UnimplementedMethods::default());
        let (get, a) = (methods.hash(b"/shop.Orders/Get"), endpoint());
        let (_conn, conn) = connection();
        for second in [0, 8] {
            assert!(known.learn(get, a, Weak::clone(&conn), at(second)));
        }
        assert_eq!(known.endpoints(get, at(17)), [a]);
        assert!(known.endpoints(get, at(18)).is_empty());
    }

    #[test]
    fn entries_end_with_their_connection() {
        let (methods, known) = (StreamingMethods::default(), UnimplementedMethods::default());
        let (get, a) = (methods.hash(b"/shop.Orders/Get"), endpoint());
        let (conn, weak) = connection();
        assert!(known.learn(get, a, weak, at(0)));
        drop(conn);
        assert!(known.endpoints(get, at(1)).is_empty());
    }

    #[test]
    fn their_number_is_bounded() {
        let (methods, known) = (StreamingMethods::default(), UnimplementedMethods::default());
        let (_conn, conn) = connection();
        let learn = |n: usize, now: Time| {
            let method = methods.hash(format!("/shop.Orders/{n}").as_bytes());
            known.learn(method, endpoint(), Weak::clone(&conn), now)
        };
        assert!((0..MAX_ENTRIES).all(|n| learn(n, at(0))));
        assert!(!learn(MAX_ENTRIES, at(1)), "what nobody has is not asked of everybody");
        assert!(learn(MAX_ENTRIES, at(10)));
    }
}
