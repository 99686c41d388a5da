//! The downstream side: hands each incoming request to a job of the worker.

use std::rc::Rc;
use std::sync::Arc;

use super::exchange::Exchange;
use super::lane::{Lanes, Request};
use super::observe::reason;
use super::reject::Failure;
use super::routed::Router;
use crate::http::{Headers, Refusals, Refused};
use crate::model::Rejected;
use crate::net::{self, Closed, Stream, Worker};
use crate::service::Registry;
use crate::telemetry::{Side, WorkerMetrics};
use crate::upstream::Dialer;

/// The data path of one worker.
pub struct Proxy {
    pub(super) worker: Rc<Worker>,
    pub(super) router: Router,
    pub(super) registry: Arc<Registry>,
    pub(super) lanes: Lanes,
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
            lanes: Lanes::default(),
            metrics: Arc::clone(metrics),
        })
    }

    /// Applies the newest routing even if no request comes.
    pub fn refresh(&self) {
        self.router.refresh();
    }
}

/// Handler of the clients' connections.
pub struct Front(pub Rc<Proxy>);

impl net::Front for Front {
    fn request(&self, stream: Rc<Stream>, headers: Headers, end: bool) {
        self.0.lanes.carry(&self.0, Request { front: stream, head: headers, end });
    }

    fn oversized(&self, stream: Rc<Stream>, headers: Headers) {
        Exchange::accept(&self.0, stream, headers, true).refuse_unheard(Failure::TooLarge);
    }

    fn refused(&self, refusals: Refusals) {
        for (why, times) in refusals.iter() {
            let reason = match why {
                Refused::Malformed => Rejected::Malformed,
                Refused::TooLarge => Rejected::TooLarge,
                Refused::TooManyStreams => Rejected::TooManyStreams,
                Refused::Leaving => Rejected::ShuttingDown,
            };
            (0..times).for_each(|_| self.0.metrics.reject(reason));
        }
    }

    fn opened(&self) {
        self.0.metrics.connection_opened(Side::Downstream);
    }

    fn closed(&self, why: Closed) {
        self.0.metrics.connection_closed(Side::Downstream, reason(why));
    }
}
