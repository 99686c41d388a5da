//! One run: a gateway, its clients and backends, from start to shutdown.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use equipoise::app::{self, DataPath};
use equipoise::clock::Clock;
use equipoise::discovery::Discovery;
use equipoise::health::HealthMonitor;
use equipoise::model::Class;
use equipoise::net::{
    Listener, ListeningSocket, MemoryListener, Worker, WorkerHandle, WorkerSpec, accept_loop,
};
use equipoise::service::{BuildPool, CounterSettings, Environment, Registry};
use equipoise::telemetry::{Side, WorkerMetrics};
use equipoise::upstream::{Dialer, OwnAddresses, Resolver};
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use super::exchange::{Exchange, Habits};
use super::file::{Balancing, File};
use super::ledger::{Ledger, Place};
use super::lines::Lines;
use super::members::Members;
use super::network::ToBackends;
use super::retries::Retries;
use super::world::{SERVICES, Site, World};
use super::{backend, chaos, client, http1_client, leaving};

/// Limit of any wait, in virtual time.
const PATIENCE: Duration = Duration::from_secs(900);

/// In one seed of this many the gateway shuts down while clients send requests.
const STOPS: u64 = 7;

/// Limit of activity, once all requests have ended and no faults are left.
const REST: Duration = Duration::from_secs(60);

/// Limit of the time until a backend that is well is back.
const BACK: Duration = Duration::from_secs(1);

/// The result of a run.
struct Report {
    wrong: Vec<String>,
    digest: u64,
}

/// Runs the seed; returns a digest of its trace, or what is wrong.
pub fn run(seed: u64, resolver: &Resolver, trace: bool) -> Result<u64, String> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build_local(LocalOptions::default())
        .unwrap();
    let lines = Lines::default();
    let live = live(seed, resolver.clone(), trace, lines.clone());
    let life = async { timeout(PATIENCE, live).await };
    let run = || tracing::subscriber::with_default(lines.clone(), || runtime.block_on(life));
    match std::panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(Report { wrong, digest })) if wrong.is_empty() => Ok(digest),
        Ok(Ok(Report { wrong, .. })) => Err(wrong.join("; ")),
        Ok(Err(_)) => Err("it hangs".into()),
        Err(panic) => Err(format!("it panics: {}", words(&*panic))),
    }
}

/// The message of a panic.
pub fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// Runs one world; returns what is wrong.
async fn live(seed: u64, resolver: Resolver, trace: bool, lines: Lines) -> Report {
    let mut rng = fastrand::Rng::with_seed(seed);
    let workers = if seed.is_multiple_of(4) { rng.usize(2..4) } else { 1 };
    let faults = !seed.is_multiple_of(3);
    let (file, sites) = draw_file(seed, workers, faults, &mut rng);
    let clock = Clock::start();
    let environment = Environment {
        workers,
        runtime: Handle::current(),
        tasks: Arc::default(),
        build_pool: BuildPool::in_place(),
        health: HealthMonitor::new(clock),
        discovery: Discovery::here(&Arc::default(), clock, 0),
        clock,
        seed,
    };
    let (clients, listening) = MemoryListener::new(64);
    let window = [2000, 16_384, 65_535][rng.usize(..3)];
    let world = Rc::new(World {
        seed,
        habits: habits(seed, window, &file, &sites),
        faults,
        ledger: Ledger::new(trace),
        network: Rc::default(),
        backend_streams: [1, 3, 100][rng.usize(..3)],
        sites,
        registry: Arc::new(Registry::new(workers, CounterSettings::default(), clock)),
        environment,
        calm: Cell::new(false),
        answering: Rc::default(),
        begun: Instant::now(),
        clients,
        http1: RefCell::default(),
        refused: RefCell::default(),
        dialled: Cell::new(0),
        bodies: RefCell::default(),
        rng: RefCell::new(rng.fork()),
    });
    file.retries.iter().for_each(|retries| world.trace(&format!("{retries:?}")));
    (0..world.sites.len()).for_each(|backend| backend::start(&world, backend));
    let metrics: Vec<Arc<WorkerMetrics>> = (0..workers).map(|_| Arc::default()).collect();
    let (paths, handles, mut running) = start(&world, &file, &metrics, resolver, &mut rng).await;
    let spec = file.plan(&world.sites).listeners.remove(0);
    let listener = Listener::new(spec, Arc::default());
    let socket = Arc::new(ListeningSocket::Memory(listening));
    spawn_local(accept_loop(socket, Arc::clone(&listener), handles.clone(), clock));
    let stops = seed.is_multiple_of(STOPS);
    if stops {
        let (world, time) = (Rc::clone(&world), rng.u64(..300));
        spawn_local(stop(world, Duration::from_millis(time), listener.clone(), handles.clone()));
    }
    let upgraded = upgraded(&world, &file);
    let exchanges = let_clients_run(&world, file, &mut rng).await;
    let outages = check_outages(&world).await;
    settle(&world, &paths).await;
    if !stops {
        stop(Rc::clone(&world), Duration::ZERO, listener, handles.clone()).await;
    }
    let mut wrong = world.ledger.check(&exchanges, world.habits, &upgraded);
    wrong.extend(world.ledger.check_lines(&exchanges, &lines.take(), world.habits));
    wrong.extend(left(&world, &paths, &metrics));
    wrong.extend(outages);
    wrong.extend(go_down(handles, &mut running, &metrics).await);
    world.trace("the end");
    Report { wrong, digest: world.ledger.digest() }
}

/// What may happen, by the configuration.
fn habits(seed: u64, window: u32, file: &File, sites: &[Site]) -> Habits {
    Habits {
        faults: file.faults,
        web_http1: file.web_http1,
        idle: file.limit(),
        window,
        limit: file.timeout,
        retries: file.retries,
        quiet: file.retries.is_some() && !file.faults && seed.is_multiple_of(2),
        lacks: file.ejection && sites.iter().any(|site| site.old),
    }
}

/// The initial configuration, and the backends' addresses.
fn draw_file(
    seed: u64,
    workers: usize,
    faults: bool,
    rng: &mut fastrand::Rng,
) -> (File, Vec<Site>) {
    let web_http1 = rng.bool();
    let (sites, weights) = draw_sites(seed, web_http1, rng);
    let idle = [(); 2]
        .map(|()| Duration::from_millis(if rng.u8(..3) == 0 { rng.u64(1000..5000) } else { 0 }));
    let file = File {
        workers,
        idle,
        // With one stream per connection, queued requests may take long.
        pending: Duration::from_secs(if faults { 5 } else { 600 }),
        balancer: Balancing::draw(rng),
        preconnect: seed % 3,
        panic: if faults && seed % 5 < 3 { 0 } else { 50 },
        // What is cut off has gone wrong.
        drain: (faults && !seed.is_multiple_of(5)).then(|| Duration::from_millis(1 + seed % 800)),
        ejection: seed % 4 < 2,
        slow_start: Duration::from_secs([0, 0, 2, 10][(seed / 7 % 4) as usize]),
        faults,
        weights,
        web_http1,
        timeout: (rng.u8(..4) == 0).then(|| Duration::from_millis(rng.u64(1..400))),
        retries: Retries::draw(seed),
        extra: false,
        // There, a slow reader delays others on its connection.
        narrow: idle.iter().all(Duration::is_zero) && rng.bool(),
    };
    (file, sites)
}

/// The backends' addresses, and their weights in the file, if any.
fn draw_sites(
    seed: u64,
    web_http1: bool,
    rng: &mut fastrand::Rng,
) -> (Vec<Site>, Vec<Option<u32>>) {
    let (mut sites, mut weights) = (Vec::new(), Vec::new());
    // In one world of three, about half of the backends are yet to be upgraded.
    let mut versions = (seed / 3 % 3 == 1).then(|| fastrand::Rng::with_seed(seed));
    for (number, service) in (0..).zip(SERVICES) {
        let (configured, spare) = match service {
            "orders" => (rng.u8(1..5), rng.u8(..3)),
            _ => (rng.u8(1..3), rng.u8(..2)),
        };
        for n in 0..configured + spare {
            let http1 = web_http1 && service == "web";
            let old = service == "orders" && versions.as_mut().is_some_and(fastrand::Rng::bool);
            let address = ([10, 1, number, n], 50051).into();
            sites.push(Site { service, address, http1, old });
            weights.push((n < configured).then_some(1));
        }
    }
    (sites, weights)
}

/// The backends of `orders` that are in the file and implement its methods. None counts where they
/// may be ejected for their answers.
fn upgraded(world: &World, file: &File) -> BTreeSet<Place> {
    if file.ejection {
        return BTreeSet::new();
    }
    let sites = world.sites.iter().zip(&file.weights).enumerate();
    let upgraded = sites
        .filter(|(_, (site, weight))| site.service == "orders" && !site.old && weight.is_some());
    upgraded.map(|(backend, _)| Place::Backend(backend)).collect()
}

/// Shuts the gateway down gracefully after a while: accepted requests finish.
async fn stop(
    world: Rc<World>,
    after: Duration,
    listener: Arc<Listener>,
    workers: Vec<WorkerHandle>,
) {
    sleep(after).await;
    world.trace("the gateway goes down");
    world.ledger.close();
    listener.close();
    for worker in &workers {
        worker.drain().await;
    }
}

/// Waits until all clients have disconnected and all workers have stopped; returns what is wrong.
async fn go_down(
    workers: Vec<WorkerHandle>,
    running: &mut JoinSet<()>,
    metrics: &[Arc<WorkerMetrics>],
) -> Vec<String> {
    let until = Instant::now() + REST;
    while workers.iter().any(|worker| worker.connections() > 0) && Instant::now() < until {
        sleep(Duration::from_millis(100)).await;
    }
    let mut wrong = Vec::new();
    for (index, (worker, metrics)) in workers.iter().zip(metrics).enumerate() {
        let (open, counted) = (worker.connections(), metrics.open(Side::Downstream));
        if open > 0 || counted > 0 {
            wrong.push(format!("worker {index} has {open} clients, and counts {counted}"));
        }
    }
    drop(workers); // closes their command queues
    let ended = async { while running.join_next().await.is_some() {} };
    if timeout(REST, ended).await.is_err() {
        wrong.push("a worker does not end".into());
    }
    wrong
}

/// Starts the workers.
async fn start(
    world: &Rc<World>,
    file: &File,
    metrics: &[Arc<WorkerMetrics>],
    resolver: Resolver,
    rng: &mut fastrand::Rng,
) -> (Vec<Rc<Worker>>, Vec<WorkerHandle>, JoinSet<()>) {
    let (registry, environment) = (&world.registry, &world.environment);
    app::publish(registry, environment, file.plan(&world.sites)).await;
    let dialer = Arc::new(Dialer::new(resolver, OwnAddresses::new([]), 1000));
    let (mut workers, mut handles, mut running) = (Vec::new(), Vec::new(), JoinSet::new());
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
        running.spawn_local(async move { path.run(&tasks, inbox).await });
    }
    (workers, handles, running)
}

/// Runs the clients and the chaos until all requests have ended.
async fn let_clients_run(world: &Rc<World>, file: File, rng: &mut fastrand::Rng) -> Vec<Exchange> {
    let (mut all, mut clients) = (Vec::new(), JoinSet::new());
    for number in 0..rng.u64(1..5) {
        // Requests pipelined to a gateway that shuts down were not accepted.
        let http1 = rng.u8(..4) == 0 && !world.seed.is_multiple_of(STOPS);
        let mut exchanges = Vec::new();
        for _ in 0..rng.usize(1..12) {
            let exchange = world.ask(http1);
            all.push(exchange);
            exchanges.push((Duration::from_millis(rng.u64(..60)), exchange));
        }
        let world = Rc::clone(world);
        match http1 {
            true => clients.spawn_local(http1_client::run(world, number, exchanges)),
            false => clients.spawn_local(client::run(world, number, exchanges)),
        };
    }
    let mut happening = JoinSet::new();
    happening.spawn_local(chaos::reign(Rc::clone(world)));
    let watch = file.drain.map(|limit| spawn_local(leaving::watch(Rc::clone(world), limit)));
    happening.spawn_local(chaos::operate(Rc::clone(world), file));
    happening.spawn_local(watch_ejections(Rc::clone(world)));
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
    if let Some(watch) = watch {
        watch.abort();
    }
    all
}

/// Checks all the while that no more backends are ejected than allowed.
async fn watch_ejections(world: Rc<World>) {
    while !world.calm.get() {
        for service in world.registry.list() {
            if Members::too_many_ejected(&service.view()) {
                world.ledger.wrong(format!("{}: too many are ejected", service.name()));
                return;
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Checks that a second after the last fault nobody is down, and that without faults nobody ever was.
async fn check_outages(world: &World) -> Vec<String> {
    sleep(BACK).await;
    let views = world.registry.list().into_iter().map(|service| service.view());
    let mut wrong = Vec::new();
    for backend in views.flat_map(|view| view.backends.clone()) {
        let (address, outage) = (backend.endpoint.address(), backend.endpoint.outage());
        if let Some(down) = outage.down().filter(|_| !backend.intent.drained) {
            wrong.push(format!("{address} is well, and {down:?}"));
        }
        // Retries are of requests whose connections end; these are outages too.
        let ends = world.habits.retries.is_some() && world.habits.web_http1;
        if outage.down_count() > 0 && !world.faults && !ends {
            wrong.push(format!("{address} was down, and nothing fails"));
        }
    }
    wrong
}

/// Waits until everything is idle, which must be soon.
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

/// Backends with a non-zero load.
fn busy(world: &World) -> Vec<String> {
    let views = world.registry.list();
    let backends = views.iter().flat_map(|service| {
        let view = service.view();
        [&view.backends[..], &view.leaving[..]].concat()
    });
    let busy = backends.filter(|backend| !backend.endpoint.load().is_idle());
    busy.map(|backend| backend.endpoint.address().to_string()).collect()
}

/// Leaks: what ended requests have left behind.
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
