//! Runs sources on a thread of their own.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Mutex, oneshot, watch};

use super::follower::{Follower, Outlet};
use super::{Discover, Discovered, SourceStatus};
use crate::clock::Clock;
use crate::tasks::{Task, Tasks, infallible};

/// Starts sources. The thread that they run on ends with this.
#[derive(Debug)]
pub struct Discovery {
    runtime: Handle,
    tasks: Arc<Tasks>,
    clock: Clock,
    seed: AtomicU64,
    _running: Option<oneshot::Sender<Infallible>>,
}

/// A service that is discovered. Dropping it ends the source.
#[derive(Debug)]
pub struct Subscription {
    discover: Arc<Discover>,
    busy: Arc<AtomicBool>,
    sets: watch::Receiver<Option<Arc<[Discovered]>>>,
    status: watch::Receiver<SourceStatus>,
    _stop: oneshot::Sender<Infallible>,
}

impl Discovery {
    /// Starts the thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(tasks: &Arc<Tasks>, clock: Clock, seed: u64) -> io::Result<Arc<Discovery>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, stopped) = oneshot::channel::<Infallible>();
        std::thread::Builder::new().name("discovery".into()).spawn(move || {
            let _ = runtime.block_on(stopped); // its sender is never used, but dropped
            runtime.shutdown_background(); // a file system may hang
        })?;
        let (tasks, seed) = (Arc::clone(tasks), AtomicU64::new(seed));
        Ok(Arc::new(Discovery { runtime: handle, tasks, clock, seed, _running: Some(running) }))
    }

    /// Runs sources on the runtime of the caller.
    pub fn here(tasks: &Arc<Tasks>, clock: Clock, seed: u64) -> Arc<Discovery> {
        let (tasks, seed) = (Arc::clone(tasks), AtomicU64::new(seed));
        Arc::new(Discovery { runtime: Handle::current(), tasks, clock, seed, _running: None })
    }

    /// Follows `service`. The counters and the last set of `known`, an earlier subscription, stay.
    pub fn watch(
        &self,
        service: &str,
        discover: &Arc<Discover>,
        known: Option<&Subscription>,
    ) -> Subscription {
        let busy = known.map(|known| Arc::clone(&known.busy)).unwrap_or_default();
        let same_kind = known.filter(|it| it.kind() == discover.source.kind());
        let (sets, sets_out) = watch::channel(known.and_then(Subscription::current));
        let (status, status_out) =
            watch::channel(same_kind.map(Subscription::status).unwrap_or_default());
        let rng = fastrand::Rng::with_seed(self.seed.fetch_add(1, Relaxed));
        let outlet = Outlet { sets, status };
        let follower = Follower::new(service, discover, outlet, &busy, (self.clock, rng));
        // The state outlives a panic of the task.
        let follower = Arc::new(Mutex::new(follower));
        let follow = move || {
            let follower = Arc::clone(&follower);
            tokio::spawn(infallible(async move { follower.lock().await.run().await }))
        };
        let (stop, stopped) = oneshot::channel();
        let tasks = Arc::clone(&self.tasks);
        self.runtime.spawn(async move {
            tokio::select! {
                biased;
                _ = stopped => {} // its sender is never used, but dropped
                () = tasks.supervise(Task::Discovery, follow) => {}
            }
        });
        let discover = Arc::clone(discover);
        Subscription { discover, busy, sets: sets_out, status: status_out, _stop: stop }
    }
}

impl Subscription {
    /// How the service is discovered.
    pub fn discover(&self) -> &Arc<Discover> {
        &self.discover
    }

    /// The kind of source.
    pub fn kind(&self) -> &'static str {
        self.discover.source.kind()
    }

    /// How the source is doing.
    pub fn status(&self) -> SourceStatus {
        self.status.borrow().clone()
    }

    /// The newest set; `None` until there is one.
    pub fn current(&self) -> Option<Arc<[Discovered]>> {
        self.sets.borrow().clone()
    }

    /// A receiver of sets.
    pub fn sets(&self) -> watch::Receiver<Option<Arc<[Discovered]>>> {
        self.sets.clone()
    }

    /// Whether requests flow to the service, so that the source hurries after a failure.
    pub fn note_requests(&self, flow: bool) {
        self.busy.store(flow, Relaxed);
    }
}
