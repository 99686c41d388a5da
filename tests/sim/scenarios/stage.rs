//! A gateway of one worker with one service, of one backend or of several.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use equipoise::app::{self, DataPath};
use equipoise::clock::Clock;
use equipoise::config;
use equipoise::discovery::Discovery;
use equipoise::health::HealthMonitor;
use equipoise::net::{
    Dial, Listener, ListeningSocket, Memory, MemoryListener, WorkerHandle, WorkerSpec, accept_loop,
};
use equipoise::service::{BuildPool, CounterSettings, Environment, Registry};
use equipoise::telemetry::WorkerMetrics;
use equipoise::upstream::{Dialer, OwnAddresses, Resolver};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::frames::Frames;
use crate::network::{Network, ToBackends};

/// Bytes in flight on a connection, in each direction.
const ROOM: usize = 64 << 10;

/// Where backends are: one if nothing else is asked for.
pub const fn address(number: u8) -> ([u8; 4], u16) {
    ([10, 1, 0, number], 50051)
}

/// The stage of a scenario.
pub struct Stage {
    resolver: Resolver,
    network: Rc<Network>,
}

/// The gateway.
pub struct Gateway {
    pub registry: Arc<Registry>,
    pub metrics: Arc<WorkerMetrics>,
    clients: Dial,
    dialled: Cell<u16>,
}

impl Stage {
    pub fn new(resolver: Resolver) -> Stage {
        Stage { resolver, network: Rc::default() }
    }

    /// Connections to the backend.
    pub fn backend(&self) -> mpsc::UnboundedReceiver<Memory> {
        self.backend_of(0)
    }

    /// The connections that come to the backend of this number.
    pub fn backend_of(&self, number: u8) -> mpsc::UnboundedReceiver<Memory> {
        self.network.listen(address(number).into())
    }

    /// Stops the backend and cuts its connections.
    pub fn crash(&self) {
        self.crash_of(0);
    }

    /// The same of the backend of this number.
    pub fn crash_of(&self, number: u8) {
        self.network.crash(address(number).into());
    }

    /// What further stages are made of.
    pub fn into_resolver(self) -> Resolver {
        self.resolver
    }

    /// Starts a gateway with these settings of the service.
    pub async fn gateway(&self, settings: &str) -> Gateway {
        self.gateway_for("max_connections: 1000", settings).await
    }

    /// Starts a gateway with these settings of the listener and the service.
    pub async fn gateway_for(&self, listener: &str, settings: &str) -> Gateway {
        self.gateway_of(1, listener, settings).await
    }

    /// A gateway whose service has so many backends.
    pub async fn gateway_of(&self, backends: u8, listener: &str, settings: &str) -> Gateway {
        self.start(backends, listener, settings, "").await
    }

    /// The same, with these settings of the route.
    pub async fn gateway_on(&self, backends: u8, settings: &str, route: &str) -> Gateway {
        self.start(backends, "", settings, &format!(", {route}")).await
    }

    async fn start(&self, backends: u8, listener: &str, settings: &str, route: &str) -> Gateway {
        let zone = |number: u8| ["a", "b", "c"][usize::from(number % 3)];
        let endpoint =
            |number| format!("{{ address: \"10.1.0.{number}:50051\", zone: {} }}", zone(number));
        let endpoints = (0..backends).map(endpoint).collect::<Vec<_>>().join(", ");
        let chosen = settings.contains("preconnect");
        let settings = if chosen { settings } else { &format!("preconnect: 0, {settings}") };
        let yaml = format!(
            "workers: 1\nzone: a\nlisteners: [ {{ address: 127.0.0.1:8080, {listener} }} ]\nservices:\n  \
             shop: {{ endpoints: [ {endpoints} ], {settings} }}\n\
             routes: [ {{ service: shop{route} }} ]\n"
        );
        let parse =
            || config::parse(&yaml, Path::new("")).unwrap_or_else(|r| panic!("{}", r.pretty()));
        let clock = Clock::start();
        let environment = Environment {
            workers: 1,
            runtime: Handle::current(),
            tasks: Arc::default(),
            build_pool: BuildPool::in_place(),
            health: HealthMonitor::new(clock),
            discovery: Discovery::here(&Arc::default(), clock, 0),
            clock,
            seed: 0,
        };
        let registry = Arc::new(Registry::new(1, CounterSettings::default(), clock));
        app::publish(&registry, &environment, parse()).await;
        let metrics = Arc::<WorkerMetrics>::default();
        let dialer = Dialer::new(self.resolver.clone(), OwnAddresses::new([]), 1000);
        let spec = WorkerSpec {
            index: 0,
            held_limit: 64 << 20,
            clock,
            rng: fastrand::Rng::with_seed(0),
            connector: Rc::new(ToBackends(Rc::clone(&self.network))),
        };
        let path = DataPath::new(spec, &registry, &metrics, &Arc::new(dialer));
        let (handle, inbox) = WorkerHandle::new();
        let tasks = Arc::clone(&environment.tasks);
        spawn_local(async move { path.run(&tasks, inbox).await });
        let (clients, listening) = MemoryListener::new(64);
        let listener = Listener::new(parse().listeners.remove(0), Arc::default());
        let socket = Arc::new(ListeningSocket::Memory(listening));
        spawn_local(accept_loop(socket, listener, vec![handle], clock));
        Gateway { registry, metrics, clients, dialled: Cell::new(0) }
    }
}

impl Gateway {
    /// Connects to the gateway.
    pub fn dial(&self) -> Memory {
        self.dialled.set(self.dialled.get() + 1);
        let peer = ([10, 0, 0, 1], self.dialled.get()).into();
        self.clients.connect(peer, ROOM).expect("it listens")
    }

    /// A client of the gateway, frame by frame.
    pub async fn client(&self) -> Frames<Memory> {
        Frames::client(self.dial(), &[]).await
    }

    /// Calls and streams in flight to the backend.
    pub fn open(&self) -> u32 {
        let view = self.registry.get("shop").expect("it is there").view();
        let loads = view.backends.iter().map(|backend| backend.endpoint.load());
        loads.map(|load| load.calls() + load.streams().count()).sum()
    }

    /// Calls in flight to the backend.
    pub fn calls(&self) -> u32 {
        let view = self.registry.get("shop").expect("it is there").view();
        view.backends.iter().map(|backend| backend.endpoint.load().calls()).sum()
    }
}
