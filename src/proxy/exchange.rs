//! One request and its response, from the head that came to the outcome.
//!
//! Until [`commit`] has sent the head of a response to the client, everything can be done again at
//! another backend; after it nothing. Whatever happens, there is one [`Outcome`].

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
    /// The client's side.
    pub front: Rc<Stream>,
    /// The head of the request; empty once a response is committed to, as nobody else will get it.
    pub head: RefCell<Headers>,
    /// The head of the request was all of it.
    pub end: bool,
    /// What kind of answer is wanted.
    asked: Asked,
    pub grpc: bool,
    started: Time,
    /// Where its route leads, once that is known.
    destination: OnceCell<Destination>,
    /// Trailers of the request have gone to a backend, and are not kept.
    sent_trailers: Cell<bool>,
    /// The client was told to send the body.
    invited: Cell<bool>,
    /// The cookie that the client is given with the response.
    issued: OnceCell<Issued>,
    timeouts: RefCell<Timeouts>,
    line: RequestLine,
    /// Its outcome was recorded.
    recorded: Cell<bool>,
}

impl Exchange {
    /// Of the request that came on `front`: from now on it owes an outcome.
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

    /// Carries it to its outcome, and on until the client has taken all of the response.
    pub async fn carry(&self) {
        self.run().await;
        self.finish().await;
        self.drop_head();
    }

    /// Answers it with `failure`, whatever it asks for.
    pub fn refuse_unheard(&self, failure: Failure) {
        self.record(self.refuse(failure), None);
        self.front.detach();
        self.drop_head();
    }

    /// The story: route; then pick, open, send and await the start of a response, until there is
    /// one to commit to or none to be had.
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
                        self.proxy.router.refresh(); // what was changed meanwhile counts for the next
                        continue;
                    }
                    false => self.fail(&attempt, failure.into()),
                },
            };
            return self.record(outcome, Some(&attempt));
        }
        self.record(self.refuse(tried.last_failure()), None);
    }

    /// Picks a backend and begins an attempt at it. One that could not be reached is not asked
    /// again; one that refused may be, if there is no other.
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

    /// What an attempt at it begins as.
    fn begins_as(&self, view: &View) -> Beginning {
        match self.grpc {
            true => view.begins_as(&self.head.borrow()),
            false => Beginning::HTTP,
        }
    }

    /// Whether another protocol is asked for, which what comes behind the head may be of.
    pub fn is_upgrade(&self) -> bool {
        self.front.conn().is_http1() && self.head.borrow().get(Name::Upgrade).is_some()
    }

    /// Gives the head's memory back.
    fn drop_head(&self) {
        self.proxy.worker.recycle(self.head.take());
    }
}
