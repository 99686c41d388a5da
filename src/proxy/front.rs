//! The downstream side: hands each incoming request to a job of the worker.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;

use super::connection_metrics::close_reason;
use super::exchange::Exchange;
use super::failure::Failure;
use super::job_pool::{JobPool, Request};
use super::worker_routing::Router;
use crate::http::{Headers, Refused, RefusedRequests};
use crate::model::RejectReason;
use crate::net::{self, Closed, Stream, Worker};
use crate::service::Registry;
use crate::telemetry::{Side, WorkerMetrics};
use crate::upstream::Dialer;

/// The data path of one worker.
pub struct Proxy {
    pub(super) worker: Rc<Worker>,
    pub(super) router: Router,
    pub(super) registry: Arc<Registry>,
    pub(super) jobs: JobPool,
    pub(super) metrics: Arc<WorkerMetrics>,
}

impl Proxy {
    /// The data path of `worker` to the services of `registry`.
    pub fn new(
        worker: &Rc<Worker>,
        registry: &Arc<Registry>,
        metrics: &Arc<WorkerMetrics>,
        dialer: &Arc<Dialer>,
    ) -> Rc<Proxy> {
        Rc::new(Proxy {
            worker: Rc::clone(worker),
            router: Router::new(worker, registry, metrics, dialer),
            registry: Arc::clone(registry),
            jobs: JobPool::default(),
            metrics: Arc::clone(metrics),
        })
    }

    /// Notifies of every change of the routing.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.registry.changes()
    }

    /// Applies the newest routing even if no request comes.
    pub fn refresh(&self) {
        self.worker.read_clock();
        self.router.refresh();
    }
}

/// Handler of the clients' connections.
pub struct Front(pub Rc<Proxy>);

impl net::Front for Front {
    fn request(&self, stream: Rc<Stream>, headers: Headers, end: bool) {
        self.0.jobs.serve(&self.0, Request { front: stream, head: headers, end });
    }

    fn oversized(&self, stream: Rc<Stream>, headers: Headers) {
        Exchange::accept(&self.0, stream, headers, true).reject(Failure::TooLarge);
    }

    fn refused(&self, refusals: RefusedRequests) {
        for (why, times) in refusals.iter() {
            let reason = match why {
                Refused::Malformed => RejectReason::Malformed,
                Refused::TooLarge => RejectReason::TooLarge,
                Refused::TooManyStreams => RejectReason::TooManyStreams,
                Refused::Leaving => RejectReason::ShuttingDown,
            };
            (0..times).for_each(|_| self.0.metrics.reject(reason));
        }
    }

    fn opened(&self) {
        self.0.metrics.connection_opened(Side::Downstream);
    }

    fn closed(&self, why: Closed) {
        self.0.metrics.connection_closed(Side::Downstream, close_reason(why));
    }
}
