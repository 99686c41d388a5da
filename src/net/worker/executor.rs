//! Inline executor: a job is polled by the driver that dispatched the event which woke it, before the
//! driver continues. Jobs woken elsewhere, by a timer or a flush, are polled by a fallback task of
//! the worker.
//!
//! A request is woken several times for little work each. As a task of the runtime, its wake-ups would
//! cost as much as the work, and input would have to be buffered until the task ran.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;
use tokio::sync::mpsc;

/// The futures of one worker.
pub struct Executor {
    jobs: RefCell<Slab<Rc<Job>>>,
    ready: RefCell<VecDeque<JobId>>,
    /// The job that is being polled.
    current: Cell<Option<JobId>>,
    /// A driver is dispatching, and polls the ready jobs afterwards.
    dispatching: Cell<bool>,
    /// The waker of the fallback task.
    fallback_waker: RefCell<Option<Waker>>,
    woken: RefCell<mpsc::UnboundedReceiver<JobId>>,
    wakers: mpsc::UnboundedSender<JobId>,
}

/// The id of a job of one worker. It is reused after the job's end; a job woken by a stale id polls
/// once for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobId(usize);

/// A future and its state.
struct Job {
    /// `None` once it has completed.
    future: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
    /// It is in the ready queue.
    ready: Cell<bool>,
    signal: Arc<Signal>,
    waker: Waker,
}

/// The `Waker` of a job, for code that knows only wakers.
#[derive(Debug)]
struct Signal {
    job: JobId,
    /// It is in the channel; so the channel never holds more entries than there are jobs.
    sent: AtomicBool,
    wakers: mpsc::UnboundedSender<JobId>,
}

/// What to wake for an event.
#[derive(Debug)]
pub enum Waiter {
    /// A job of the same worker.
    Job(JobId),
    /// Any other task.
    Task(Waker),
}

impl Executor {
    #[expect(clippy::disallowed_methods, reason = "each job lies in the channel once at most")]
    pub fn new() -> Rc<Executor> {
        let (wakers, woken) = mpsc::unbounded_channel();
        Rc::new(Executor {
            jobs: RefCell::default(),
            ready: RefCell::default(),
            current: Cell::default(),
            dispatching: Cell::new(false),
            fallback_waker: RefCell::default(),
            woken: RefCell::new(woken),
            wakers,
        })
    }

    /// Spawns `future`: polls it now and whenever it is woken.
    pub fn start(&self, future: impl Future<Output = ()> + 'static) {
        let id = {
            let mut jobs = self.jobs.borrow_mut();
            let entry = jobs.vacant_entry();
            let (job, wakers) = (JobId(entry.key()), self.wakers.clone());
            let signal = Arc::new(Signal { job, sent: AtomicBool::new(false), wakers });
            entry.insert(Rc::new(Job {
                future: RefCell::new(Some(Box::pin(future))),
                ready: Cell::new(false),
                waker: Waker::from(Arc::clone(&signal)),
                signal,
            }));
            job
        };
        self.poll(id);
    }

    /// Polls a job now. A panic ends this job only.
    pub fn poll(&self, id: JobId) {
        let Some(job) = self.job(id) else { return };
        job.ready.set(false);
        // A job that is being polled already will see the event.
        let Ok(mut slot) = job.future.try_borrow_mut() else { return };
        let Some(future) = slot.as_mut() else { return };
        let outer = self.current.replace(Some(id));
        let mut cx = Context::from_waker(&job.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx)));
        self.current.set(outer);
        if !matches!(polled, Ok(Poll::Pending)) {
            *slot = None;
            self.jobs.borrow_mut().try_remove(id.0);
        }
    }

    fn job(&self, id: JobId) -> Option<Rc<Job>> {
        self.jobs.borrow().get(id.0).map(Rc::clone)
    }

    /// The job whose future is being polled.
    pub fn current(&self) -> Option<JobId> {
        self.current.get()
    }

    /// The waiter for the task of `cx`.
    pub fn waiter(&self, cx: &Context<'_>) -> Waiter {
        match self.current.get() {
            Some(job) => Waiter::Job(job),
            None => Waiter::Task(cx.waker().clone()),
        }
    }

    /// Wakes the waiter.
    pub fn wake(&self, waiter: &Waiter) {
        match waiter {
            Waiter::Job(job) => self.wake_job(*job),
            Waiter::Task(waker) => waker.wake_by_ref(),
        }
    }

    fn wake_job(&self, id: JobId) {
        let jobs = self.jobs.borrow();
        if jobs.get(id.0).is_none_or(|job| job.ready.replace(true)) {
            return;
        }
        self.ready.borrow_mut().push_back(id);
        if !self.dispatching.get() {
            self.call();
        }
    }

    /// Runs `events`, then polls the jobs that it woke.
    pub fn run_events<T>(&self, events: impl FnOnce() -> T) -> T {
        /// RAII guard: later wake-ups reach the fallback task again, even after a panic.
        struct DispatchGuard<'e>(&'e Executor);
        impl Drop for DispatchGuard<'_> {
            fn drop(&mut self) {
                self.0.dispatching.set(false);
                self.0.call();
            }
        }
        self.dispatching.set(true);
        let dispatching = DispatchGuard(self);
        let result = events();
        self.poll_ready();
        drop(dispatching);
        result
    }

    fn poll_ready(&self) {
        while let Some(job) = self.next_ready() {
            self.poll(job);
        }
    }

    fn next_ready(&self) -> Option<JobId> {
        self.ready.borrow_mut().pop_front()
    }

    /// Wakes the fallback task if jobs are ready.
    fn call(&self) {
        if !self.ready.borrow().is_empty()
            && let Some(fallback_waker) = &*self.fallback_waker.borrow()
        {
            fallback_waker.wake_by_ref();
        }
    }

    /// The fallback task: polls jobs woken outside of a driver.
    pub async fn poll_forever(&self) {
        let polls = poll_fn(|cx| {
            self.fallback_waker.replace(Some(cx.waker().clone()));
            while let Poll::Ready(Some(id)) = self.woken.borrow_mut().poll_recv(cx) {
                if let Some(job) = self.job(id) {
                    job.signal.sent.store(false, Ordering::Release);
                }
                self.wake_job(id);
            }
            self.poll_ready();
            Poll::<()>::Pending
        });
        // Each job is polled once per wake-up, so the loop is bounded without tokio's coop budget.
        tokio::task::coop::unconstrained(polls).await;
    }

    /// Drops every future.
    pub fn clear(&self) {
        let jobs = self.jobs.take();
        self.ready.take();
        for (_, job) in jobs {
            // A job being polled is dropped after its poll.
            let future = job.future.try_borrow_mut().ok().and_then(|mut future| future.take());
            drop(future);
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.sent.swap(true, Ordering::AcqRel) {
            let _ = self.wakers.send(self.job); // fails only once the worker has ended
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("jobs", &self.jobs.borrow().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Weak;

    use tokio::sync::Notify;
    use tokio::task::LocalSet;

    use super::*;

    /// An event source that wakes its waiter.
    #[derive(Default)]
    struct Event {
        came: Cell<usize>,
        waiter: RefCell<Option<(Waiter, Weak<Executor>)>>,
    }

    impl Event {
        fn come(&self) {
            self.came.set(self.came.get() + 1);
            if let Some((waiter, executor)) = &*self.waiter.borrow() {
                executor.upgrade().unwrap().wake(waiter);
            }
        }
    }

    /// A job that counts its polls, and completes after `times` events.
    fn wait(executor: &Rc<Executor>, times: usize) -> (Rc<Event>, Rc<Cell<usize>>) {
        let (event, polls) = (Rc::<Event>::default(), Rc::<Cell<usize>>::default());
        let (waits, counts, by) = (Rc::clone(&event), Rc::clone(&polls), Rc::downgrade(executor));
        executor.start(poll_fn(move |cx| {
            counts.set(counts.get() + 1);
            let waiter = by.upgrade().unwrap().waiter(cx);
            waits.waiter.replace(Some((waiter, Weak::clone(&by))));
            if waits.came.get() < times { Poll::Pending } else { Poll::Ready(()) }
        }));
        (event, polls)
    }

    /// Lets the fallback task and all others run.
    async fn others() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    async fn dispatching(test: impl AsyncFn(&Rc<Executor>)) {
        let executor = Executor::new();
        let fallback_waker = Rc::clone(&executor);
        let local = LocalSet::new();
        local.spawn_local(async move { fallback_waker.poll_forever().await });
        local.run_until(test(&executor)).await;
    }

    #[tokio::test]
    async fn a_job_woken_by_an_event_is_polled_by_the_driver() {
        let executor = Executor::new();
        let (event, polls) = wait(&executor, 3);
        let (other, others_polls) = wait(&executor, 1);
        assert_eq!(polls.get(), 1, "at once");
        executor.run_events(|| {
            event.come();
            event.come();
            assert_eq!(polls.get(), 1);
        });
        assert_eq!(polls.get(), 2, "once for both");
        executor.run_events(|| [&other, &event].map(|event| event.come()));
        assert_eq!((polls.get(), others_polls.get()), (3, 2));
        executor.run_events(|| event.come());
        assert_eq!(polls.get(), 3, "it has ended");
        assert!(executor.jobs.borrow().is_empty());
    }

    #[tokio::test]
    async fn a_job_woken_outside_a_driver_is_polled_by_the_fallback_task() {
        dispatching(async |executor| {
            others().await;
            let (event, polls) = wait(executor, 9);
            event.come();
            assert_eq!(polls.get(), 1);
            others().await;
            assert_eq!(polls.get(), 2);
            let failed = catch_unwind(AssertUnwindSafe(|| {
                executor.run_events(|| {
                    event.come();
                    panic!("as if a peer had found a way");
                })
            }));
            assert!(failed.is_err());
            assert_eq!(polls.get(), 2);
            others().await;
            assert_eq!(polls.get(), 3, "it was not forgotten");
            event.come();
            others().await;
            assert_eq!(polls.get(), 4);
        })
        .await;
    }

    #[tokio::test]
    async fn wakers_wake_jobs_from_any_thread() {
        dispatching(async |executor| {
            let (notify, done) = (Arc::new(Notify::new()), Rc::<Cell<usize>>::default());
            for _ in 0..3 {
                let (notify, done) = (Arc::clone(&notify), Rc::clone(&done));
                executor.start(async move {
                    notify.notified().await;
                    done.set(done.get() + 1);
                    tokio::task::yield_now().await; // wakes itself
                    done.set(done.get() + 1);
                });
            }
            others().await;
            assert_eq!(done.get(), 0);
            let waker = Arc::clone(&notify);
            std::thread::spawn(move || waker.notify_waiters()).join().unwrap();
            others().await;
            assert_eq!(done.get(), 6);
        })
        .await;
    }

    #[tokio::test]
    async fn a_panic_ends_only_its_job() {
        dispatching(async |executor| {
            let dropped = Rc::new(());
            let held = Rc::clone(&dropped);
            executor.start(async move {
                let _held = held;
                panic!("as if");
            });
            assert_eq!(Rc::strong_count(&dropped), 1);
            let (event, polls) = wait(executor, 2);
            event.come();
            others().await;
            assert_eq!(polls.get(), 2);
            assert_eq!(executor.jobs.borrow().len(), 1);
        })
        .await;
    }

    #[tokio::test]
    async fn clear_drops_all_waiting_jobs() {
        let executor = Executor::new();
        let dropped = Rc::new(());
        let (held, event) = (Rc::clone(&dropped), wait(&executor, 2).0);
        let own = Rc::clone(&executor); // as requests hold their worker
        executor.start(async move {
            let _held = (held, own);
            std::future::pending::<()>().await;
        });
        event.come();
        executor.clear();
        assert_eq!(Rc::strong_count(&dropped), 1);
        assert_eq!(Rc::strong_count(&executor), 1);
        event.come();
    }
}
