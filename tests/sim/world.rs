//! One run: a gateway, its clients, its backends, and what happens to them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use equipoise::app::{self, DataPath};
use equipoise::clock::Clock;
use equipoise::model::Class;
use equipoise::net::{
    Dial, Listener, ListeningSocket, Memory, MemoryListener, Worker, WorkerHandle, WorkerSpec,
    accept_loop,
};
use equipoise::service::{Builders, CountSettings, Environment, Registry};
use equipoise::telemetry::WorkerMetrics;
use equipoise::upstream::{Dialer, OwnAddresses, Resolver};
use h2::Reason;
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use super::exchange::{Exchange, Habits};
use super::file::{Balancing, File};
use super::ledger::Ledger;
use super::network::{Network, ToBackends};
use super::{backend, chaos, client};

/// Nothing is waited for longer, in virtual time.
const PATIENCE: Duration = Duration::from_secs(900);

/// When nothing is asked any more and all connections are well, nothing goes on after so long.
const REST: Duration = Duration::from_secs(60);

/// Bytes that may be under way on a client's connection, each way.
const ROOM: usize = 64 << 10;

/// Where a backend is, and of which service.
pub struct Site {
    pub service: &'static str,
    pub address: SocketAddr,
}

/// What all parts of one run share.
pub struct World {
    pub seed: u64,
    pub habits: Habits,
    /// Whether anything goes wrong in it.
    pub faults: bool,
    pub ledger: Ledger,
    pub network: Rc<Network>,
    pub rng: RefCell<fastrand::Rng>,
    /// Streams that a backend takes on one connection.
    pub backend_streams: u32,
    /// The backends by their numbers: those that a file has, and those that may come to be.
    pub sites: Vec<Site>,
    pub registry: Arc<Registry>,
    pub environment: Environment,
    /// Nothing more is to happen to it.
    pub calm: Cell<bool>,
    /// Requests that backends are about to answer.
    pub answering: Cell<usize>,
    begun: Instant,
    clients: Dial,
    /// Requests that a backend has given back already.
    refused: RefCell<BTreeSet<u64>>,
    dialled: Cell<u16>,
}

impl World {
    /// What the request of this number is.
    pub fn exchange(&self, id: u64) -> Exchange {
        Exchange::draw(self.seed, id, self.habits)
    }

    /// Waits for a time of so many milliseconds, longer the more has happened.
    pub async fn pause(&self, time: Range<u64>, before: u32) {
        let time = self.rng.borrow_mut().u64(time);
        sleep(Duration::from_millis(time) * (1 + before / 10)).await;
    }

    /// Notes what is to happen again in every run of the seed.
    pub fn trace(&self, what: &str) {
        self.ledger.trace(self.begun.elapsed().as_micros(), what);
    }

    /// An error that a peer has seen: the gateway is to give it no cause for one of its own.
    pub fn judge(&self, error: &h2::Error) {
        let harmless = matches!(error.reason(), None | Some(Reason::CANCEL | Reason::NO_ERROR));
        if error.is_library() && !harmless {
            self.ledger.wrong(format!("the gateway breaks a rule of the protocol: {error}"));
        }
    }

    /// A connection of a client to the gateway.
    pub fn dial(&self, number: u64) -> Option<Memory> {
        self.dialled.set(self.dialled.get() + 1);
        let peer = SocketAddr::new([10, 0, 0, number as u8].into(), 1024 + self.dialled.get());
        let io = self.clients.connect(peer, ROOM).ok()?;
        self.network.note(peer, io.wire());
        Some(io)
    }

    /// Whether a backend is to give this request back: the first does.
    pub fn refuses(&self, id: u64) -> bool {
        self.refused.borrow_mut().insert(id)
    }

    /// After how many requests on a connection the backend says that it takes no more.
    pub fn leaves_after(&self, _backend: usize) -> Option<u32> {
        let mut rng = self.rng.borrow_mut();
        (rng.u8(..3) == 0).then(|| rng.u32(1..20))
    }
}

/// What came of one run.
struct Report {
    wrong: Vec<String>,
    digest: u64,
}

/// Runs the seed. A digest of all that happened, or why it is wrong.
pub fn run(seed: u64, resolver: &Resolver, trace: bool) -> Result<u64, String> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build_local(LocalOptions::default())
        .unwrap();
    let life = async { timeout(PATIENCE, live(seed, resolver.clone(), trace)).await };
    let run = || runtime.block_on(life);
    match std::panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(Report { wrong, digest })) if wrong.is_empty() => Ok(digest),
        Ok(Ok(Report { wrong, .. })) => Err(wrong.join("; ")),
        Ok(Err(_)) => Err("it hangs".into()),
        Err(panic) => Err(format!("it panics: {}", words(&*panic))),
    }
}

/// What a panic says.
pub fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// The life of one world. What is wrong with it.
async fn live(seed: u64, resolver: Resolver, trace: bool) -> Report {
    let mut rng = fastrand::Rng::with_seed(seed);
    let workers = if seed.is_multiple_of(4) { rng.usize(2..4) } else { 1 };
    let faults = !seed.is_multiple_of(3);
    let (configured, spare) = (rng.u8(1..5), rng.u8(..3));
    let site = |n| Site { service: "orders", address: ([10, 1, 0, n], 50051).into() };
    let idle = [(); 2]
        .map(|()| Duration::from_millis(if rng.u8(..3) == 0 { rng.u64(1000..5000) } else { 0 }));
    let file = File {
        workers,
        idle,
        // Of one connection with one stream the others may take long.
        pending: Duration::from_secs(if faults { 5 } else { 600 }),
        balancer: Balancing::draw(&mut rng),
        preconnect: seed % 3,
        weights: (0..configured + spare).map(|n| (n < configured).then_some(1)).collect(),
        extra: false,
        // There, who reads slowly makes others on the connection wait.
        narrow: idle.iter().all(Duration::is_zero) && rng.bool(),
    };
    let clock = Clock::start();
    let environment = Environment {
        workers,
        runtime: Handle::current(),
        tasks: Arc::default(),
        builders: Builders::in_place(),
        clock,
        seed,
    };
    let (clients, listening) = MemoryListener::new(64);
    let window = [2000, 16_384, 65_535][rng.usize(..3)];
    let world = Rc::new(World {
        seed,
        habits: Habits { faults, idle: file.limit(), window },
        faults,
        ledger: Ledger::new(trace),
        network: Rc::default(),
        backend_streams: [1, 3, 100][rng.usize(..3)],
        sites: (0..configured + spare).map(site).collect(),
        registry: Arc::new(Registry::new(workers, CountSettings::default(), clock)),
        environment,
        calm: Cell::new(false),
        answering: Cell::new(0),
        begun: Instant::now(),
        clients,
        refused: RefCell::default(),
        dialled: Cell::new(0),
        rng: RefCell::new(rng.fork()),
    });
    for (number, site) in world.sites.iter().enumerate() {
        backend::start(&world, number, site.address);
    }
    let metrics: Vec<Arc<WorkerMetrics>> = (0..workers).map(|_| Arc::default()).collect();
    let (paths, handles) = start(&world, &file, &metrics, resolver, &mut rng).await;
    let spec = file.plan(&world.sites).listeners.remove(0);
    let listener = Listener::new(spec, Arc::default());
    let socket = Arc::new(ListeningSocket::Memory(listening));
    spawn_local(accept_loop(socket, listener, handles, clock));
    let exchanges = let_clients_run(&world, file, &mut rng).await;
    settle(&world, &paths).await;
    let mut wrong = world.ledger.check(&exchanges, faults);
    wrong.extend(left(&world, &paths, &metrics));
    world.trace("the end");
    Report { wrong, digest: world.ledger.digest() }
}

/// Starts the workers.
async fn start(
    world: &Rc<World>,
    file: &File,
    metrics: &[Arc<WorkerMetrics>],
    resolver: Resolver,
    rng: &mut fastrand::Rng,
) -> (Vec<Rc<Worker>>, Vec<WorkerHandle>) {
    let (registry, environment) = (&world.registry, &world.environment);
    app::publish(registry, environment, file.plan(&world.sites)).await;
    let dialer = Arc::new(Dialer::new(resolver, OwnAddresses::new([]), 1000));
    let (mut workers, mut handles) = (Vec::new(), Vec::new());
    for (index, metrics) in metrics.iter().enumerate() {
        let spec = WorkerSpec {
            index,
            held_limit: 64 << 20,
            clock: environment.clock,
            rng: rng.fork(),
            connector: Rc::new(ToBackends(Rc::clone(&world.network))),
        };
        let path = DataPath::new(spec, registry, metrics, &dialer);
        workers.push(Rc::clone(path.worker()));
        let (handle, inbox) = WorkerHandle::new();
        handles.push(handle);
        let tasks = Arc::clone(&environment.tasks);
        spawn_local(async move { path.run(&tasks, inbox).await });
    }
    (workers, handles)
}

/// Has clients send requests, while this and that happens, until all have come to their end.
async fn let_clients_run(world: &Rc<World>, file: File, rng: &mut fastrand::Rng) -> Vec<Exchange> {
    let (mut all, mut clients) = (Vec::new(), JoinSet::new());
    for number in 0..rng.u64(1..5) {
        let mut exchanges = Vec::new();
        for _ in 0..rng.usize(1..12) {
            let exchange = world.exchange(all.len() as u64);
            all.push(exchange);
            exchanges.push((Duration::from_millis(rng.u64(..60)), exchange));
        }
        clients.spawn_local(client::run(Rc::clone(world), number, exchanges));
    }
    let mut happening = JoinSet::new();
    happening.spawn_local(chaos::reign(Rc::clone(world)));
    happening.spawn_local(chaos::operate(Rc::clone(world), file));
    while let Some(ended) = clients.join_next().await {
        if ended.is_err() {
            world.ledger.wrong("a client has panicked".into());
        }
    }
    world.calm.set(true);
    while let Some(ended) = happening.join_next().await {
        if ended.is_err() {
            world.ledger.wrong("what happens has panicked".into());
        }
    }
    all
}

/// Waits until nothing goes on any more, which must be soon.
async fn settle(world: &World, workers: &[Rc<Worker>]) {
    let rests = || {
        let idle = workers.iter().all(|worker| worker.held() == 0);
        idle && world.answering.get() == 0 && busy(world).is_empty()
    };
    let until = Instant::now() + REST;
    while !rests() && Instant::now() < until {
        sleep(Duration::from_millis(500)).await;
    }
}

/// Backends that something is open to, as their loads have it.
fn busy(world: &World) -> Vec<String> {
    let views = world.registry.list();
    let backends = views.iter().flat_map(|service| service.view().backends.clone());
    let busy = backends.filter(|backend| !backend.endpoint.load().is_idle());
    busy.map(|backend| backend.endpoint.address().to_string()).collect()
}

/// What is left of requests that are over.
fn left(world: &World, workers: &[Rc<Worker>], metrics: &[Arc<WorkerMetrics>]) -> Vec<String> {
    let mut left: Vec<_> =
        busy(world).iter().map(|backend| format!("something is open to {backend}")).collect();
    if world.answering.get() > 0 {
        left.push(format!("backends still answer {} requests", world.answering.get()));
    }
    for (index, worker) in workers.iter().enumerate() {
        if worker.held() > 0 {
            left.push(format!("worker {index} holds {} bytes", worker.held()));
        }
    }
    for (index, metrics) in metrics.iter().enumerate() {
        let over: u64 = Class::ALL.iter().map(|class| metrics.outcomes(*class)).sum();
        if metrics.accepted() != over {
            left.push(format!("worker {index}: {} came, {over} ended", metrics.accepted()));
        }
    }
    left
}
