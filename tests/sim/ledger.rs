//! Ledger of a run: what clients and backends saw, and the invariants that it must satisfy.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::attempts::{Attempts, Budget};
use super::exchange::{Exchange, Habits, Route};
use super::lines::Line;

/// What a change may take out of rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The backend of this number.
    Backend(usize),
    /// This service's share of the split.
    Share(&'static str),
}

/// How a request ended for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With this `grpc-status` or HTTP status.
    Status(String),
    /// With a reset or a closed connection.
    Broken(String),
    /// The client cancelled.
    GaveUp,
}

/// A client's report of a request.
#[derive(Clone, Debug)]
pub struct Told {
    pub end: End,
    /// The backend named in the response head.
    pub backend: Option<usize>,
    /// Length of the response body, which was verified.
    pub bytes: usize,
}

impl Told {
    /// Whether an expired deadline may have ended it.
    fn is_expired(&self, route: Route) -> bool {
        match &self.end {
            End::Status(status) => status == if route.is_grpc() { "4" } else { "504" },
            End::Broken(_) => route == Route::Page, // in the middle of the response
            End::GaveUp => false,
        }
    }
}

/// Requests up to this size are surely held until the head of the response is there.
const HELD: usize = 32 << 10;

/// Resolution of timers.
const TICK: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Seen {
    /// Backends that began it.
    attempts: Attempts,
    /// Backends that got a mirrored copy.
    copied: Vec<usize>,
    told: Option<Told>,
    /// What was out of rotation before it was sent.
    out: BTreeSet<Place>,
    /// The gateway was shutting down before it was sent.
    late: bool,
}

/// The ledger of one run.
#[derive(Default)]
pub struct Ledger {
    seen: RefCell<BTreeMap<u64, Seen>>,
    wrong: RefCell<Vec<String>>,
    /// Out of rotation by answered changes.
    out: RefCell<BTreeSet<Place>>,
    /// Out of rotation at any time.
    ever_out: RefCell<BTreeSet<Place>>,
    /// They said GOAWAY on a connection.
    left: RefCell<BTreeSet<Place>>,
    budget: RefCell<Budget>,
    /// The gateway is shutting down.
    closing: Cell<bool>,
    trace: RefCell<DefaultHasher>,
    told_of: bool,
}

impl Ledger {
    /// An empty ledger; `told_of` prints all events.
    pub fn new(told_of: bool) -> Ledger {
        Ledger { told_of, ..Ledger::default() }
    }

    /// Traces an event, which must recur in every run of the seed.
    pub fn trace(&self, at: u128, what: &str) {
        (at, what).hash(&mut *self.trace.borrow_mut());
        if self.told_of {
            println!("{:>9.3} {what}", at as f64 / 1e6);
        }
    }

    /// The digest of all that was traced.
    pub fn digest(&self) -> u64 {
        self.trace.borrow().finish()
    }

    /// Records a violated invariant.
    pub fn wrong(&self, what: String) {
        self.wrong.borrow_mut().push(what);
    }

    /// A change that takes these out was answered.
    pub fn take_out(&self, places: &BTreeSet<Place>) {
        self.out.borrow_mut().extend(places);
        self.ever_out.borrow_mut().extend(places);
    }

    /// A change that may bring these back is about to be made.
    pub fn put_back(&self, places: &BTreeSet<Place>) {
        self.out.borrow_mut().retain(|place| !places.contains(place));
    }

    /// From here on the gateway need not accept new requests.
    pub fn close(&self) {
        self.closing.set(true);
    }

    /// A client sends a request.
    pub fn sent(&self, exchange: &Exchange) {
        self.budget.borrow_mut().sent(exchange.route);
        let mut seen = self.seen.borrow_mut();
        let seen = seen.entry(exchange.id).or_default();
        (seen.out, seen.late) = (self.out.borrow().clone(), self.closing.get());
    }

    /// A backend begins a request or a mirrored copy; returns which attempt it is.
    pub fn begun(&self, id: u64, backend: usize, copy: bool, at: Duration) -> usize {
        let mut seen = self.seen.borrow_mut();
        let seen = seen.entry(id).or_default();
        self.came_to(id, seen, Place::Backend(backend));
        if copy {
            seen.copied.push(backend);
            return 0;
        }
        seen.attempts.begun(backend, at)
    }

    /// A backend is told of so many attempts before.
    pub fn retried(&self, exchange: &Exchange, previous: u64, habits: Habits, at: Duration) {
        let mut budget = self.budget.borrow_mut();
        if let Some(wrong) = budget.begun(exchange, previous, habits.retries, at) {
            self.wrong(format!("request {}: {wrong}", exchange.id));
        }
    }

    /// A backend has said GOAWAY.
    pub fn leaves(&self, backend: usize) {
        self.left.borrow_mut().insert(Place::Backend(backend));
    }

    /// A backend is done with an attempt.
    pub fn ended(&self, exchange: &Exchange, at: Duration) {
        self.of(exchange, |attempts| attempts.ended(exchange.attempt.into(), at));
    }

    /// A client has the head of the response to an attempt.
    pub fn head(&self, id: u64, attempt: usize, at: Duration) {
        self.seen.borrow_mut().entry(id).or_default().attempts.head(attempt, at);
    }

    fn of(&self, exchange: &Exchange, change: impl FnOnce(&mut Attempts)) {
        change(&mut self.seen.borrow_mut().entry(exchange.id).or_default().attempts);
    }

    /// A share of the split gets a request.
    pub fn shared(&self, id: u64, service: &'static str) {
        let mut seen = self.seen.borrow_mut();
        self.came_to(id, seen.entry(id).or_default(), Place::Share(service));
    }

    fn came_to(&self, id: u64, seen: &Seen, place: Place) {
        if seen.out.contains(&place) && self.out.borrow().contains(&place) {
            self.wrong(format!("request {id} came to {place:?}, which was out before it"));
        }
    }

    /// A backend has read a complete request.
    pub fn whole(&self, exchange: &Exchange) {
        self.of(exchange, |attempts| attempts.whole(exchange.attempt.into()));
    }

    /// A client's request has ended.
    pub fn told(&self, id: u64, told: Told) {
        let before = self.seen.borrow_mut().entry(id).or_default().told.replace(told);
        if before.is_some() {
            self.wrong(format!("request {id} has two ends"));
        }
    }

    /// Violations in the gateway's request log.
    pub fn check_lines(
        &self,
        exchanges: &[Exchange],
        lines: &[Line],
        habits: Habits,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let by_host: BTreeMap<_, _> = exchanges.iter().map(|it| (it.host(), it)).collect();
        let mut over = BTreeSet::new();
        for line in lines {
            if self.told_of {
                println!("{line:?}");
            }
            let exchange = by_host[&line.host];
            let limit = exchange.limit(habits);
            let expired = line.why.ends_with("has passed");
            if !over.insert(exchange.id) {
                wrong.push(format!("request {} is over twice", exchange.id));
            }
            if limit.is_some_and(|limit| line.took > limit + TICK) {
                wrong.push(format!("{line:?} outlives {limit:?} of {exchange:?}"));
            }
            if expired && limit.is_none_or(|limit| line.took < limit) {
                wrong.push(format!("{line:?} comes before {limit:?} of {exchange:?}"));
            }
        }
        wrong
    }

    /// All violations.
    /// `upgraded` are the backends that implement the methods of `orders`.
    pub fn check(
        &self,
        exchanges: &[Exchange],
        habits: Habits,
        upgraded: &BTreeSet<Place>,
    ) -> Vec<String> {
        let mut wrong = self.wrong.take();
        let stand: BTreeSet<_> = upgraded.difference(&self.ever_out.borrow()).copied().collect();
        let stay = &stand - &self.left.borrow();
        let seen = self.seen.borrow();
        for exchange in exchanges {
            match seen.get(&exchange.id) {
                Some(seen @ Seen { told: Some(told), .. }) => {
                    let mut found = seen.check(exchange, told, habits, !stand.is_empty());
                    found.extend(seen.attempts.check(exchange, habits, &stay));
                    let found = found.into_iter();
                    wrong.extend(found.map(|what| format!("request {}: {what}", exchange.id)));
                }
                _ => wrong.push(format!("request {} has no end", exchange.id)),
            }
        }
        wrong
    }
}

impl Seen {
    /// `stands` says that a backend implements the methods of `orders` and was never out.
    fn check(&self, exchange: &Exchange, told: &Told, habits: Habits, stands: bool) -> Vec<String> {
        let Seen { attempts, copied, .. } = self;
        let begun = attempts.backends();
        let mut wrong = Vec::new();
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{what}: {told:?}, begun by {begun:?}, of {exchange:?}"));
            }
        };
        expect(copied.len() <= 1, "copied twice");
        let expected = exchange.expected(habits);
        let as_expected = match (&told.end, expected.status) {
            (End::Status(status), Some(wanted)) => status == wanted,
            (End::Broken(_), None) => true,
            _ => false,
        };
        let expired = exchange.limit(habits).is_some() && told.is_expired(exchange.route);
        let unimplemented = matches!(&told.end, End::Status(status) if status == "12");
        let of_orders = exchange.route.services().contains(&"orders");
        let lacking = unimplemented && of_orders;
        // One that was pipelined before it may have failed.
        let unread = exchange.route == Route::Page && matches!(told.end, End::Broken(_));
        let unread = unread && begun.is_empty() && habits.retries.is_some();
        let not_held = exchange.asks > HELD || !exchange.is_held(habits);
        let excused = habits.faults || self.late || exchange.may_fail(habits);
        expect(!lacking || !stands || not_held || excused, "a backend implements it");
        expect(as_expected || expired || lacking || unread || excused, "ended without cause");
        if as_expected {
            let bytes = expected.bytes.is_none_or(|bytes| bytes == told.bytes);
            expect(bytes, "ended in good order without being whole");
        }
        if as_expected && expected.answered {
            let found = attempts.check_answer(exchange, told.backend);
            expect(found.is_none(), found.unwrap_or_default());
        }
        wrong
    }
}
