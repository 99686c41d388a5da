//! What happened, as clients and backends saw it, and what must be so of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::exchange::{Answer, Exchange};

/// How a request ended for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With this `grpc-status`, or HTTP status where there is none.
    Status(String),
    /// By a reset, or the end of the connection.
    Broken(String),
    /// The client gave up.
    GaveUp,
}

/// What a client has to say of a request.
#[derive(Clone, Debug)]
pub struct Told {
    pub end: End,
    /// The backend that answered, as its head says.
    pub backend: Option<usize>,
    /// Bytes of the response's body, all of which were as they should be.
    pub bytes: usize,
}

#[derive(Default)]
struct Seen {
    /// Backends that began it, in order.
    begun: Vec<usize>,
    /// Those that read all of it.
    whole: usize,
    told: Option<Told>,
    /// Backends that were out from before it was sent.
    out: BTreeSet<usize>,
}

/// What happened in one run.
#[derive(Default)]
pub struct Ledger {
    seen: RefCell<BTreeMap<u64, Seen>>,
    wrong: RefCell<Vec<String>>,
    /// Backends that a change has taken out, which has been answered.
    out: RefCell<BTreeSet<usize>>,
    trace: RefCell<DefaultHasher>,
    told_of: bool,
}

impl Ledger {
    /// An empty one; `told_of` has all that happens printed.
    pub fn new(told_of: bool) -> Ledger {
        Ledger { told_of, ..Ledger::default() }
    }

    /// Something happened that is to happen again in every run of the seed.
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

    /// Something is not as it must be.
    pub fn wrong(&self, what: String) {
        self.wrong.borrow_mut().push(what);
    }

    /// A change was answered that leaves these out.
    pub fn take_out(&self, backends: &BTreeSet<usize>) {
        self.out.borrow_mut().extend(backends);
    }

    /// A change is about to be made that leaves these in.
    pub fn put_back(&self, backends: &BTreeSet<usize>) {
        self.out.borrow_mut().retain(|backend| !backends.contains(backend));
    }

    /// A client sends a request.
    pub fn sent(&self, id: u64) {
        let out = self.out.borrow().clone();
        self.seen.borrow_mut().entry(id).or_default().out = out;
    }

    /// A backend begins a request.
    pub fn begun(&self, id: u64, backend: usize) {
        let mut seen = self.seen.borrow_mut();
        let seen = seen.entry(id).or_default();
        seen.begun.push(backend);
        let still_out = self.out.borrow();
        if seen.out.contains(&backend) && still_out.contains(&backend) {
            self.wrong(format!("request {id} came to backend {backend}, which was out before it"));
        }
    }

    /// A backend has read all of a request.
    pub fn whole(&self, id: u64) {
        self.seen.borrow_mut().entry(id).or_default().whole += 1;
    }

    /// A client has come to the end of a request.
    pub fn told(&self, id: u64, told: Told) {
        let before = self.seen.borrow_mut().entry(id).or_default().told.replace(told);
        if before.is_some() {
            self.wrong(format!("request {id} has two ends"));
        }
    }

    /// What is wrong with what happened.
    pub fn check(&self, exchanges: &[Exchange], faults: bool) -> Vec<String> {
        let mut wrong = self.wrong.take();
        let seen = self.seen.borrow();
        for exchange in exchanges {
            let id = exchange.id;
            let Some(Seen { begun, whole, told: Some(told), .. }) = seen.get(&id) else {
                wrong.push(format!("request {id} has no end"));
                continue;
            };
            if begun.len() > 1 {
                wrong.push(format!("request {id} was begun by the backends {begun:?}"));
            }
            let expected = told.end == End::Status(exchange.status().into());
            if !expected && !faults {
                wrong.push(format!("request {id} ended without cause: {told:?} {exchange:?}"));
            }
            if !expected || exchange.idles {
                continue;
            }
            if told.backend != begun.first().copied() {
                wrong.push(format!("request {id} of {begun:?} was answered by {:?}", told.backend));
            }
            let early = matches!(exchange.answer, Answer::Early | Answer::TrailersOnly);
            if *whole == 0 && !early {
                wrong.push(format!("request {id} was answered, and no backend had all of it"));
            }
            let wanted = match exchange.answer {
                Answer::TrailersOnly => 0,
                _ => exchange.body(false).len(),
            };
            if told.bytes != wanted {
                wrong.push(format!("request {id} has {} bytes of {wanted}", told.bytes));
            }
        }
        wrong
    }
}
