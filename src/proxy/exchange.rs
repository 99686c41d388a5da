//! An exchange: one request and its response, from the request head to the outcome.
//!
//! Retries are possible until [`commit`] sends a response head to the client, and never after.
//! Every exchange has exactly one [`Outcome`].

mod attempt;
mod beginning;
mod classify;
mod commit;
mod deadline;
mod events;
mod fail;
mod open;
mod outcome;
mod record;
mod retry;
mod route;
mod splice;
mod stage;
mod start;
mod stream_watch;
mod timeouts;
mod tried;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

pub use self::attempt::Attempt;
pub use self::beginning::Beginning;
use self::classify::{Verdict, classify};
use self::commit::Committed;
pub use self::outcome::{Outcome, grpc_code};
pub use self::route::Destination;
pub use self::stage::{Stage, Stages, stages};
pub use self::timeouts::{Elapsed, Limit, Timeouts};
use self::tried::Tried;
use super::forwarded;
use super::front::Proxy;
use super::key::{Asker, Issued};
use super::reject::{Asked, Failure};
use super::request_line::RequestLine;
use super::target::View;
use crate::http::{Headers, Name};
use crate::model::Time;
use crate::net::Stream;

/// One request and its response.
pub struct Exchange {
    pub proxy: Rc<Proxy>,
    /// The client's stream.
    pub front: Rc<Stream>,
    /// The request head; dropped at commit, as no further attempt needs it.
    pub head: RefCell<Headers>,
    /// The request has neither body nor trailers (END_STREAM with its head).
    pub end: bool,
    /// How a local reply is encoded.
    asked: Asked,
    pub grpc: bool,
    started: Time,
    /// Set once the request is routed.
    destination: OnceCell<Destination>,
    /// Request trailers were forwarded; they are not kept for a retry.
    sent_trailers: Cell<bool>,
    /// `100 Continue` was sent to the client.
    invited: Cell<bool>,
    /// The affinity cookie issued with the response, if the client sent none.
    issued: OnceCell<Issued>,
    timeouts: RefCell<Timeouts>,
    line: RequestLine,
    /// The outcome is recorded.
    recorded: Cell<bool>,
}

impl Exchange {
    /// Accepts the request on `front`, counting it; it must end in an outcome.
    pub fn accept(proxy: &Rc<Proxy>, front: Rc<Stream>, head: Headers, end: bool) -> Exchange {
        let asked = Asked::by(&head, front.conn());
        if asked == Asked::Grpc {
            front.count_messages();
        }
        proxy.metrics.exchange_accepted();
        Exchange {
            asked,
            grpc: asked == Asked::Grpc,
            started: proxy.worker.now(),
            line: RequestLine::of(&head),
            timeouts: RefCell::default(),
            proxy: Rc::clone(proxy),
            front,
            head: RefCell::new(head),
            end,
            destination: OnceCell::new(),
            sent_trailers: Cell::new(false),
            invited: Cell::new(false),
            issued: OnceCell::new(),
            recorded: Cell::new(false),
        }
    }

    /// Runs the exchange to its outcome, then until the client has read the whole response.
    pub async fn carry(&self) {
        self.run().await;
        self.finish().await;
        self.drop_head();
    }

    /// Rejects the request with `failure`, without routing it.
    pub fn refuse_unheard(&self, failure: Failure) {
        self.record(self.refuse(failure), None);
        self.front.detach();
        self.drop_head();
    }

    /// The main flow: route; then pick, open, send and await a response head, until one is
    /// committed or there is no backend left to try.
    async fn run(&self) {
        forwarded::note(&self.front, &mut self.head.borrow_mut(), self.grpc);
        let destination = match self.route() {
            Ok(destination) => destination,
            Err(failure) => return self.record(self.refuse(failure), None),
        };
        if let Some(redirect) = destination.redirect() {
            return self.record(self.redirect(redirect), None);
        }
        let in_time = self.set_deadline(destination);
        let passed = match in_time {
            Ok(()) => self.pass_stages(destination).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = passed {
            return self.record(self.refuse(failure), None);
        }
        self.apply_route(destination);
        let mut tried = Tried::none();
        while let Some(attempt) = self.pick(destination, &tried) {
            let start = match self.open(&attempt).await {
                Ok(()) => {
                    self.send(&attempt, &tried);
                    self.await_start(&attempt).await
                }
                Err(broken) => Err(broken),
            };
            let outcome = match classify(start) {
                Verdict::Commit(response) => match self.commit(&attempt, response) {
                    Committed::Whole(outcome) => outcome,
                    Committed::Begun(status) => self.splice(&attempt, status).await,
                },
                Verdict::Fail(broken) => self.fail(&attempt, broken),
                Verdict::Retry(failure) => match self.may_retry(destination, &attempt, &tried) {
                    true => {
                        self.record_failed(&attempt, failure);
                        tried.failed(&attempt, failure);
                        self.proxy.router.refresh(); // the next pick uses the newest snapshot
                        continue;
                    }
                    false => self.fail(&attempt, failure.into()),
                },
            };
            return self.record(outcome, Some(&attempt));
        }
        self.record(self.refuse(tried.last_failure()), None);
    }

    /// Picks a backend and begins an attempt. A backend that could not be reached is not tried
    /// again; one that refused the stream is, if there is no other.
    fn pick(&self, destination: &Destination, tried: &Tried) -> Option<Attempt> {
        if tried.is_full() {
            return None;
        }
        let (view, worker) = (destination.target()?.view(), &self.proxy.worker);
        let beginning = self.begins_as(&view);
        let already = tried.indices(&view);
        let picked = {
            let head = self.head.borrow();
            let asker = Asker {
                head: &head,
                source: forwarded::source_address(&self.front, &head),
                issued: &self.issued,
                rng: worker.rng(),
            };
            view.pick(worker, &asker, beginning.class, already.as_slice())?
        };
        if already.as_slice().contains(&picked.index) && !tried.was_refused() {
            return None;
        }
        Some(Attempt::begin(view, picked, beginning, worker))
    }

    /// How an attempt is classified at its start: as a call or a stream.
    fn begins_as(&self, view: &View) -> Beginning {
        match self.grpc {
            true => view.begins_as(&self.head.borrow()),
            false => Beginning::HTTP,
        }
    }

    /// Whether the request asks for an HTTP/1.1 upgrade, so that what follows its head may be of
    /// another protocol.
    pub fn is_upgrade(&self) -> bool {
        self.front.conn().is_http1() && self.head.borrow().get(Name::Upgrade).is_some()
    }

    /// Recycles the head's memory.
    fn drop_head(&self) {
        self.proxy.worker.recycle(self.head.take());
    }
}
