//! State shared by all parts of a run.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use equipoise::net::{Dial, Memory};
use equipoise::service::{Environment, Registry};
use h2::Reason;
use tokio::time::{Instant, sleep};

use super::exchange::{Answer, Exchange, Habits, Route};
use super::ledger::{Ledger, Told};
use super::network::Network;

/// Bytes in flight on a client's connection, in each direction.
const ROOM: usize = 64 << 10;

/// The services: `canary` gets a share of the requests for `orders`, `shadow` mirrored copies.
pub const SERVICES: [&str; 4] = ["orders", "canary", "shadow", "web"];

/// A backend: address and service.
pub struct Site {
    pub service: &'static str,
    pub address: SocketAddr,
    /// It speaks HTTP/1.1.
    pub http1: bool,
    /// It runs an old version, which implements no method.
    pub old: bool,
}

/// Bodies by request number, direction and attempt.
type Bodies = BTreeMap<(u64, bool, u8), Rc<[u8]>>;

/// State shared by all parts of a run.
pub struct World {
    pub seed: u64,
    pub habits: Habits,
    /// Whether faults are injected.
    pub faults: bool,
    pub ledger: Ledger,
    pub network: Rc<Network>,
    pub rng: RefCell<fastrand::Rng>,
    /// The backends' limit of concurrent streams.
    pub backend_streams: u32,
    /// All backends, present in the file or not.
    pub sites: Vec<Site>,
    pub registry: Arc<Registry>,
    pub environment: Environment,
    /// No more faults are to be injected.
    pub calm: Cell<bool>,
    /// Requests that backends are processing.
    pub answering: Rc<Cell<usize>>,
    pub begun: Instant,
    pub clients: Dial,
    /// The HTTP/1.1 clients, and all requests by number.
    pub http1: RefCell<Vec<bool>>,
    /// Requests that a backend has refused already.
    pub refused: RefCell<BTreeSet<u64>>,
    pub dialled: Cell<u16>,
    pub bodies: RefCell<Bodies>,
}

/// Counts a request in processing.
pub struct Answering(Rc<Cell<usize>>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl World {
    /// A new request, of an HTTP/1.1 client or not.
    pub fn ask(&self, http1: bool) -> Exchange {
        self.http1.borrow_mut().push(http1);
        self.exchange(self.http1.borrow().len() as u64 - 1)
    }

    /// The request of this number.
    fn exchange(&self, id: u64) -> Exchange {
        Exchange::draw(self.seed, id, self.http1.borrow()[id as usize], self.habits)
    }

    /// Waits for a random time in this range of milliseconds, longer the more has happened.
    pub async fn pause(&self, time: Range<u64>, before: u32) {
        let time = self.rng.borrow_mut().u64(time);
        sleep(Duration::from_millis(time) * (1 + before / 10)).await;
    }

    /// Traces an event, which must recur in every run of the seed.
    pub fn trace(&self, what: &str) {
        self.ledger.trace(self.begun.elapsed().as_micros(), what);
    }

    /// Judges a peer's error: none may be a protocol violation by the gateway.
    pub fn judge(&self, error: &h2::Error) {
        let harmless = matches!(error.reason(), None | Some(Reason::CANCEL | Reason::NO_ERROR));
        if error.is_library() && !harmless {
            self.ledger.wrong(format!("the gateway breaks a rule of the protocol: {error}"));
        }
    }

    /// A connection of a client to the gateway.
    pub fn dial(&self, number: u64) -> Option<Memory> {
        self.dialled.set(self.dialled.get() + 1);
        let peer = SocketAddr::new([10, 0, 0, number as u8].into(), 1024 + self.dialled.get());
        let io = self.clients.connect(peer, ROOM).ok()?;
        self.network.note(peer, io.wire());
        Some(io)
    }

    /// Requests on a connection after which the backend sends GOAWAY.
    pub fn leaves_after(&self) -> Option<u32> {
        let mut rng = self.rng.borrow_mut();
        (rng.u8(..3) == 0).then(|| rng.u32(1..20))
    }

    /// Counts a request in processing until dropped.
    pub fn answers(&self) -> Answering {
        self.answering.set(self.answering.get() + 1);
        Answering(Rc::clone(&self.answering))
    }

    /// A request arrived at a backend; `None` if the backend refuses it, which it does to some
    /// once.
    pub fn begin(
        &self,
        backend: usize,
        path: &str,
        field: impl Fn(&str) -> Option<String>,
    ) -> Option<Exchange> {
        let id = field("x-id").and_then(|id| id.parse().ok()).expect("every request has one");
        let (mut exchange, site) = (self.exchange(id), &self.sites[backend]);
        let copy = site.service == "shadow" && exchange.route == Route::Mirrored;
        let refuses = exchange.answer == Answer::Refused && !site.http1 && !copy;
        if refuses && self.refused.borrow_mut().insert(id) {
            self.trace(&format!("backend {backend} refuses {id}"));
            return None;
        }
        self.trace(&format!("backend {backend} begins {id}"));
        let attempt = self.ledger.begun(id, backend, copy, self.begun.elapsed());
        exchange.attempt = attempt as u8;
        exchange.fails = exchange.fails.filter(|fails| attempt < fails.times && !copy);
        if !copy && exchange.route.services().contains(&"orders") {
            let previous = field("grpc-previous-rpc-attempts").map_or(0, |it| it.parse().unwrap());
            self.ledger.retried(&exchange, previous, self.habits, self.begun.elapsed());
        }
        if exchange.route == Route::Split {
            self.ledger.shared(id, site.service);
        }
        let expect = |holds: bool, what: &str| {
            if !holds {
                self.ledger.wrong(format!("request {id} came to backend {backend} with {what}"));
            }
        };
        let page = exchange.route == Route::Page;
        expect(path == exchange.route.path_at_backend(), "another path");
        let told = field("grpc-timeout");
        expect(exchange.allows(told, self.habits), "another deadline");
        expect(field("x-key") == Some((id % 3).to_string()), "another key");
        expect(field("x-asked").is_some() == page, "fields of another route");
        expect(copy || exchange.route.services().contains(&site.service), "no business there");
        if copy {
            // Whatever happens to a copy, its client must not notice.
            match self.rng.borrow_mut().u8(..6) {
                0 => exchange.answer = Answer::ResetEarly,
                1 => exchange.answer = Answer::Early,
                2 => exchange.thinks = Duration::from_secs(40),
                _ => {}
            }
        }
        Some(exchange)
    }

    /// A whole body, cached as computing it is expensive.
    fn body(&self, exchange: &Exchange, asked: bool) -> Rc<[u8]> {
        let mut bodies = self.bodies.borrow_mut();
        let key = (exchange.id, asked, if asked { 0 } else { exchange.attempt });
        let body = bodies.entry(key).or_insert_with(|| exchange.body(asked).into());
        Rc::clone(body)
    }

    /// A backend is done with an attempt.
    pub fn is_done(&self, exchange: &Exchange, backend: usize) {
        if self.sites[backend].service != "shadow" {
            self.trace(&format!("backend {backend} is done with {}", exchange.id));
            self.ledger.ended(exchange, self.begun.elapsed());
        }
    }

    /// Verifies a piece of a body at this offset.
    pub fn compare(&self, exchange: &Exchange, asked: bool, at: usize, data: &[u8]) {
        if self.body(exchange, asked).get(at..at + data.len()) != Some(data) {
            let (what, id) = (if asked { "request" } else { "response" }, exchange.id);
            self.ledger.wrong(format!("{what} {id} is not what was sent at {at}"));
        }
    }

    /// A backend has read a complete request of this size.
    pub fn has_whole(&self, exchange: &Exchange, backend: usize, bytes: usize) {
        let (id, all) = (exchange.id, self.body(exchange, true).len());
        if bytes != all {
            self.ledger.wrong(format!("request {id} ended in good order at {bytes} of {all}"));
        }
        if self.sites[backend].service != "shadow" {
            self.ledger.whole(exchange);
        }
    }

    /// A client received a response head; of this backend, if of one. From then on it is that of
    /// this attempt.
    pub fn answered(
        &self,
        exchange: &mut Exchange,
        field: impl Fn(&str) -> Option<String>,
    ) -> Option<usize> {
        let (id, of) = (exchange.id, field("x-id"));
        if of.as_ref().is_some_and(|of| *of != id.to_string()) {
            self.ledger.wrong(format!("request {id} got the response of {of:?}"));
        }
        if let Some(attempt) = field("x-attempt") {
            exchange.attempt = attempt.parse().unwrap();
            self.ledger.head(id, exchange.attempt.into(), self.begun.elapsed());
        }
        let backend = field("x-backend").map(|text| text.parse().unwrap());
        let page = backend.is_some() && exchange.route == Route::Page;
        if field("x-answered").is_some() != page {
            self.ledger.wrong(format!("request {id} got fields of another route"));
        }
        backend
    }

    /// A client's request has ended.
    pub fn tell(&self, id: u64, told: Told) {
        self.trace(&format!("client has {id}: {told:?}"));
        self.ledger.told(id, told);
    }
}
