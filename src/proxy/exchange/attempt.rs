//! An attempt: one try of a request at one backend. It is in flight until dropped, and records the
//! backend's latency, outcome and load.

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

/// A response head that comes later than this, together with the first message, is no latency
/// sample: a stream may simply have had nothing to send.
const LATE_HEAD: Duration = Duration::from_secs(1);

/// An exchange begun as a stream that ends with one message this soon after its head was a call.
const CALL_ENDS: Duration = Duration::from_secs(1);

/// An attempt at one backend.
pub struct Attempt {
    view: Rc<View>,
    pool: Rc<Pool>,
    /// The stream to the backend, once opened.
    back: OnceCell<Rc<Stream>>,
    /// When the request head was sent; until then, when the backend was picked.
    sent: Cell<Time>,
    class: Cell<ExchangeClass>,
    /// When it began in its present class.
    began: Cell<Time>,
    /// Whether its outcome may update the learned streaming methods.
    learning: Cell<bool>,
    called: Option<Called>,
    head_at: Cell<Option<Time>>,
    watch: RefCell<StreamWatch>,
    /// Whether the time to the response head is a latency sample that is yet to be recorded.
    head_tells: Cell<bool>,
    /// It is the trial request of an ejected backend.
    on_trial: Cell<bool>,
}

impl Attempt {
    /// Begins an attempt; it counts as in flight until dropped.
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

    /// The backend's connection pool.
    pub fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// Sets the stream on which the request was sent.
    pub fn sent_on(&self, back: Rc<Stream>) {
        let _ = self.back.set(back); // set once per attempt
    }

    /// Whether the request was sent to the backend.
    pub fn is_sent(&self) -> bool {
        self.back.get().is_some()
    }

    /// The stream to the backend, if the request was sent.
    pub fn back(&self) -> Option<&Rc<Stream>> {
        self.back.get()
    }

    /// Cancels the backend's stream if it is still open.
    pub fn cancel(&self) {
        if let Some(back) = self.back.get().filter(|back| back.is_open()) {
            self.pool.cancel(back);
        }
    }

    /// The failure for a lost connection: a drain timeout, or the backend's doing.
    pub fn lost(&self) -> Failure {
        if self.pool.is_cut_off() { Failure::Drained } else { Failure::BackendLost }
    }

    /// The `set-cookie` field for the affinity cookie issued to the client.
    pub fn set_cookie(&self, issued: &Issued, secure: bool) -> Option<SetCookie> {
        self.view.set_cookie(issued, secure)
    }

    /// Whether the response head has arrived.
    pub fn has_head(&self) -> bool {
        self.head_at.get().is_some()
    }

    /// Time since the backend last sent part of the response or, before its head, since the request
    /// was sent.
    pub fn silence(&self, now: Time) -> Duration {
        let head = self.head_at.get().and_then(|head| Some(head.max(self.back.get()?.data_at())));
        now.since(head.unwrap_or(self.sent.get()))
    }

    /// The 99th percentile of the durations of its method, if known.
    pub fn usual_time(&self) -> Option<Duration> {
        self.view.calls.usual_time(self.called.as_ref()?)
    }

    /// Whether it is classified as a stream.
    pub fn is_stream(&self) -> bool {
        self.class.get() == ExchangeClass::Stream
    }

    /// The response has a body. A call may turn out to be a stream, so its method may be learned as
    /// streaming; a trial by a stream has succeeded, as its end may be far off.
    pub fn on_body(&self) {
        if !self.is_stream() {
            self.learning.set(true);
        } else {
            self.end_trial(Some(Sign::Well));
        }
    }

    /// Its method, if the outcome may still update the learned streaming methods; at most once.
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

    /// Resets the start of latency measurement: the head was sent late, for want of a connection or
    /// a stream slot.
    pub fn on_sent_late(&self, now: Time) {
        self.sent.set(now);
    }

    /// The response head has arrived.
    pub fn on_head(&self, worker: &Worker, back: &Stream, grpc: bool) {
        let now = worker.now();
        self.head_at.set(Some(now));
        let soon = now.since(self.sent.get()) < LATE_HEAD;
        self.head_tells.set(soon || back.messages() == 0);
        // The latency of a gRPC call is that of its message: the head may be sent ahead of it.
        if !grpc || self.is_stream() {
            self.observe_head(now);
        }
        if self.is_stream() {
            back.meter(self.endpoint(), Direction::Response);
        }
    }

    /// Checks whether the response is a stream, and wakes the task of `cx` for the next check.
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

    /// Reclassifies the call as a stream.
    pub fn become_stream(&self, worker: &Worker, front: Option<&Stream>, back: &Stream) {
        if self.is_stream() {
            return;
        }
        let (now, load) = (worker.now(), self.endpoint().load());
        load.end(ExchangeClass::Call, self.began.get());
        load.begin(ExchangeClass::Stream, now);
        self.end_trial(Some(Sign::Well)); // a stream may end much later
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

    /// Counts the client's messages on a stream.
    pub fn meter_requests(&self, front: &Stream) {
        front.meter(self.endpoint(), Direction::Request);
    }

    /// Records the outcome of the exchange, which this attempt led to.
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

    /// Updates the learned streaming methods by an exchange that began as a stream. Only success
    /// counts: an error or a cancellation says nothing of the method.
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

    /// The client gave up before the response head: its wait is a lower bound of the latency.
    pub fn on_patience_lost(&self, now: Time) {
        let waited = now.since(self.sent.get());
        let slower = waited.as_secs_f64() > self.endpoint().load().ewma_seconds(self.ewma());
        if slower && !self.is_stream() {
            self.observe(waited, now);
        }
    }

    /// Records a failure in the backend's latency estimate, if the backend is at fault.
    pub fn blame(&self, ending: Ending, now: Time) {
        // Other workers may still have connections to it.
        let unreachable = ending == Ending::Broken(Break::Unreachable);
        let elsewhere = unreachable && self.endpoint().connected() > 0;
        if ending.is_backends_fault() && !elsewhere {
            let took = now.since(self.sent.get());
            self.endpoint().load().observe_failure(took, now, self.ewma());
        }
    }

    /// Passes a sign of health to outlier ejection.
    fn note_sign(&self, sign: Sign) {
        if self.on_trial.get() {
            return self.end_trial(Some(sign));
        }
        let Snapshot { spec, ejection_signal, .. } = &*self.view.snapshot;
        let Some(ejection) = &spec.ejection else { return };
        // At every multiple, not only once: an ejection refused by the limit now may be allowed
        // later.
        let run = self.endpoint().faults().note(sign);
        if run.is_some_and(|run| run.is_multiple_of(ejection.consecutive)) {
            ejection_signal.notify_one();
        }
    }

    fn end_trial(&self, sign: Option<Sign>) {
        let ends = self.on_trial.take();
        if ends && self.endpoint().faults().end_trial(self.began.get(), sign) {
            self.view.snapshot.ejection_signal.notify_one();
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
