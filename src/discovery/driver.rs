//! Runs sources on a thread of their own.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Mutex, oneshot, watch};

use super::follower::{Follower, Outlet};
use super::names::Followers;
use super::{Discover, DiscoveredSet, Names, SourceStatus};
use crate::clock::Clock;
use crate::dns::{Dns, Lookups, Nobody};
use crate::tasks::{Task, Tasks, infallible};

/// Starts sources. The thread that they run on ends with this.
#[derive(Debug)]
pub struct Discovery {
    runtime: Handle,
    tasks: Arc<Tasks>,
    clock: Clock,
    seed: AtomicU64,
    dns: Arc<dyn Dns>,
    names: Arc<Names>,
    _running: Option<oneshot::Sender<Infallible>>,
}

/// A service that is discovered. Dropping it ends the source.
#[derive(Debug)]
pub struct Subscription {
    discover: Arc<Discover>,
    busy: Arc<AtomicBool>,
    sets: watch::Receiver<Option<DiscoveredSet>>,
    status: watch::Receiver<SourceStatus>,
    _stop: oneshot::Sender<Infallible>,
}

impl Discovery {
    /// Starts the thread. Names are looked up at `name_servers`, or those of `/etc/resolv.conf` if there
    /// are none.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        name_servers: Vec<SocketAddr>,
        tasks: &Arc<Tasks>,
        clock: Clock,
        seed: u64,
    ) -> io::Result<Arc<Discovery>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, stopped) = oneshot::channel::<Infallible>();
        std::thread::Builder::new().name("discovery".into()).spawn(move || {
            let _ = runtime.block_on(stopped); // its sender is never used, but dropped
            runtime.shutdown_background(); // a file system may hang
        })?;
        let dns = Arc::new(Lookups::new(name_servers));
        let discovery = Discovery::on(handle, dns, tasks, clock, seed);
        Ok(Arc::new(Discovery { _running: Some(running), ..discovery }))
    }

    /// Runs sources on the runtime of the caller. No name is looked up.
    pub fn here(tasks: &Arc<Tasks>, clock: Clock, seed: u64) -> Arc<Discovery> {
        Arc::new(Discovery::on(Handle::current(), Arc::new(Nobody), tasks, clock, seed))
    }

    fn on(
        runtime: Handle,
        dns: Arc<dyn Dns>,
        tasks: &Arc<Tasks>,
        clock: Clock,
        seed: u64,
    ) -> Discovery {
        let tasks = Arc::clone(tasks);
        let followers = Followers {
            runtime: runtime.clone(),
            dns: Arc::clone(&dns),
            tasks: Arc::clone(&tasks),
            seed,
        };
        let names = Arc::new(Names::new(followers, clock));
        let seed = AtomicU64::new(seed);
        Discovery { runtime, tasks, clock, seed, dns, names, _running: None }
    }

    /// Names that are followed.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
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
        let follower =
            Follower::new(service, discover, outlet, &busy, (self.clock, rng, &self.dns));
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
    pub fn current(&self) -> Option<DiscoveredSet> {
        self.sets.borrow().clone()
    }

    /// A receiver of sets.
    pub fn sets(&self) -> watch::Receiver<Option<DiscoveredSet>> {
        self.sets.clone()
    }

    /// Whether requests flow to the service, so that the source hurries after a failure.
    pub fn note_requests(&self, flow: bool) {
        self.busy.store(flow, Relaxed);
    }
}
