//! An exchange: one request and its response, from the request head to the outcome.
//!
//! Retries are possible until [`commit`] sends a response head to the client, and never after.
//! Every exchange has exactly one [`Outcome`].

mod admit;
mod attempt;
mod attempted_endpoints;
mod classify;
mod commit;
mod deadline;
mod events;
mod fail;
mod hedge;
mod hold;
mod initial_class;
mod open;
mod outcome;
mod rate_limit;
mod record;
mod recover;
mod retry;
mod room;
mod route;
mod splice;
mod stage;
mod start;
mod stream_detector;
mod timeouts;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use self::admit::{Admitted, Permit};
pub use self::attempt::Attempt;
use self::attempted_endpoints::AttemptedEndpoints;
use self::classify::{Verdict, classify};
use self::commit::Committed;
pub use self::initial_class::InitialClass;
pub use self::outcome::{Outcome, grpc_code};
use self::retry::Next;
pub use self::route::Destination;
pub use self::stage::{Stage, Stages, stages};
pub use self::timeouts::{Elapsed, Limit, Timeouts};
use super::failure::Failure;
use super::front::Proxy;
use super::hash_key::{AffinityCookie, KeyContext};
use super::local_reply::ReplyKind;
use super::request_log::RequestLog;
use super::worker_snapshot::WorkerSnapshot;
use super::{ambiguity, forwarded_headers};
use crate::http::{Headers, Name};
use crate::model::Time;
use crate::net::Stream;
use crate::route::Policies;

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
    reply_kind: ReplyKind,
    pub grpc: bool,
    started: Time,
    /// Set once the request is routed.
    destination: OnceCell<Destination>,
    /// Request trailers were forwarded; they are not kept for a retry.
    sent_trailers: Cell<bool>,
    /// `100 Continue` was sent to the client.
    sent_continue: Cell<bool>,
    /// The affinity cookie issued with the response, if the client sent none.
    affinity_cookie: OnceCell<AffinityCookie>,
    timeouts: RefCell<Timeouts>,
    /// What it holds of its service's limits.
    permit: Cell<Permit>,
    log: RequestLog,
    /// The outcome is recorded.
    recorded: Cell<bool>,
    /// Attempts, but for those that no backend can have begun; 0 at a route without retries and
    /// hedging, which does not count them.
    attempts: Cell<u8>,
    /// Those of them that were begun beside another one.
    hedges: Cell<u8>,
}

impl Exchange {
    /// Accepts the request on `front`, counting it; it must end in an outcome.
    pub fn accept(proxy: &Rc<Proxy>, front: Rc<Stream>, head: Headers, end: bool) -> Exchange {
        let reply_kind = ReplyKind::of(&head, front.conn());
        if reply_kind == ReplyKind::Grpc {
            front.count_messages();
        }
        proxy.metrics.exchange_accepted();
        Exchange {
            reply_kind,
            grpc: reply_kind == ReplyKind::Grpc,
            started: proxy.worker.now(),
            log: RequestLog::of(&head),
            timeouts: RefCell::default(),
            proxy: Rc::clone(proxy),
            front,
            head: RefCell::new(head),
            end,
            destination: OnceCell::new(),
            sent_trailers: Cell::new(false),
            sent_continue: Cell::new(false),
            affinity_cookie: OnceCell::new(),
            permit: Cell::default(),
            recorded: Cell::new(false),
            attempts: Cell::new(0),
            hedges: Cell::new(0),
        }
    }

    /// Runs the exchange to its outcome, then until the client has read the whole response.
    pub async fn serve(&self) {
        self.run().await;
        self.return_permit(); // after the attempt has ended: its backend has room again
        self.finish().await;
        self.recycle_head();
    }

    /// Rejects the request with `failure`, without routing it.
    pub fn reject(&self, failure: Failure) {
        self.record(self.local_reply(failure), None);
        self.front.detach();
        self.recycle_head();
    }

    /// The main flow: route; then pick, open, send and await a response head, until one is
    /// committed or there is no backend left to try.
    async fn run(&self) {
        let Some(destination) = self.prepare() else { return };
        if let Err(error) = self.enter(destination).await {
            return self.record(self.give_up(error), None);
        }
        self.apply_route(destination);
        if destination.policies().is_some_and(Policies::repeat) {
            self.attempts.set(1);
        }
        let mut attempted = AttemptedEndpoints::new();
        let mut picked = self.pick(destination, &attempted);
        loop {
            let Some(attempt) = &picked else {
                // Boxed: it is rare, and its state would enlarge every exchange's future.
                match Box::pin(self.await_recovery(destination, &mut attempted)).await {
                    Ok(()) => picked = self.pick(destination, &attempted),
                    Err(error) => return self.record(self.give_up(error), None),
                }
                continue;
            };
            self.follow(attempt);
            let start = match self.open(attempt).await {
                Ok(()) => {
                    self.send(attempt, &attempted);
                    match self.has_policy() {
                        false => self.await_head(attempt).await,
                        true => {
                            let head =
                                self.await_by_policy(destination, &mut picked, &mut attempted);
                            Box::pin(head).await // every exchange would carry its state
                        }
                    }
                }
                Err(error) => Err(error),
            };
            let Some(attempt) = &picked else { continue };
            let verdict = classify(&start, self.grpc, self.retried_failures(destination));
            if verdict != Verdict::Pass {
                match self.next(destination, attempt, (verdict, &start), &mut attempted) {
                    Next::Pass => {}
                    Next::Attempt(next) => {
                        picked = Some(next);
                        continue;
                    }
                    Next::After(pause) => {
                        drop(picked.take()); // it is in flight no more
                        if let Err(error) = self.pause(pause).await {
                            self.forget_attempt();
                            return self.record(self.give_up(error), None);
                        }
                        self.proxy.router.refresh(); // the next pick uses the newest snapshot
                        picked = self.pick(destination, &attempted);
                        continue;
                    }
                }
            }
            let outcome = match start {
                Ok(response) => match self.commit(attempt, response) {
                    Committed::Complete(outcome) => outcome,
                    Committed::Streaming(status) => self.splice(attempt, status).await,
                },
                Err(error) => self.fail(attempt, error),
            };
            return self.record(outcome, Some(attempt));
        }
    }

    /// Routes the request, and sets its deadline. `None` if that was its end.
    fn prepare(&self) -> Option<&Destination> {
        let resolved = ambiguity::resolve(&self.front, &mut self.head.borrow_mut(), self.grpc);
        if resolved.is_ok() {
            forwarded_headers::apply(&self.front, &mut self.head.borrow_mut(), self.grpc);
        }
        let outcome = match resolved.and_then(|()| self.route()) {
            Err(failure) => self.local_reply(failure),
            Ok(destination) => match destination.redirect() {
                Some(redirect) => self.redirect(redirect),
                None => match self.set_deadline(destination) {
                    Ok(()) => return Some(destination),
                    Err(failure) => self.local_reply(failure),
                },
            },
        };
        self.record(outcome, None);
        None
    }

    /// Picks a backend and begins an attempt. A backend that could not be reached is not tried again;
    /// one that refused the stream is, if there is no other. Backends that are known not to implement
    /// the method are avoided.
    fn pick(&self, destination: &Destination, attempted: &AttemptedEndpoints) -> Option<Attempt> {
        if attempted.is_full() {
            return None;
        }
        let (view, worker) = (destination.worker_service()?.view(), &self.proxy.worker);
        let initial = self.initial_class(&view);
        let already = attempted.indices(&view);
        let without = view.unimplemented.indices(&view, initial.called.as_ref(), worker.now());
        let head = self.head.borrow();
        let key_cx = KeyContext {
            head: &head,
            source: forwarded_headers::source_address(&self.front, &head),
            affinity_cookie: &self.affinity_cookie,
            rng: worker.rng(),
        };
        let avoided = match &*without {
            [] => already.as_slice(),
            without => &[already.as_slice(), without].concat(), // allocates, but is rare
        };
        let mut picked = view.pick(worker, &key_cx, initial.class, avoided)?;
        // All are avoided: rather one that has failed than one that lacks the method.
        if without.contains(&picked.index) && attempted.may_repeat() {
            view.put_back(&picked, worker.now());
            picked = view.pick(worker, &key_cx, initial.class, &without)?;
        }
        let again = already.as_slice().contains(&picked.index) && !attempted.may_repeat();
        // Where none implements the method, the first one that is asked may say so.
        let in_vain = without.contains(&picked.index) && !attempted.is_empty();
        if again || in_vain {
            view.put_back(&picked, worker.now());
            return None;
        }
        match view.limit_of_calls(initial.class) {
            None => Some(Attempt::begin(view, picked, initial, worker)),
            Some(limit) => {
                let begun = self.begin_within(limit, &view, (picked, initial), (&key_cx, avoided));
                if begun.is_none() {
                    attempted.note_full();
                }
                begun
            }
        }
    }

    /// How an attempt is classified at its start: as a call or a stream.
    fn initial_class(&self, view: &WorkerSnapshot) -> InitialClass {
        match self.grpc {
            true => view.initial_class(&self.head.borrow()),
            false => InitialClass::HTTP,
        }
    }

    /// Whether the request asks for an HTTP/1.1 upgrade, so that another protocol may follow its head.
    pub fn is_upgrade(&self) -> bool {
        self.front.conn().is_http1() && self.head.borrow().get(Name::Upgrade).is_some()
    }

    /// Recycles the head's memory.
    fn recycle_head(&self) {
        self.proxy.worker.recycle(self.head.take());
    }
}
