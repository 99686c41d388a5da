//! Method metrics of one service on one worker: finds a request's method, and counts it when it
//! ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

use super::head_cache::HeadCache;
use super::recent_durations::RecentDurations;
use super::streaming_methods::{MethodHash, StreamingMethods};
use crate::http::{Headers, Name};
use crate::model::{AttemptOutcome, Code, GrpcCode, MethodStats, Time};
use crate::service::MethodTable;
use crate::stats::HistogramCounts;

/// Minimum number of calls for a quantile.
const MIN_CALLS: u64 = 100;

/// Longer paths are counted as `other`, since names are kept for the life of the service.
const MAX_PATH: usize = 200;

/// Method metrics of one service on one worker.
pub struct MethodMetrics {
    table: Arc<MethodTable>,
    worker: usize,
    list: RefCell<MethodList>,
    /// Caches indices into the list by head tag.
    cache: HeadCache<u16>,
    /// What methods took of late, of those that are hedged by it.
    recent: RefCell<HashMap<u16, RecentDurations>>,
}

/// This worker's copy of the service's method list.
#[derive(Default)]
struct MethodList {
    entries: Vec<(MethodHash, Arc<MethodStats>)>,
    /// Indices into the list by path hash.
    by_path: HashTable<(MethodHash, u16)>,
}

/// The method of a request. Small, as every request in flight has one.
#[derive(Debug)]
pub enum CalledMethod {
    /// The method at this index of the list.
    Listed(u16),
    /// A new method; it is added to the list if the backend proves to have it.
    New(Box<(MethodHash, Box<str>)>),
    /// Counted as `other`.
    Other(MethodHash),
}

/// How a call or stream ended.
pub struct CallEnd {
    /// The status.
    pub code: Code,
    /// How the attempt ended.
    pub attempt_outcome: AttemptOutcome,
    /// Duration of a call; `None` for a stream.
    pub took: Option<Duration>,
    /// The route's timeout cut it after its second message: it is probably an undeclared stream.
    pub cut: bool,
}

impl CalledMethod {
    /// Its index in the service's list, if it is on that.
    pub fn index(&self) -> Option<u16> {
        match self {
            CalledMethod::Listed(index) => Some(*index),
            CalledMethod::New(_) | CalledMethod::Other(_) => None,
        }
    }
}

impl MethodMetrics {
    /// HistogramCounts in the shard of worker `worker`.
    pub fn new(table: &Arc<MethodTable>, worker: usize) -> MethodMetrics {
        MethodMetrics {
            table: Arc::clone(table),
            worker,
            list: RefCell::default(),
            cache: HeadCache::default(),
            recent: RefCell::default(),
        }
    }

    /// Finds the method of a gRPC request, hashing its path with `methods`.
    pub fn find(&self, head: &Headers, methods: &StreamingMethods) -> (CalledMethod, MethodHash) {
        let path = head.get(Name::Path).unwrap_or_default();
        let index = self.cache.get_or_find(head, || self.index(path, methods));
        let list = self.list.borrow();
        if let Some(index) = index
            && let Some((method, _)) = list.entries.get(usize::from(index))
        {
            return (CalledMethod::Listed(index), *method);
        }
        let method = methods.hash(path);
        let may_be_listed = list.entries.len() < self.table.limit();
        let called = match may_be_listed.then(|| name(path)).flatten() {
            Some(name) => CalledMethod::New(Box::new((method, name.into()))),
            None => CalledMethod::Other(method),
        };
        (called, method)
    }

    /// The index of the method with this path, if it is on the list.
    fn index(&self, path: &[u8], methods: &StreamingMethods) -> Option<u16> {
        let method = methods.hash(path);
        let mut list = self.list.borrow_mut();
        let (index, met) = (list.find(method, path), list.entries.len());
        if index.is_none() && self.table.count() > met {
            list.extend(self.table.since(met), methods);
            return list.find(method, path);
        }
        index
    }

    /// The path hash, by which streaming methods are looked up.
    pub fn method(&self, called: &CalledMethod) -> Option<MethodHash> {
        match called {
            CalledMethod::Listed(index) => {
                self.list.borrow().entries.get(usize::from(*index)).map(|(method, _)| *method)
            }
            CalledMethod::New(new) => Some(new.0),
            CalledMethod::Other(method) => Some(*method),
        }
    }

    /// The 99th percentile of a method's durations, if it had enough calls.
    pub fn p99(&self, called: &CalledMethod) -> Option<Duration> {
        quantile(&self.durations(called)?, 0.99)
    }

    /// The median of a method's durations, if it had enough calls.
    pub fn p50(&self, called: &CalledMethod) -> Option<Duration> {
        quantile(&self.durations(called)?, 0.5)
    }

    /// The 95th percentile of a method's durations in the last 30 seconds, in all workers, if it had
    /// enough calls; at most a second old.
    pub fn recent_p95(&self, called: &CalledMethod, now: Time) -> Option<Duration> {
        let CalledMethod::Listed(index) = called else { return None };
        let mut recent = self.recent.borrow_mut();
        let recent = recent.entry(*index).or_default();
        recent.p95(now, || self.durations(called).unwrap_or_default())
    }

    fn durations(&self, called: &CalledMethod) -> Option<HistogramCounts> {
        let CalledMethod::Listed(index) = called else { return None };
        let list = self.list.borrow();
        let (_, stats) = list.entries.get(usize::from(*index))?;
        let mut durations = HistogramCounts::default();
        stats.add_durations_to(&mut durations);
        Some(durations)
    }

    /// HistogramCounts an ended call or stream.
    pub fn count(&self, called: &CalledMethod, end: &CallEnd) {
        let Code::Grpc(code) = end.code else { return };
        if self.table.limit() == 0 {
            return;
        }
        let record = |stats: &MethodStats| {
            match end.took {
                Some(took) => stats.record_call(self.worker, code, took),
                None => stats.record_stream(self.worker, code),
            }
            if end.cut {
                stats.record_cut(self.worker);
            }
        };
        let list = self.list.borrow();
        match called {
            CalledMethod::Listed(index)
                if let Some((_, stats)) = list.entries.get(usize::from(*index)) =>
            {
                record(stats);
            }
            CalledMethod::New(new) if end.proves_method() => {
                record(self.table.learn(&new.1).as_deref().unwrap_or_else(|| self.table.other()));
            }
            _ => record(self.table.other()),
        }
    }
}

impl MethodList {
    fn find(&self, method: MethodHash, path: &[u8]) -> Option<u16> {
        let name = path.get(1..)?;
        let is = |(known, index): &(MethodHash, u16)| {
            let stats = self.entries.get(usize::from(*index)).filter(|_| *known == method);
            stats.is_some_and(|(_, stats)| stats.name().as_bytes() == name)
        };
        self.by_path.find(method.hash(), is).map(|(_, index)| *index)
    }

    fn extend(&mut self, more: Vec<Arc<MethodStats>>, methods: &StreamingMethods) {
        for stats in more {
            let method = methods.hash(format!("/{}", stats.name()).as_bytes());
            let Ok(index) = u16::try_from(self.entries.len()) else { return };
            self.by_path.insert_unique(method.hash(), (method, index), |(method, _)| method.hash());
            self.entries.push((method, stats));
        }
    }
}

impl CallEnd {
    /// Whether the backend proves to have the method: it sent messages, or a status other than
    /// those that are sent for unknown methods too.
    fn proves_method(&self) -> bool {
        use GrpcCode::{PermissionDenied, Unauthenticated, Unimplemented};
        let refused =
            matches!(self.code, Code::Grpc(Unimplemented | Unauthenticated | PermissionDenied));
        self.cut || self.attempt_outcome == AttemptOutcome::Answered(self.code) && !refused
    }
}

/// The method name `package.Service/Method` of a well-formed gRPC path.
fn name(path: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(path.strip_prefix(b"/")?).ok()?;
    let (service, method) = name.split_once('/')?;
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let proper = !service.is_empty() && service.bytes().all(|c| word(c) || c == b'.');
    let proper = proper && !method.is_empty() && method.bytes().all(word);
    (proper && path.len() <= MAX_PATH).then_some(name)
}

/// A quantile, if there are enough samples.
pub fn quantile(durations: &HistogramCounts, part: f64) -> Option<Duration> {
    let value = durations.quantile(part).filter(|_| durations.count() >= MIN_CALLS)?;
    Some(Duration::from_secs_f64(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 20;

    fn end(code: GrpcCode) -> CallEnd {
        let code = Code::Grpc(code);
        let took = Some(Duration::from_millis(1));
        CallEnd { code, attempt_outcome: AttemptOutcome::Answered(code), took, cut: false }
    }

    /// One worker of several, with hashes of its own.
    struct Worker(MethodMetrics, StreamingMethods);

    impl Worker {
        fn call(&self, path: &str, end: &CallEnd) {
            let Worker(calls, methods) = self;
            let mut head = Headers::new();
            head.add(Name::Path, path.as_bytes());
            calls.count(&calls.find(&head, methods).0, end);
        }
    }

    fn workers(table: &Arc<MethodTable>) -> [Worker; 2] {
        [0, 1].map(|worker| Worker(MethodMetrics::new(table, worker), StreamingMethods::default()))
    }

    fn counted(table: &MethodTable) -> Vec<(String, u64)> {
        let of = |stats: &MethodStats| (stats.name().to_owned(), stats.codes().requests());
        table.since(0).iter().map(|stats| of(stats)).chain([of(table.other())]).collect()
    }

    #[test]
    fn a_method_has_a_name_once_a_backend_knows_it() {
        let table = Arc::new(MethodTable::new(2, LIMIT));
        let [one, two] = workers(&table);
        one.call("/shop.Orders/Get", &end(GrpcCode::Unimplemented));
        let error = AttemptOutcome::Failed(crate::model::AttemptFailure::Lost);
        one.call(
            "/shop.Orders/Get",
            &CallEnd { attempt_outcome: error, ..end(GrpcCode::Unavailable) },
        );
        assert_eq!(counted(&table), [("other".into(), 2)]);
        one.call("/shop.Orders/Get", &end(GrpcCode::Internal));
        two.call("/shop.Orders/Get", &end(GrpcCode::Unimplemented));
        one.call("/shop.Orders/Get", &CallEnd { took: None, ..end(GrpcCode::Ok) });
        assert_eq!(counted(&table), [("shop.Orders/Get".into(), 3), ("other".into(), 2)]);
        assert_eq!(table.since(0)[0].streams(), 1);
    }

    #[test]
    fn whatever_clients_ask_for_few_names_are_kept() {
        let table = Arc::new(MethodTable::new(2, LIMIT));
        let [one, two] = workers(&table);
        for n in 0..2 * LIMIT {
            one.call(&format!("/a.B/{n}"), &end(GrpcCode::Ok));
            two.call(&format!("/a.B/{n}"), &end(GrpcCode::Ok));
        }
        let counted = counted(&table);
        let limit = LIMIT as u64;
        assert_eq!(counted.len(), LIMIT + 1);
        assert!(
            counted
                .iter()
                .all(|(name, count)| *count == if name == "other" { 2 * limit } else { 2 })
        );
    }

    #[test]
    fn only_paths_of_grpc_have_names() {
        assert_eq!(name(b"/shop.Orders/Get"), Some("shop.Orders/Get"));
        assert_eq!(name(b"/Orders/get_2"), Some("Orders/get_2"));
        let long = format!("/{}/Get", "a".repeat(MAX_PATH));
        for odd in
            ["", "/", "/a", "a/b", "//b", "/a/", "/a/b/c", "/a/b?c", "/a\"/b", "/a/b.c", &long]
        {
            assert_eq!(name(odd.as_bytes()), None, "{odd}");
        }
    }
}
