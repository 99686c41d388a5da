//! Admission to one service on one worker: its permits, and the calls that wait for one.

mod admitted_call;
mod waiting;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

pub use admitted_call::{AdmittedCall, End};
use waiting::Waiter;
pub use waiting::Waiting;

use crate::admission::{EndedCall, FairQueue, Flows, Learning, Permits, ServiceTime};
use crate::model::Time;
use crate::net::Worker;
use crate::service::{Concurrency, LearningMode, Service, Snapshot};

/// The part of `queue_timeout` that the wait of a call may be expected to take when it joins the queue.
/// The rest is for what the expectation does not know.
const EXPECTED: f32 = 0.8;

/// Calls that may wait in a lasting overload even if that takes longer than calls may wait there: so that
/// a permit that is freed is used at once.
const SPARE: u32 = 2;

/// A call that is given up after so many times its method's reference was too slow for its caller.
const TOO_SLOW: u32 = 2;

/// Admission to one service on one worker.
pub struct Admission {
    worker: Rc<Worker>,
    service: Arc<Service>,
    permits: Arc<Permits>,
    flows: Arc<Flows>,
    learning: Arc<Learning>,
    mode: Cell<LearningMode>,
    queue: RefCell<FairQueue<Rc<Waiter>>>,
    service_time: ServiceTime,
    /// A task takes the permits that other workers hand to this one.
    listens: Cell<bool>,
}

/// A call that would wait.
pub struct Arrival<'c> {
    /// The service's limits.
    pub concurrency: &'c Concurrency,
    /// Hash and weight of its caller.
    pub caller: (u64, u32),
    /// Its method's index in the service's list.
    pub method: Option<u16>,
    /// Time that is left for it, if it has a deadline.
    pub left: Option<Duration>,
}

impl Admission {
    /// Nothing in flight on this worker.
    pub fn new(worker: &Rc<Worker>, service: &Arc<Service>) -> Rc<Admission> {
        let counts = service.counts();
        Rc::new(Admission {
            worker: Rc::clone(worker),
            service: Arc::clone(service),
            permits: Arc::clone(&counts.permits),
            flows: Arc::clone(&counts.flows),
            learning: Arc::clone(&counts.learning),
            mode: Cell::new(LearningMode::Off),
            queue: RefCell::default(),
            service_time: ServiceTime::default(),
            listens: Cell::new(false),
        })
    }

    /// Applies the limits of a snapshot.
    pub fn apply(&self, snapshot: &Snapshot) {
        let mode = snapshot.spec.concurrency.as_ref().map(|it| it.learning);
        self.mode.set(mode.unwrap_or(LearningMode::Off));
        self.permits.set_limit(snapshot.call_limit);
        self.apply_learned();
    }

    fn apply_learned(&self) {
        let adaptive = self.mode.get() == LearningMode::Adaptive;
        self.permits.set_learned(self.learning.limit().filter(|_| adaptive));
        if self.permits.waiting() > 0 {
            self.grant(self.permits.hand_out(self.worker.index()));
        }
    }

    /// Whether calls may have to wait, or be refused.
    pub fn limits_calls(&self) -> bool {
        self.permits.limit().is_some()
    }

    /// Takes a permit, if there is one and nobody waits.
    #[inline]
    pub fn try_acquire(&self) -> Option<AdmittedCall> {
        let in_flight = self.permits.try_acquire()?;
        if self.mode.get() == LearningMode::Observe {
            self.observe(in_flight);
        }
        Some(AdmittedCall::new(in_flight, Duration::ZERO))
    }

    /// Counts the call if the learnt limit would have refused it.
    fn observe(&self, in_flight: u32) {
        let Some(limit) = self.learning.limit().filter(|limit| in_flight > *limit) else { return };
        let (allowed, ahead) = (self.learning.note_wait(self.worker.now()), in_flight - limit);
        if ahead > SPARE && self.wait_behind(ahead, limit) > allowed {
            self.service.counts().would_refuse.increment(self.worker.index());
        }
    }

    /// Takes a permit of streams.
    pub fn try_acquire_stream(&self, limit: Option<u32>) -> bool {
        self.permits.try_acquire_stream(limit.unwrap_or(u32::MAX))
    }

    /// Returns the permit of a call, and learns from it.
    pub fn release(&self, call: AdmittedCall) {
        let (now, worker) = (self.worker.now(), self.worker.index());
        let held = Duration::from_micros(call.held.into());
        match call.end {
            End::Failed => {}
            End::Answered => {
                let reference = self.service_time.record(held, call.method);
                if self.mode.get() != LearningMode::Off {
                    let class = call.class.into();
                    self.learning.record(worker, EndedCall { class, held, reference });
                    self.learn(now, held);
                }
            }
            End::GivenUp if held < self.service_time.of(call.method) * TOO_SLOW => {}
            End::GivenUp | End::Expired => {
                self.learning.record_expired(worker);
                self.learn(now, held);
            }
        }
        self.put_back();
    }

    #[inline]
    fn learn(&self, now: Time, held: Duration) {
        if self.mode.get() != LearningMode::Off
            && self.learning.update(now, self.permits.calls(), held)
            && self.mode.get() == LearningMode::Adaptive
        {
            self.apply_learned();
        }
    }

    /// Returns the permit of a stream.
    pub fn release_stream(&self) {
        self.permits.release_stream();
    }

    /// A call that holds a permit has become a stream.
    pub fn become_stream(&self) {
        self.permits.count_stream();
        self.put_back();
    }

    fn put_back(&self) {
        let mine = self.permits.release(self.worker.index());
        if mine > 0 {
            self.grant(mine);
        }
    }

    /// Joins the queue, if the call can be expected to be served in time.
    ///
    /// # Errors
    /// How long it would have to wait.
    pub fn join(self: &Rc<Self>, arrival: &Arrival<'_>) -> Result<Waiting, Duration> {
        let (caller, weight) = arrival.caller;
        let queue = self.flows.choose(caller);
        let ahead = self.flows.ahead(queue);
        let limit = self.permits.limit().unwrap_or(u32::MAX);
        let expected = self.wait_behind(ahead.saturating_add(1), limit);
        if !self.has_room(queue, arrival) || !self.is_in_time(ahead, expected, arrival) {
            return Err(expected);
        }
        self.listen();
        let ticket = self.flows.join(queue, weight);
        let waiter = Waiter { ticket, granted: Cell::new(false), waker: RefCell::default() };
        let waiter = Rc::new(waiter);
        let place = self.queue.borrow_mut().push(ticket, Rc::clone(&waiter));
        self.show_head();
        self.permits.join(self.worker.index());
        // One may have been returned meanwhile by another worker, which saw nobody wait.
        self.grant(self.permits.hand_out(self.worker.index()));
        Ok(Waiting { admission: Rc::clone(self), waiter, place, since: self.worker.now() })
    }

    /// Whether the queue has room. Each caller may take as much as is left for all, so that there is some
    /// left for one who comes anew.
    fn has_room(&self, queue: usize, arrival: &Arrival<'_>) -> bool {
        let left = arrival.concurrency.queue.saturating_sub(self.permits.waiting());
        self.flows.length(queue) < left
    }

    fn is_in_time(&self, ahead: u32, expected: Duration, arrival: &Arrival<'_>) -> bool {
        let timeout = arrival.concurrency.queue_timeout;
        let in_time = match self.mode.get() {
            LearningMode::Adaptive => {
                let allowed = self.learning.note_wait(self.worker.now()).min(timeout);
                ahead < SPARE || expected <= allowed
            }
            LearningMode::Off | LearningMode::Observe => expected <= timeout.mul_f32(EXPECTED),
        };
        let needed = || expected + self.service_time.of(arrival.method);
        in_time && arrival.left.is_none_or(|left| needed() <= left)
    }

    /// How long a call waits that is the last of so many: permits are returned one after the other, each
    /// after the time that calls hold them.
    fn wait_behind(&self, ahead: u32, limit: u32) -> Duration {
        self.service_time.average().mul_f32(ahead as f32 / limit.max(1) as f32)
    }

    /// Gives permits to the first of the queue.
    fn grant(&self, permits: u32) {
        let mut left = permits;
        while left > 0 {
            left -= 1;
            let first = self.queue.borrow_mut().pop();
            match first {
                Some(waiter) => {
                    self.flows.serve(waiter.ticket);
                    waiter.grant();
                }
                // It has left while its permit was under way.
                None => left += self.permits.release(self.worker.index()),
            }
        }
        if permits > 0 {
            self.show_head();
        }
    }

    fn show_head(&self) {
        self.permits.set_head(self.worker.index(), self.queue.borrow().head());
    }

    /// Starts the task that takes what other workers hand to this one. It ends with this value.
    fn listen(self: &Rc<Self>) {
        if !self.listens.replace(true) {
            let (permits, own) = (Arc::clone(&self.permits), self.worker.index());
            self.worker.spawn(take_handed(Rc::downgrade(self), permits, own));
        }
    }
}

async fn take_handed(admission: Weak<Admission>, permits: Arc<Permits>, own: usize) {
    loop {
        permits.handed(own).await;
        let handed = permits.take_handed(own);
        let Some(admission) = admission.upgrade() else {
            // Nobody waits here any more: they are free for the next that comes.
            (0..handed).for_each(|_| _ = permits.release(own));
            return;
        };
        admission.worker.read_clock();
        admission.grant(handed);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.permits.wake(self.worker.index());
    }
}
