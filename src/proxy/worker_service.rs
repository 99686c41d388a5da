//! A service on one worker: the newest snapshot, and connection pools to its endpoints.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::admission::Admission;
use super::connection_metrics::UpstreamObserver;
use super::method_metrics::MethodMetrics;
use super::streaming_methods::StreamingMethods;
use super::unimplemented_methods::UnimplementedMethods;
use super::waiting_requests::WaitingRequests;
use super::worker_snapshot::WorkerSnapshot;
use crate::model::{Endpoint, EndpointId};
use crate::net::Worker;
use crate::service::{Service, ServiceSpec, Snapshot};
use crate::telemetry::WorkerMetrics;
use crate::upstream::{Dialer, Observer, Pool, UnreachableCount, Version};

/// One service on one worker.
pub struct WorkerService {
    worker: Rc<Worker>,
    observer: Rc<dyn Observer>,
    service: Arc<Service>,
    view: RefCell<Rc<WorkerSnapshot>>,
    pools: RefCell<BTreeMap<EndpointId, Rc<Pool>>>,
    /// Replaced pools, while they have requests in flight.
    replaced_pools: RefCell<Vec<Weak<Pool>>>,
    dialer: Arc<Dialer>,
    unreachable_count: Rc<UnreachableCount>,
    methods: Rc<StreamingMethods>,
    calls: Rc<MethodMetrics>,
    unimplemented: Rc<UnimplementedMethods>,
    /// Mirrored requests in flight to it.
    mirrored: Cell<usize>,
    waiting: WaitingRequests,
    /// Its limits, if it has or had any.
    admission: OnceCell<Rc<Admission>>,
}

impl WorkerService {
    pub fn new(
        worker: &Rc<Worker>,
        service: &Arc<Service>,
        snapshot: &Arc<Snapshot>,
        metrics: &Arc<WorkerMetrics>,
        dialer: &Arc<Dialer>,
        unreachable_count: &Rc<UnreachableCount>,
    ) -> WorkerService {
        let methods = Rc::<StreamingMethods>::default();
        let calls = Rc::new(MethodMetrics::new(service.methods(), worker.index()));
        let unimplemented = Rc::<UnimplementedMethods>::default();
        let known = (&methods, &calls, &unimplemented);
        let rng = worker.rng();
        let empty = Arc::clone(snapshot);
        let empty = WorkerSnapshot::new(empty, Box::default(), known, &mut rng.borrow_mut());
        let worker_service = WorkerService {
            worker: Rc::clone(worker),
            observer: Rc::new(UpstreamObserver::new(snapshot, metrics)),
            view: RefCell::new(Rc::new(empty)),
            pools: RefCell::default(),
            replaced_pools: RefCell::default(),
            dialer: Arc::clone(dialer),
            unreachable_count: Rc::clone(unreachable_count),
            methods,
            calls,
            unimplemented,
            mirrored: Cell::new(0),
            waiting: WaitingRequests::default(),
            admission: OnceCell::new(),
            service: Arc::clone(service),
        };
        worker_service.apply(snapshot);
        worker_service
    }

    /// The service.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Mirrored requests in flight to it.
    pub fn mirrored(&self) -> &Cell<usize> {
        &self.mirrored
    }

    /// The current snapshot.
    pub fn view(&self) -> Rc<WorkerSnapshot> {
        Rc::clone(&self.view.borrow())
    }

    /// Whether its backends speak gRPC.
    pub fn speaks_grpc(&self) -> bool {
        self.view.borrow().snapshot.spec.upstream.version != Version::Http1
    }

    /// Switches to `snapshot` if it is a new one.
    pub fn update(&self, snapshot: &Arc<Snapshot>) {
        if !Arc::ptr_eq(snapshot, &self.view.borrow().snapshot) {
            self.apply(snapshot);
            self.waiting.notify();
        }
    }

    /// Its requests that wait for a backend to be up again.
    pub fn waiting(&self) -> &WaitingRequests {
        &self.waiting
    }

    /// Its limits, if it has or had any.
    pub fn admission(&self) -> Option<&Rc<Admission>> {
        self.admission.get()
    }

    /// Whether the number of its streams is limited.
    pub fn limits_streams(&self) -> bool {
        let view = self.view.borrow();
        view.snapshot.spec.concurrency.as_ref().is_some_and(|it| it.max_streams.is_some())
    }

    /// Counts a request towards the retry budget.
    pub fn count_request(&self) {
        self.service.retry_budget().deposit(self.worker.index(), self.worker.now());
    }

    /// Whether the retry budget allows a retry; counts it if so.
    pub fn may_retry(&self) -> bool {
        let settings = self.view.borrow().snapshot.spec.retry_budget;
        self.service.retry_budget().withdraw(settings, self.worker.now())
    }

    /// Counts a retry of a request that a backend answered with UNIMPLEMENTED.
    pub fn count_unimplemented(&self) {
        self.service.unimplemented_retries().increment(self.worker.index());
    }

    fn apply(&self, snapshot: &Arc<Snapshot>) {
        self.retire_pools(snapshot);
        let members = snapshot.set.members().iter();
        let pools = members.map(|member| self.pool(&member.endpoint, snapshot)).collect();
        self.keep_connections(snapshot);
        self.apply_drain_deadlines(snapshot);
        self.restore_connections(snapshot);
        if snapshot.spec.concurrency.is_some() || self.admission.get().is_some() {
            let admission = || Admission::new(&self.worker, &self.service);
            self.admission.get_or_init(admission).apply(snapshot);
        }
        let known = (&self.methods, &self.calls, &self.unimplemented);
        let (snapshot, rng) = (Arc::clone(snapshot), self.worker.rng());
        let view = WorkerSnapshot::new(snapshot, pools, known, &mut rng.borrow_mut());
        *self.view.borrow_mut() = Rc::new(view);
    }

    /// Retires the pools of removed endpoints, or all pools if the connection settings changed.
    /// Requests in flight on them finish; those at removed endpoints within
    /// `endpoint_drain_timeout`.
    fn retire_pools(&self, snapshot: &Snapshot) {
        let before = Arc::clone(&self.view.borrow().snapshot.spec);
        let ServiceSpec { protocol, upstream, .. } = &*snapshot.spec;
        let same = before.protocol == *protocol && before.upstream == *upstream;
        let known: HashSet<_> = snapshot.endpoints.iter().map(|endpoint| endpoint.id()).collect();
        let mut replaced_pools = self.replaced_pools.borrow_mut();
        self.pools.borrow_mut().retain(|endpoint, pool| {
            let keep = same && known.contains(endpoint);
            if !keep {
                pool.retire();
                replaced_pools.push(Rc::downgrade(pool));
            }
            keep
        });
        replaced_pools.retain(|pool| {
            let Some(pool) = pool.upgrade() else { return false };
            let stays = known.contains(&pool.endpoint().id());
            if !stays {
                pool.drain_within(snapshot.spec.endpoint_drain_timeout);
            }
            stays
        });
    }

    /// Applies the drain deadlines of drained endpoints.
    fn apply_drain_deadlines(&self, snapshot: &Snapshot) {
        let limits: HashMap<_, _> = snapshot.drain_deadlines.iter().copied().collect();
        let limit = |pool: &Pool| pool.drain_by(limits.get(&pool.endpoint().id()).copied());
        self.pools.borrow().values().for_each(|pool| limit(pool));
        self.replaced_pools.borrow().iter().filter_map(Weak::upgrade).for_each(|pool| limit(&pool));
    }

    /// Retires all pools: the service was removed. Requests in flight, which hold a reference to
    /// this, finish within `endpoint_drain_timeout`.
    pub fn retire(&self) {
        let patience = self.view.borrow().snapshot.spec.endpoint_drain_timeout;
        let replaced_pools: Vec<_> =
            self.replaced_pools.borrow().iter().filter_map(Weak::upgrade).collect();
        for pool in self.pools.borrow().values().chain(&replaced_pools) {
            pool.retire();
            pool.drain_within(patience);
        }
    }

    /// Keeps warm connections to the endpoints that want one, each on one worker only.
    fn keep_connections(&self, snapshot: &Snapshot) {
        let ours = |endpoint: &&Arc<Endpoint>| endpoint.keeper() == self.worker.index();
        let preconnected: Vec<_> = snapshot.preconnected.iter().filter(ours).collect();
        for endpoint in &preconnected {
            self.pool(endpoint, snapshot);
        }
        let preconnected: HashSet<_> =
            preconnected.into_iter().map(|endpoint| endpoint.id()).collect();
        for (endpoint, pool) in &*self.pools.borrow() {
            pool.keep(preconnected.contains(endpoint));
        }
    }

    /// Has one of all workers reconnect to each endpoint that is down, and the others once it is up.
    fn restore_connections(&self, snapshot: &Snapshot) {
        let ours = |endpoint: &Endpoint| endpoint.keeper() == self.worker.index();
        for endpoint in snapshot.down.iter().filter(|endpoint| ours(endpoint)) {
            self.pool(endpoint, snapshot);
        }
        let down: HashSet<_> = snapshot.down.iter().map(|endpoint| endpoint.id()).collect();
        for (endpoint, pool) in &*self.pools.borrow() {
            pool.set_down(down.contains(endpoint), ours(pool.endpoint()));
        }
    }

    fn pool(&self, endpoint: &Arc<Endpoint>, snapshot: &Snapshot) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(endpoint.id()).or_insert_with(|| {
            let observer = Rc::clone(&self.observer);
            let settings = &snapshot.spec.upstream;
            let unreachable_count = (&self.unreachable_count, &snapshot.demand);
            Pool::new(&self.worker, endpoint, settings, observer, &self.dialer, unreachable_count)
        });
        Rc::clone(pool)
    }
}
