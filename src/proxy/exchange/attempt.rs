//! One attempt at one backend: open until this is dropped, and what the backend is known for
//! afterwards.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use super::super::calls::{Called, End};
use super::super::key::{Issued, SetCookie};
use super::super::methods::Method;
use super::super::reject::Failure;
use super::super::target::{Picked, View};
use super::stream_watch::StreamWatch;
use super::{Beginning, Outcome};
use crate::model::{
    Break, Code, Ending, Endpoint, EwmaParams, ExchangeClass, GrpcCode, Sign, Time, TimeoutPhase,
};
use crate::net::{Stream, Worker};
use crate::service::Snapshot;
use crate::stats::Direction;
use crate::upstream::Pool;

/// A head that comes with the first message, later than this, tells when there was something to
/// say on a stream, and not how fast the backend is.
const LATE_HEAD: Duration = Duration::from_secs(1);

/// What starts as a stream and ends with one message, this soon after the head, was a call.
const CALL_ENDS: Duration = Duration::from_secs(1);

/// An attempt at the backend that was picked.
pub struct Attempt {
    view: Rc<View>,
    pool: Rc<Pool>,
    /// Where the backend has the request.
    back: OnceCell<Rc<Stream>>,
    /// When the backend was sent the head, or, before that, when it was picked.
    sent: Cell<Time>,
    class: Cell<ExchangeClass>,
    /// When it became what it is.
    began: Cell<Time>,
    /// Whether it may teach if its method streams.
    learning: Cell<bool>,
    called: Option<Called>,
    head_at: Cell<Option<Time>>,
    watch: RefCell<StreamWatch>,
    /// Whether the time to the head may yet become a sample of the latency.
    head_tells: Cell<bool>,
    /// It is the request by which a backend is tried that was ejected.
    on_trial: Cell<bool>,
}

impl Attempt {
    /// The exchange counts as open from now on.
    pub fn begin(view: Rc<View>, picked: Picked, beginning: Beginning, worker: &Worker) -> Attempt {
        let Picked { index, on_trial } = picked;
        let Beginning { class, learning, called } = beginning;
        let now = worker.now();
        let attempt = Attempt {
            pool: Rc::clone(&view.pools[index]),
            view,
            back: OnceCell::new(),
            sent: Cell::new(now),
            class: Cell::new(class),
            began: Cell::new(now),
            learning: Cell::new(learning),
            called,
            head_at: Cell::new(None),
            watch: RefCell::default(),
            head_tells: Cell::new(false),
            on_trial: Cell::new(on_trial),
        };
        attempt.endpoint().load().begin(class, now);
        if attempt.is_stream() {
            attempt.endpoint().worker_stats(worker.index()).record_stream_opened();
        }
        attempt
    }

    /// Connections to the backend.
    pub fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// The backend has the request, on this stream.
    pub fn sent_on(&self, back: Rc<Stream>) {
        let _ = self.back.set(back); // it is sent once
    }

    /// Whether the backend has the request.
    pub fn is_sent(&self) -> bool {
        self.back.get().is_some()
    }

    /// The stream on which the backend has the request.
    pub fn back(&self) -> Option<&Rc<Stream>> {
        self.back.get()
    }

    /// Gives up what the backend still has of it.
    pub fn cancel(&self) {
        if let Some(back) = self.back.get().filter(|back| back.is_open()) {
            self.pool.cancel(back);
        }
    }

    /// Why its connection ended.
    pub fn lost(&self) -> Failure {
        if self.pool.is_cut_off() { Failure::Drained } else { Failure::BackendLost }
    }

    /// The field that gives the client the cookie drawn for it.
    pub fn set_cookie(&self, issued: &Issued, secure: bool) -> Option<SetCookie> {
        self.view.set_cookie(issued, secure)
    }

    /// Whether the response has begun.
    pub fn has_head(&self) -> bool {
        self.head_at.get().is_some()
    }

    /// For how long nothing has come of the response.
    pub fn silence(&self, now: Time) -> Duration {
        let head = self.head_at.get().and_then(|head| Some(head.max(self.back.get()?.data_at())));
        now.since(head.unwrap_or(self.sent.get()))
    }

    /// The time within which nearly all calls of its method have ended, if that is known.
    pub fn usual_time(&self) -> Option<Duration> {
        self.view.calls.usual_time(self.called.as_ref()?)
    }

    /// Whether it counts as a stream.
    pub fn is_stream(&self) -> bool {
        self.class.get() == ExchangeClass::Stream
    }

    /// The response goes on behind its head. Its method, if it is gRPC, may turn out to stream; for
    /// the end of one that does, no trial waits.
    pub fn on_body(&self) {
        if !self.is_stream() {
            self.learning.set(true);
        } else {
            self.end_trial(Some(Sign::Well));
        }
    }

    /// Its method, if it may still teach whether that streams; once.
    fn take_learning(&self) -> Option<Method> {
        let called = self.called.as_ref().filter(|_| self.learning.take())?;
        self.view.calls.method(called)
    }

    fn endpoint(&self) -> &Arc<Endpoint> {
        self.pool.endpoint()
    }

    fn ewma(&self) -> &EwmaParams {
        self.view.snapshot.set.ewma()
    }

    /// The head was sent only now, as there was no connection, or no room on one.
    pub fn on_sent_late(&self, now: Time) {
        self.sent.set(now);
    }

    /// The head of the response is there.
    pub fn on_head(&self, worker: &Worker, back: &Stream, grpc: bool) {
        let now = worker.now();
        self.head_at.set(Some(now));
        let soon = now.since(self.sent.get()) < LATE_HEAD;
        self.head_tells.set(soon || back.messages() == 0);
        // A gRPC call is judged by its message, for which a head may go on before.
        if !grpc || self.is_stream() {
            self.observe_head(now);
        }
        if self.is_stream() {
            back.meter(self.endpoint(), Direction::Response);
        }
    }

    /// Watches whether what the backend sends is a stream, and has the task of `cx` look again
    /// when that may have shown.
    pub fn watch(
        &self,
        cx: &mut Context<'_>,
        worker: &Worker,
        front: Option<&Stream>,
        back: &Stream,
    ) {
        let Some(head_at) = self.head_at.get().filter(|_| !self.is_stream()) else { return };
        if self.watch.borrow_mut().poll(cx, worker, head_at, front, back) {
            self.become_stream(worker, front, back);
        }
    }

    /// What the backend has sent is a stream: so it is counted from now on.
    pub fn become_stream(&self, worker: &Worker, front: Option<&Stream>, back: &Stream) {
        if self.is_stream() {
            return;
        }
        let (now, load) = (worker.now(), self.endpoint().load());
        load.end(ExchangeClass::Call, self.began.get());
        load.begin(ExchangeClass::Stream, now);
        self.end_trial(Some(Sign::Well)); // nobody waits for its end
        self.class.set(ExchangeClass::Stream);
        self.began.set(now);
        self.endpoint().worker_stats(worker.index()).record_stream_opened();
        if let Some(method) = self.take_learning() {
            self.view.methods.learn_stream(method);
        }
        self.observe_head(now);
        back.meter(self.endpoint(), Direction::Response);
        if let Some(front) = front {
            self.meter_requests(front);
        }
    }

    /// Counts what the client says on a stream.
    pub fn meter_requests(&self, front: &Stream) {
        front.meter(self.endpoint(), Direction::Request);
    }

    /// It is over, and brought this outcome about.
    pub fn on_end(&self, worker: &Worker, started: Time, outcome: &Outcome) {
        let &Outcome { code, ending, answered, .. } = outcome;
        let now = worker.now();
        ending.sign().into_iter().for_each(|sign| self.note_sign(sign));
        let stats = self.endpoint().worker_stats(worker.index());
        let took = (!self.is_stream()).then(|| now.since(started));
        if let Some(called) = &self.called {
            let cut = outcome.expired == Some(TimeoutPhase::Stream);
            self.view.calls.count(called, &End { code, ending, took, cut });
        }
        if let Some(took) = took {
            if let Some(head_at) = self.head_at.get() {
                stats.record_start(head_at.since(started));
            }
            stats.record_call(code, took);
        } else {
            stats.record_stream_ended(code);
            self.learn(code, answered, now);
        }
        match answered {
            Some(at) if ending == Ending::Answered(code) && !self.is_stream() => {
                self.observe(at.since(self.sent.get()), now);
            }
            _ => self.blame(ending, now),
        }
    }

    /// Learns from what started as a stream of a method that was learnt to be one. An error, or a
    /// client that gave up, teaches nothing.
    fn learn(&self, code: Code, answered: Option<Time>, now: Time) {
        let Some(method) = self.take_learning().filter(|_| code == Code::Grpc(GrpcCode::Ok)) else {
            return;
        };
        let soon = self.head_at.get().is_some_and(|head_at| now.since(head_at) < CALL_ENDS);
        match answered {
            Some(_) if soon => self.view.methods.learn_call(method),
            Some(_) => {}
            None => self.view.methods.learn_stream(method),
        }
    }

    /// The client gave up before there was a head: the backend is at least as slow as that.
    pub fn on_patience_lost(&self, now: Time) {
        let waited = now.since(self.sent.get());
        let slower = waited.as_secs_f64() > self.endpoint().load().ewma_seconds(self.ewma());
        if slower && !self.is_stream() {
            self.observe(waited, now);
        }
    }

    /// Holds a failure against the backend, if it is its fault.
    pub fn blame(&self, ending: Ending, now: Time) {
        // What this worker cannot reach, another one may.
        let unreachable = ending == Ending::Broken(Break::Unreachable);
        let elsewhere = unreachable && self.endpoint().connected() > 0;
        if ending.is_backends_fault() && !elsewhere {
            let took = now.since(self.sent.get());
            self.endpoint().load().observe_failure(took, now, self.ewma());
        }
    }

    /// Notes what this says of the backend, for whoever ejects.
    fn note_sign(&self, sign: Sign) {
        if self.on_trial.get() {
            return self.end_trial(Some(sign));
        }
        let Snapshot { spec, suspicion, .. } = &*self.view.snapshot;
        let Some(ejection) = &spec.ejection else { return };
        // Once each so many: who may not be ejected now may be later.
        let run = self.endpoint().faults().note(sign);
        if run.is_some_and(|run| run.is_multiple_of(ejection.consecutive)) {
            suspicion.notify_one();
        }
    }

    fn end_trial(&self, sign: Option<Sign>) {
        let ends = self.on_trial.take();
        if ends && self.endpoint().faults().end_trial(self.began.get(), sign) {
            self.view.snapshot.suspicion.notify_one();
        }
    }

    fn observe_head(&self, now: Time) {
        if let Some(head_at) = self.head_at.get().filter(|_| self.head_tells.take()) {
            self.observe(head_at.since(self.sent.get()), now);
        }
    }

    fn observe(&self, rtt: Duration, now: Time) {
        self.endpoint().load().observe(rtt, now, self.ewma());
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.end_trial(None);
        if let Some(back) = self.back.get() {
            back.detach();
        }
        self.endpoint().load().end(self.class.get(), self.began.get());
    }
}
