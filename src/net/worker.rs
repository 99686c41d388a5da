//! One worker: a thread, and what its connections share.

mod account;
mod executor;
mod flush_queue;
mod handle;
pub(super) mod read_scheduler;
mod unread;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use self::account::Account;
use self::executor::Executor;
pub use self::executor::JobId;
pub(super) use self::executor::Waiter;
use self::flush_queue::FlushQueue;
pub use self::handle::{Command, WorkerHandle};
use self::read_scheduler::ReadScheduler;
use self::unread::Unread;
use super::buffers::BufferPool;
use super::conn::{Closed, Conn};
use super::connect::Connector;
use super::listener::Listener;
use super::stream::Stream;
use super::timer::{Sleep, Wheel};
use super::write_coalescing::TurnOutput;
use crate::clock::Clock;
use crate::http::HeaderPool;
use crate::model::Time;
use crate::tasks::{Task, Tasks, infallible};

/// How stale the cached time may get while a worker is idle.
const MAX_CLOCK_LAG: Duration = Duration::from_millis(250);

/// What a worker is built from.
#[derive(Debug)]
pub struct WorkerSpec {
    /// Its index among the workers.
    pub index: usize,
    /// Memory limit for all its slow streams together.
    pub held_limit: usize,
    /// Source of time.
    pub clock: Clock,
    /// Source of randomness.
    pub rng: fastrand::Rng,
    /// Connects to backends.
    pub connector: Rc<dyn Connector>,
}

/// What the connections of one thread share.
#[derive(Debug)]
pub struct Worker {
    index: usize,
    clock: Clock,
    connector: Rc<dyn Connector>,
    now: Cell<Time>,
    output: FlushQueue<Rc<Conn>>,
    pub(super) executor: Rc<Executor>,
    wheel: Rc<Wheel>,
    conns: RefCell<Slab<Weak<Conn>>>,
    draining: Cell<bool>,
    cut_off: Cell<bool>,
    pub(super) turn: RefCell<TurnOutput>,
    pub(super) read_scheduler: ReadScheduler<Rc<Conn>>,
    /// Streams with coalesced DATA of the current read.
    pub(super) coalescing: RefCell<Vec<Rc<Stream>>>,
    pub(super) account: Account,
    pub(super) unread: Unread,
    rng: RefCell<fastrand::Rng>,
    pub(super) read_buffer: RefCell<Vec<u8>>,
    pub(super) headers: RefCell<HeaderPool>,
    pub(super) buffers: RefCell<BufferPool>,
}

impl Worker {
    /// A worker without connections.
    pub fn new(spec: WorkerSpec) -> Rc<Worker> {
        let WorkerSpec { index, held_limit, clock, rng, connector } = spec;
        let now = clock.now();
        Rc::new(Worker {
            index,
            clock,
            connector,
            now: Cell::new(now),
            output: FlushQueue::default(),
            executor: Executor::new(),
            wheel: Rc::new(Wheel::new(now)),
            conns: RefCell::default(),
            draining: Cell::new(false),
            cut_off: Cell::new(false),
            turn: RefCell::default(),
            read_scheduler: ReadScheduler::default(),
            coalescing: RefCell::default(),
            account: Account::new(held_limit),
            unread: Unread::default(),
            rng: RefCell::new(rng),
            read_buffer: RefCell::default(),
            headers: RefCell::default(),
            buffers: RefCell::default(),
        })
    }

    /// Its index among the workers.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The time of this turn, cached.
    pub fn now(&self) -> Time {
        self.now.get()
    }

    /// Reads the clock: to be called first by what wakes this worker otherwise than by a socket or a
    /// timer, as the time of its last turn may be long ago.
    pub fn read_clock(&self) -> Time {
        let now = self.clock.now();
        self.now.set(now);
        now
    }

    /// Connects to backends.
    pub fn connector(&self) -> &dyn Connector {
        &*self.connector
    }

    /// The worker's generator of random numbers.
    pub fn rng(&self) -> &RefCell<fastrand::Rng> {
        &self.rng
    }

    /// Resolves after `duration`, up to a few milliseconds late.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(Rc::clone(&self.wheel), self.now() + duration)
    }

    /// Resolves at `time`, up to a few milliseconds late.
    pub(super) fn sleep_until(&self, time: Time) -> Sleep {
        Sleep::new(Rc::clone(&self.wheel), time)
    }

    /// An empty header list of the pool.
    pub fn take_headers(&self) -> crate::http::Headers {
        self.headers.borrow_mut().take()
    }

    /// Copy on write: makes a shared header list owned before it is changed.
    pub fn unshare(&self, headers: &mut crate::http::Headers) {
        self.headers.borrow_mut().unshare(headers);
    }

    /// Returns a header list to the pool.
    pub fn recycle(&self, headers: crate::http::Headers) {
        self.headers.borrow_mut().put(headers);
    }

    /// Runs a task on this worker.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(task);
    }

    /// Spawns a job: polls `future` now, and from then on inline where its events occur.
    pub fn start(&self, future: impl Future<Output = ()> + 'static) {
        self.executor.start(future);
    }

    /// The job that is being polled.
    pub fn current_job(&self) -> Option<JobId> {
        self.executor.current()
    }

    /// Polls `job` now.
    pub fn poll_job(&self, job: JobId) {
        self.executor.poll(job);
    }

    /// Runs a supervised task for the worker's lifetime: it is restarted if it panics.
    pub fn supervise<F>(
        self: &Rc<Self>,
        tasks: &Arc<Tasks>,
        task: Task,
        body: impl Fn() -> F + 'static,
    ) where
        F: Future<Output = ()> + 'static,
    {
        let spawn = move || tokio::task::spawn_local(infallible(body()));
        self.spawn(Arc::clone(tasks).supervise(task, spawn));
    }

    /// Spawns the worker's loops: flushing, timers, jobs.
    pub fn run(self: &Rc<Self>, tasks: &Arc<Tasks>) {
        let worker = || Rc::clone(self);
        let (flusher, pacer, turner, attendant) = (worker(), worker(), worker(), worker());
        self.supervise(tasks, Task::Flush, move || Rc::clone(&flusher).flush_forever());
        self.supervise(tasks, Task::Turns, move || Rc::clone(&pacer).pace_forever());
        self.supervise(tasks, Task::Timers, move || Rc::clone(&turner).turn_forever());
        self.supervise(tasks, Task::Requests, move || Rc::clone(&attendant).poll_forever());
    }

    async fn pace_forever(self: Rc<Self>) {
        loop {
            self.read_scheduler.next().await;
            self.read_scheduler.begin(|conn| conn.admit());
        }
    }

    async fn poll_forever(self: Rc<Self>) {
        self.executor.poll_forever().await;
    }

    /// Drops all jobs.
    pub fn end(&self) {
        self.executor.clear();
    }

    async fn turn_forever(self: Rc<Self>) {
        loop {
            // Also without a due timer, so that the cached time stays fresh enough.
            let _ = tokio::time::timeout(MAX_CLOCK_LAG, self.wheel.is_due(self.clock)).await;
            self.wheel.turn(self.read_clock());
        }
    }

    /// Every connection, of clients and to backends.
    pub(super) fn conns(&self) -> Vec<Rc<Conn>> {
        self.conns.borrow().iter().filter_map(|(_, conn)| conn.upgrade()).collect()
    }

    /// Whether it is draining.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Drains the connections of this listener.
    pub fn leave(&self, listener: &Arc<Listener>) {
        self.read_clock();
        for conn in self.conns() {
            if conn.listener.get().is_some_and(|(by, _)| Arc::ptr_eq(by, listener)) {
                conn.begin_leave(Closed::Drain);
            }
        }
    }

    /// Drains every client connection, and future ones.
    pub fn drain(&self) {
        self.read_clock();
        self.draining.set(true);
        for conn in self.conns() {
            conn.begin_leave(Closed::Drain);
        }
    }

    /// Whether in-flight exchanges are to be aborted.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.get()
    }

    /// Aborts every exchange, at the end of the drain timeout.
    pub fn cut_off(&self) {
        self.read_clock();
        self.cut_off.set(true);
        self.conns().iter().for_each(|conn| conn.wake_streams());
    }

    pub(super) fn register(&self, conn: &Weak<Conn>) -> usize {
        self.conns.borrow_mut().insert(Weak::clone(conn))
    }

    pub(super) fn deregister(&self, slot: usize) {
        self.conns.borrow_mut().try_remove(slot);
    }

    /// Schedules a flush of the connection at the end of this turn.
    pub(super) fn flush_later(&self, conn: &Rc<Conn>) {
        self.output.push(Rc::clone(conn));
    }

    async fn flush_forever(self: Rc<Self>) {
        let flush = |conn: Rc<Conn>| {
            self.turn.borrow_mut().note(conn.bulk_output());
            conn.flush();
        };
        let end = || {
            self.turn.take().end();
            self.read_scheduler.end();
        };
        self.output.flush_forever(flush, || self.shed_memory(), end).await;
    }

    /// Bytes held for streams, over all connections.
    pub fn held(&self) -> usize {
        self.account.held()
    }

    /// Beyond the worker's memory limit, makes the connection that holds most shed memory, so that others
    /// are not affected.
    ///
    /// Before that point, receive windows towards backends have shrunk, as clients do not read.
    fn shed_memory(&self) {
        if self.unread.overflows(self.now()) {
            self.conns().iter().for_each(|conn| conn.narrow());
        }
        if self.account.is_overdrawn()
            && let Some(conn) = self.conns().into_iter().max_by_key(|conn| conn.held())
        {
            conn.shed_memory();
        }
    }
}
