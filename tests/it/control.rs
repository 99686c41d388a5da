//! The control API over a real connection: changes, views, streams, health, reflection, `ctl`.

mod bursts;
mod changes;
mod ctl;
mod exits;
mod history;
mod kept;
mod lives;
mod overrides;
mod preview;
mod routes;
mod server;
mod sets;
mod splits;
mod staging;
mod views;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use equipoise::balance::{Factory, PickCx, Picker};
use equipoise::clock::Clock;
use equipoise::control::proto::control_client::ControlClient;
use equipoise::control::proto::{self, BackendState};
use equipoise::control::{Arrival, Door, DoorSettings, NAME, ServeError, Server, Users};
use equipoise::discovery::Discovery;
use equipoise::health::HealthMonitor;
use equipoise::model::{Address, Code, ConnectionRefusals, EndpointSet, GrpcCode};
use equipoise::overrides::{Memory, Store};
use equipoise::service::{
    Balancer, BuildPool, CounterSettings, EndpointSpec, Environment, Layer, Registry, Service,
    ServiceConfig, ServiceSpec,
};
use equipoise::telemetry::{Health, Readiness};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;

const WORKERS: usize = 2;
/// The connection limit of the API.
const MAX_CONNECTIONS: usize = 16;

/// A minimal policy.
#[derive(Debug)]
struct First;

impl Factory for First {
    fn build(&self, _: Arc<EndpointSet>, _: &mut fastrand::Rng) -> Box<dyn Picker> {
        Box::new(First)
    }
}

impl Picker for First {
    fn pick(&self, _: &mut PickCx<'_>) -> usize {
        0
    }
}

/// A running control API with the service `orders`, whose backends are `a:1` with weight 3 and
/// `b:1` with weight 1.
struct Gateway {
    address: String,
    registry: Arc<Registry>,
    orders: Arc<Service>,
    ready: watch::Sender<Readiness>,
    refusals: Arc<ConnectionRefusals>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<Result<(), ServeError>>,
}

impl Gateway {
    async fn start() -> Gateway {
        Gateway::with(&[("a:1", 3), ("b:1", 1)]).await
    }

    async fn with(backends: &[(&str, u32)]) -> Gateway {
        Gateway::keeping_with(Arc::new(Memory), backends).await
    }

    /// As `start`, with a store that keeps changes.
    async fn keeping(store: Arc<dyn Store>) -> Gateway {
        Gateway::keeping_with(store, &[("a:1", 3), ("b:1", 1)]).await
    }

    async fn keeping_with(store: Arc<dyn Store>, backends: &[(&str, u32)]) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (settings, clock) = (CounterSettings::default(), Clock::start());
        let registry = Arc::new(Registry::with_store(WORKERS, settings, clock, store));
        let initial = registry.initial_state("orders");
        let orders = Service::start_with(initial, spec("orders", backends), &environment(WORKERS));
        publish(&registry, [&orders]).await;
        let (stop, stopped) = oneshot::channel::<()>();
        let (ending, ended) = oneshot::channel::<()>();
        let health = Health::default();
        let api = Server {
            registry: Arc::clone(&registry),
            door: Arc::new(Door::new(
                DoorSettings::default(),
                Users::ByMode,
                Arc::default(),
                clock,
            )),
            health: health.server(),
            max_connections: MAX_CONNECTIONS,
            refusals: Arc::default(),
            clock: Clock::start(),
        };
        let refusals = Arc::clone(&api.refusals);
        let (ready, readiness) = watch::channel(Readiness::Ready);
        let server = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
                drop(ending);
            };
            let clients = crate::support::clients(listener).map(|client| {
                let (stream, address) = client?;
                Ok((stream, Arrival::Tcp(address.unwrap())))
            });
            api.run(clients, stopped).await
        });
        tokio::spawn(async move {
            health.follow(&["", NAME], readiness, async { drop(ended.await) }).await;
        });
        Gateway { address, registry, orders, ready, refusals, stop: Some(stop), server }
    }

    async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(self.address.clone()).unwrap();
        endpoint.connect().await.unwrap()
    }

    async fn client(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel().await)
    }

    /// Has `worker` count requests to a backend that end with `code` after 10 ms.
    fn record(&self, backend: usize, worker: usize, code: GrpcCode, requests: usize) {
        let view = self.orders.view();
        let stats = view.backends[backend].endpoint.worker_stats(worker);
        for _ in 0..requests {
            stats.record_call(Code::Grpc(code), Duration::from_millis(10));
        }
    }

    /// Waits until the statistics count this many recent requests.
    async fn observed(&self, requests: u64) {
        let mut views = self.orders.watch();
        let all = |view: &Arc<equipoise::service::ServiceView>| -> u64 {
            view.backends.iter().map(|b| b.recent.requests).sum()
        };
        let _ = views.wait_for(|view| all(view) == requests).await.unwrap();
    }
}

fn environment(workers: usize) -> Environment {
    let (runtime, tasks) = (tokio::runtime::Handle::current(), Arc::default());
    let build_pool = BuildPool::default();
    let clock = Clock::start();
    Environment {
        workers,
        runtime,
        tasks,
        build_pool,
        health: HealthMonitor::new(clock),
        discovery: Discovery::here(&Arc::default(), clock, 0),
        clock,
        seed: 1,
    }
}

fn service(name: &str, backends: &[(&str, u32)]) -> Arc<Service> {
    Service::start(spec(name, backends), &environment(WORKERS))
}

fn spec(name: &str, backends: &[(&str, u32)]) -> ServiceConfig {
    let member = |(address, weight): &(&str, u32)| (Address::parse(address).unwrap(), *weight);
    let spec = ServiceSpec {
        name: name.into(),
        protocol: Default::default(),
        balancer: Balancer {
            policy: "first",
            settings: Vec::new(),
            in_effect: Vec::new(),
            factory: Arc::new(First),
        },
        streams: Vec::new(),
        preconnect: 0,
        upstream: Default::default(),
        endpoint_drain_timeout: None,
        health: None,
        discover: None,
        ejection: Default::default(),
        panic: 50,
        concurrency: None,
        retry_budget: equipoise::service::RetryBudgetSettings::usual(),
        slow_start: Duration::ZERO,
        prefer_zone: None,
    };
    let (members, zones) = (Layer::of(backends.iter().map(member)), Default::default());
    ServiceConfig { spec, members, zones }
}

/// Publishes these services, without routes.
async fn publish(registry: &Registry, services: impl IntoIterator<Item = &Arc<Service>>) {
    let staged = services.into_iter().map(|service| Arc::clone(service).into()).collect();
    registry.publish(Arc::default(), staged).await;
}

fn weights<'a>(weights: impl IntoIterator<Item = (&'a str, u32)>) -> proto::SetWeightsRequest {
    let weights = weights.into_iter().map(|(a, w)| (a.to_owned(), w));
    proto::SetWeightsRequest {
        service: "orders".into(),
        weights: weights.collect::<BTreeMap<_, _>>(),
        ..Default::default()
    }
}

fn drain(backend: &str) -> proto::DrainBackendRequest {
    proto::DrainBackendRequest {
        service: "orders".into(),
        backend: backend.into(),
        ..Default::default()
    }
}

fn undrain(backend: &str) -> proto::UndrainBackendRequest {
    proto::UndrainBackendRequest {
        service: "orders".into(),
        backend: backend.into(),
        ..Default::default()
    }
}

/// The revision, and for each backend its weight, effective weight and state.
type Settings = (u64, Vec<(u32, u32, BackendState)>);

fn settings(service: &proto::Service) -> Settings {
    let backend = |b: &proto::Backend| (b.weight, b.effective_weight, b.state());
    let backends = service.backends.iter().map(backend).collect();
    (service.revision, backends)
}

async fn get(client: &mut ControlClient<Channel>) -> proto::Service {
    let request = proto::GetServiceRequest { service: "orders".into(), since_revision: None };
    client.get_service(request).await.unwrap().into_inner()
}

/// What the data path balances by.
fn members(service: &Service) -> Vec<(String, u32)> {
    let snapshot = service.snapshot().load();
    let members = snapshot.set.members().iter();
    members.map(|m| (m.endpoint.address().to_owned(), m.weight)).collect()
}
