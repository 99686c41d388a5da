//! An attempt: one try of a request at one backend, in flight until dropped.

mod begin;
mod ejection;
mod retried;
mod unimplemented;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use super::super::failure::Failure;
use super::super::hash_key::{AffinityCookie, SetCookie};
use super::super::method_metrics::{CallEnd, CalledMethod};
use super::super::streaming_methods::MethodHash;
use super::super::worker_snapshot::WorkerSnapshot;
use super::Outcome;
use super::stream_detector::StreamDetector;
use crate::model::{
    AttemptFailure, AttemptOutcome, Code, Endpoint, EwmaParams, ExchangeClass, GrpcCode,
    HealthSignal, Time, TimeoutPhase,
};
use crate::net::{Stream, Worker};
use crate::stats::Direction;
use crate::upstream::Pool;

/// A response head that arrives later than this, together with the first message, is no latency
/// sample: a stream may simply have had nothing to send.
const MAX_HEAD_LATENCY: Duration = Duration::from_secs(1);

/// An exchange begun as a stream that ends with one message this soon after its head was a call.
const MAX_CALL_TAIL: Duration = Duration::from_secs(1);

/// An attempt at one backend.
pub struct Attempt {
    view: Rc<WorkerSnapshot>,
    pool: Rc<Pool>,
    /// The stream to the backend, once opened.
    back: OnceCell<Rc<Stream>>,
    /// When the request head was sent; until then, when the backend was picked.
    sent: Cell<Time>,
    class: Cell<ExchangeClass>,
    class_since: Cell<Time>,
    /// Whether its outcome may update the learned streaming methods.
    may_learn: Cell<bool>,
    called: Option<CalledMethod>,
    head_at: Cell<Option<Time>>,
    detector: RefCell<StreamDetector>,
    /// The time to the response head is a latency sample, not recorded yet.
    head_is_sample: Cell<bool>,
    /// It is the trial request of an ejected backend.
    on_trial: Cell<bool>,
    /// It was begun while another one was under way.
    is_hedge: Cell<bool>,
}

impl Attempt {
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
    pub fn set_cookie(&self, affinity_cookie: &AffinityCookie, secure: bool) -> Option<SetCookie> {
        self.view.set_cookie(affinity_cookie, secure)
    }

    /// Whether the response head has arrived.
    pub fn has_head(&self) -> bool {
        self.head_at.get().is_some()
    }

    /// When the request head was sent; until then, when the backend was picked.
    pub fn sent_at(&self) -> Time {
        self.sent.get()
    }

    /// Time since the backend last sent something or, before its head, since the request was sent.
    pub fn silence(&self, now: Time) -> Duration {
        let head = self.head_at.get().and_then(|head| Some(head.max(self.back.get()?.data_at())));
        now.since(head.unwrap_or(self.sent.get()))
    }

    /// The 99th percentile of the durations of its method, if known.
    pub fn p99(&self) -> Option<Duration> {
        self.view.calls.p99(self.called.as_ref()?)
    }

    pub fn is_stream(&self) -> bool {
        self.class.get() == ExchangeClass::Stream
    }

    /// The response has a body: a call may turn out to be a stream, and its method may be learned as
    /// streaming. If it is a stream, a trial has succeeded, as its end may be far off.
    pub fn on_body(&self) {
        if !self.is_stream() {
            self.may_learn.set(true);
        } else {
            self.end_trial(Some(HealthSignal::Success));
        }
    }

    /// Its method's index in the service's list, if it is on that.
    pub fn method_index(&self) -> Option<u16> {
        self.called.as_ref().and_then(CalledMethod::index)
    }

    /// Its method, if the outcome may still update the learned streaming methods; at most once.
    fn method_to_learn(&self) -> Option<MethodHash> {
        let called = self.called.as_ref().filter(|_| self.may_learn.take())?;
        self.view.calls.method(called)
    }

    fn endpoint(&self) -> &Arc<Endpoint> {
        self.pool.endpoint()
    }

    fn ewma(&self) -> &EwmaParams {
        self.view.snapshot.set.ewma()
    }

    /// Restarts the latency measurement: the head was sent late, for want of a stream slot.
    pub fn restart_latency(&self, now: Time) {
        self.sent.set(now);
    }

    /// The response head has arrived.
    pub fn on_head(&self, worker: &Worker, back: &Stream, grpc: bool) {
        let now = worker.now();
        self.head_at.set(Some(now));
        let soon = now.since(self.sent.get()) < MAX_HEAD_LATENCY;
        self.head_is_sample.set(soon || back.messages() == 0);
        // A gRPC call's latency is that of its message: the head may be sent ahead.
        if !grpc || self.is_stream() {
            self.record_head_latency(now);
        }
        if self.is_stream() {
            back.meter(self.endpoint(), Direction::Response);
        }
    }

    /// Checks whether the response is a stream; wakes the task of `cx` for the next check.
    pub fn detect_stream(
        &self,
        cx: &mut Context<'_>,
        worker: &Worker,
        front: Option<&Stream>,
        back: &Stream,
    ) {
        let Some(head_at) = self.head_at.get().filter(|_| !self.is_stream()) else { return };
        if self.detector.borrow_mut().poll(cx, worker, head_at, front, back) {
            self.become_stream(worker, front, back);
        }
    }

    /// Reclassifies the call as a stream.
    pub fn become_stream(&self, worker: &Worker, front: Option<&Stream>, back: &Stream) {
        if self.is_stream() {
            return;
        }
        let (now, load) = (worker.now(), self.endpoint().load());
        load.end(ExchangeClass::Call, self.class_since.get());
        load.begin(ExchangeClass::Stream, now);
        self.end_trial(Some(HealthSignal::Success)); // a stream may end much later
        self.class.set(ExchangeClass::Stream);
        self.class_since.set(now);
        self.endpoint().worker_stats(worker.index()).record_stream_opened();
        if let Some(method) = self.method_to_learn() {
            self.view.methods.learn_stream(method);
        }
        self.record_head_latency(now);
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
        let &Outcome { code, attempt_outcome, answered, .. } = outcome;
        let now = worker.now();
        let stats = self.endpoint().worker_stats(worker.index());
        let at = answered.or(self.head_at.get()).filter(|_| !self.is_stream());
        let latency = at.map(|at| at.since(self.sent.get()));
        self.record_result(stats, attempt_outcome, latency, now);
        if !self.view.unimplemented.is_empty() {
            self.forget_unimplemented(attempt_outcome);
        }
        let took = (!self.is_stream()).then(|| now.since(started));
        if let Some(called) = &self.called {
            let cut = outcome.expired == Some(TimeoutPhase::Stream);
            self.view.calls.count(called, &CallEnd { code, attempt_outcome, took, cut });
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
            Some(at) if attempt_outcome == AttemptOutcome::Answered(code) && !self.is_stream() => {
                self.record_latency(at.since(self.sent.get()), now);
            }
            _ => self.record_failure(attempt_outcome, now),
        }
    }

    /// Learns from an exchange that began as a stream and succeeded; other ends tell nothing about the
    /// method.
    fn learn(&self, code: Code, answered: Option<Time>, now: Time) {
        let Some(method) = self.method_to_learn().filter(|_| code == Code::Grpc(GrpcCode::Ok))
        else {
            return;
        };
        let soon = self.head_at.get().is_some_and(|head_at| now.since(head_at) < MAX_CALL_TAIL);
        match answered {
            Some(_) if soon => self.view.methods.learn_call(method),
            Some(_) => {}
            None => self.view.methods.learn_stream(method),
        }
    }

    /// The client gave up before the response head: its wait is a lower bound of the latency.
    pub fn on_abandoned(&self, now: Time) {
        let waited = now.since(self.sent.get());
        let slower = waited.as_secs_f64() > self.endpoint().load().ewma_seconds(self.ewma());
        if slower && !self.is_stream() {
            self.record_latency(waited, now);
        }
    }

    /// Records a failure in the backend's latency estimate, if the backend is at fault.
    pub fn record_failure(&self, outcome: AttemptOutcome, now: Time) {
        // Other workers may still have connections to it.
        let unreachable = outcome == AttemptOutcome::Failed(AttemptFailure::Unreachable);
        let elsewhere = unreachable && self.endpoint().connected() > 0;
        if outcome.is_backends_fault() && !elsewhere {
            let took = now.since(self.sent.get());
            self.endpoint().load().observe_failure(took, now, self.ewma());
        }
    }

    fn record_head_latency(&self, now: Time) {
        if let Some(head_at) = self.head_at.get().filter(|_| self.head_is_sample.take()) {
            self.record_latency(head_at.since(self.sent.get()), now);
        }
    }

    fn record_latency(&self, rtt: Duration, now: Time) {
        self.endpoint().load().observe(rtt, now, self.ewma());
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.end_trial(None);
        if let Some(back) = self.back.get() {
            back.detach();
        }
        self.endpoint().load().end(self.class.get(), self.class_since.get());
    }
}
