//! Method metrics of one service on one worker: finds a request's method, and counts it when it
//! ends.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

use super::by_tag::ByTag;
use super::methods::{Method, Methods};
use crate::http::{Headers, Name};
use crate::model::{Code, Ending, GrpcCode, MethodStats};
use crate::service::MethodTable;
use crate::stats::Counts;

/// Minimum number of calls for a 99th percentile.
const ENOUGH: u64 = 100;

/// Longer paths are counted as `other`: names are kept for as long as the service is.
const LONGEST: usize = 200;

/// Method metrics of one service on one worker.
pub struct Calls {
    table: Arc<MethodTable>,
    worker: usize,
    known: RefCell<Known>,
    /// Caches indices into the list by head tag.
    by_tag: ByTag<u16>,
}

/// This worker's copy of the service's method list.
#[derive(Default)]
struct Known {
    list: Vec<(Method, Arc<MethodStats>)>,
    /// Indices into the list by path hash.
    places: HashTable<(Method, u16)>,
}

/// The method of a request. Small, as every request in flight has one.
#[derive(Debug)]
pub enum Called {
    /// The method at this index of the list.
    Known(u16),
    /// A new method; it is added to the list if the backend proves to have it.
    New(Box<(Method, Box<str>)>),
    /// Counted as `other`.
    Other(Method),
}

/// How a call or stream ended.
pub struct End {
    /// The status.
    pub code: Code,
    /// How the attempt ended.
    pub ending: Ending,
    /// Duration of a call; `None` for a stream.
    pub took: Option<Duration>,
    /// The route's timeout cut it after its second message: it is probably an undeclared stream.
    pub cut: bool,
}

impl Calls {
    /// Counts in the shard of worker `worker`.
    pub fn new(table: &Arc<MethodTable>, worker: usize) -> Calls {
        Calls {
            table: Arc::clone(table),
            worker,
            known: RefCell::default(),
            by_tag: ByTag::default(),
        }
    }

    /// Finds the method of a gRPC request, hashing its path with `methods`.
    pub fn find(&self, head: &Headers, methods: &Methods) -> (Called, Method) {
        let path = head.get(Name::Path).unwrap_or_default();
        let place = self.by_tag.find(head, || self.place(path, methods));
        let known = self.known.borrow();
        if let Some(place) = place
            && let Some((method, _)) = known.list.get(usize::from(place))
        {
            return (Called::Known(place), *method);
        }
        let method = methods.of(path);
        let may_be_learnt = known.list.len() < self.table.most();
        let called = match may_be_learnt.then(|| name(path)).flatten() {
            Some(name) => Called::New(Box::new((method, name.into()))),
            None => Called::Other(method),
        };
        (called, method)
    }

    /// The index of the method with this path, if it is on the list.
    fn place(&self, path: &[u8], methods: &Methods) -> Option<u16> {
        let method = methods.of(path);
        let mut known = self.known.borrow_mut();
        let (place, met) = (known.find(method, path), known.list.len());
        if place.is_none() && self.table.count() > met {
            known.continue_with(self.table.since(met), methods);
            return known.find(method, path);
        }
        place
    }

    /// The path hash, by which streaming methods are looked up.
    pub fn method(&self, called: &Called) -> Option<Method> {
        match called {
            Called::Known(place) => {
                self.known.borrow().list.get(usize::from(*place)).map(|(method, _)| *method)
            }
            Called::New(new) => Some(new.0),
            Called::Other(method) => Some(*method),
        }
    }

    /// The 99th percentile of a method's durations, if it had enough calls.
    pub fn usual_time(&self, called: &Called) -> Option<Duration> {
        let Called::Known(place) = called else { return None };
        let known = self.known.borrow();
        let (_, stats) = known.list.get(usize::from(*place))?;
        let mut durations = Counts::default();
        stats.add_durations_to(&mut durations);
        let p99 = durations.quantile(0.99).filter(|_| durations.count() >= ENOUGH)?;
        Some(Duration::from_secs_f64(p99))
    }

    /// Counts an ended call or stream.
    pub fn count(&self, called: &Called, end: &End) {
        let Code::Grpc(code) = end.code else { return };
        if self.table.most() == 0 {
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
        let known = self.known.borrow();
        match called {
            Called::Known(place) if let Some((_, stats)) = known.list.get(usize::from(*place)) => {
                record(stats);
            }
            Called::New(new) if end.proves_the_method() => {
                record(self.table.learn(&new.1).as_deref().unwrap_or_else(|| self.table.other()));
            }
            _ => record(self.table.other()),
        }
    }
}

impl Known {
    fn find(&self, method: Method, path: &[u8]) -> Option<u16> {
        let name = path.get(1..)?;
        let is = |(known, place): &(Method, u16)| {
            let stats = self.list.get(usize::from(*place)).filter(|_| *known == method);
            stats.is_some_and(|(_, stats)| stats.name().as_bytes() == name)
        };
        self.places.find(method.hash(), is).map(|(_, place)| *place)
    }

    fn continue_with(&mut self, more: Vec<Arc<MethodStats>>, methods: &Methods) {
        for stats in more {
            let method = methods.of(format!("/{}", stats.name()).as_bytes());
            let Ok(place) = u16::try_from(self.list.len()) else { return };
            self.places.insert_unique(method.hash(), (method, place), |(method, _)| method.hash());
            self.list.push((method, stats));
        }
    }
}

impl End {
    /// Whether the backend proves to have the method: it sent messages, or a status other than
    /// those that are sent for unknown methods too.
    fn proves_the_method(&self) -> bool {
        use GrpcCode::{PermissionDenied, Unauthenticated, Unimplemented};
        let refused =
            matches!(self.code, Code::Grpc(Unimplemented | Unauthenticated | PermissionDenied));
        self.cut || self.ending == Ending::Answered(self.code) && !refused
    }
}

/// The method name `package.Service/Method` of a well-formed gRPC path.
fn name(path: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(path.strip_prefix(b"/")?).ok()?;
    let (service, method) = name.split_once('/')?;
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let proper = !service.is_empty() && service.bytes().all(|c| word(c) || c == b'.');
    let proper = proper && !method.is_empty() && method.bytes().all(word);
    (proper && path.len() <= LONGEST).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 20;

    fn end(code: GrpcCode) -> End {
        let code = Code::Grpc(code);
        let took = Some(Duration::from_millis(1));
        End { code, ending: Ending::Answered(code), took, cut: false }
    }

    /// One worker of several, with hashes of its own.
    struct Worker(Calls, Methods);

    impl Worker {
        fn call(&self, path: &str, end: &End) {
            let Worker(calls, methods) = self;
            let mut head = Headers::new();
            head.add(Name::Path, path.as_bytes());
            calls.count(&calls.find(&head, methods).0, end);
        }
    }

    fn workers(table: &Arc<MethodTable>) -> [Worker; 2] {
        [0, 1].map(|worker| Worker(Calls::new(table, worker), Methods::default()))
    }

    fn counted(table: &MethodTable) -> Vec<(String, u64)> {
        let of = |stats: &MethodStats| (stats.name().to_owned(), stats.codes().requests());
        table.since(0).iter().map(|stats| of(stats)).chain([of(table.other())]).collect()
    }

    #[test]
    fn a_method_has_a_name_once_a_backend_knows_it() {
        let table = Arc::new(MethodTable::new(2, MOST));
        let [one, two] = workers(&table);
        one.call("/shop.Orders/Get", &end(GrpcCode::Unimplemented));
        let broken = Ending::Broken(crate::model::Break::Lost);
        one.call("/shop.Orders/Get", &End { ending: broken, ..end(GrpcCode::Unavailable) });
        assert_eq!(counted(&table), [("other".into(), 2)]);
        one.call("/shop.Orders/Get", &end(GrpcCode::Internal));
        two.call("/shop.Orders/Get", &end(GrpcCode::Unimplemented));
        one.call("/shop.Orders/Get", &End { took: None, ..end(GrpcCode::Ok) });
        assert_eq!(counted(&table), [("shop.Orders/Get".into(), 3), ("other".into(), 2)]);
        assert_eq!(table.since(0)[0].streams(), 1);
    }

    #[test]
    fn whatever_clients_ask_for_few_names_are_kept() {
        let table = Arc::new(MethodTable::new(2, MOST));
        let [one, two] = workers(&table);
        for n in 0..2 * MOST {
            one.call(&format!("/a.B/{n}"), &end(GrpcCode::Ok));
            two.call(&format!("/a.B/{n}"), &end(GrpcCode::Ok));
        }
        let counted = counted(&table);
        let most = MOST as u64;
        assert_eq!(counted.len(), MOST + 1);
        assert!(
            counted
                .iter()
                .all(|(name, count)| *count == if name == "other" { 2 * most } else { 2 })
        );
    }

    #[test]
    fn only_paths_of_grpc_have_names() {
        assert_eq!(name(b"/shop.Orders/Get"), Some("shop.Orders/Get"));
        assert_eq!(name(b"/Orders/get_2"), Some("Orders/get_2"));
        let long = format!("/{}/Get", "a".repeat(LONGEST));
        for odd in
            ["", "/", "/a", "a/b", "//b", "/a/", "/a/b/c", "/a/b?c", "/a\"/b", "/a/b.c", &long]
        {
            assert_eq!(name(odd.as_bytes()), None, "{odd}");
        }
    }
}
