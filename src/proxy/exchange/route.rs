//! Routes a request: finds its route, its share of a split, and its service.

use std::rc::Rc;
use std::time::Duration;

use super::super::failure::Failure;
use super::super::route_rejections::RouteRejections;
use super::super::worker_routing::WorkerRouting;
use super::super::worker_service::WorkerService;
use super::super::{fields, filter, mirror};
use super::{Exchange, Stage};
use crate::http::{Headers, Name};
use crate::net::Origin;
use crate::route::{Filters, Forward, Policies, Redirect, Route, RouteQuery, Share};

/// The route of a request, and the service that it leads to.
pub struct Destination {
    worker_routing: Rc<WorkerRouting>,
    /// Index of the route.
    route: u32,
    /// Index of the share in the route's split, if it leads to a service.
    share: Option<u32>,
}

impl Destination {
    fn route(&self) -> Option<&Route> {
        self.worker_routing.routes().route(self.route as usize)
    }

    fn forward(&self) -> Option<&Forward> {
        match self.route()? {
            Route::Forward(forward) => Some(forward),
            Route::Redirect(_) => None,
        }
    }

    /// The policies of the route, unless it is a redirect.
    pub fn policies(&self) -> Option<&Policies> {
        Some(&self.forward()?.policies)
    }

    fn share(&self) -> Option<&Share> {
        self.forward()?.split.shares().get(self.share? as usize)
    }

    /// The redirect, if the route is one.
    pub fn redirect(&self) -> Option<&Redirect> {
        match self.route()? {
            Route::Redirect(redirect) => Some(redirect),
            Route::Forward(_) => None,
        }
    }

    /// The service, unless the route is a redirect or the service has no backend.
    pub fn worker_service(&self) -> Option<&Rc<WorkerService>> {
        self.worker_routing.worker_service(self.share()?.service)
    }

    /// The filters of request and response heads.
    pub fn filters(&self) -> Option<&Filters> {
        let own = self.share()?.filters.as_deref();
        own.or(self.forward()?.policies.filters.as_ref())
    }

    /// The route's timeout for a request with this head. Declared streams have none.
    pub fn time_limit(&self, grpc: bool, head: &Headers) -> Option<Duration> {
        let limit = self.forward()?.policies.time_limit()?;
        let streams = || {
            let path = head.get(Name::Path).unwrap_or_default();
            grpc && self
                .worker_service()
                .is_some_and(|worker_service| worker_service.view().declares_stream(path))
        };
        (!streams()).then_some(limit)
    }

    /// The route's policy stages.
    pub fn stages(&self) -> &[Box<dyn Stage>] {
        self.worker_routing.stages(self.route as usize)
    }

    /// The route's rejection counters.
    pub fn rejections(&self) -> Option<&Rc<RouteRejections>> {
        self.worker_routing.rejections(self.route as usize)
    }
}

impl Exchange {
    /// Finds the destination. Set even if the request then fails, so that its rejection is counted
    /// there.
    pub(super) fn route(&self) -> Result<&Destination, Failure> {
        let head = self.head.borrow();
        if self.front.conn().is_http1() && fields::is_grpc(&head) {
            return Err(Failure::GrpcOverHttp1);
        }
        if head.get(Name::Method) == Some(b"CONNECT") {
            return Err(Failure::ConnectMethod);
        }
        let fields = fields::HeadFields(&head);
        let query = || RouteQuery {
            authority: fields::authority(&head),
            path: head.get(Name::Path).unwrap_or_default(),
            method: head.get(Name::Method).unwrap_or_default(),
            grpc: self.grpc,
            fields: &fields,
        };
        let worker_routing = self.proxy.router.current();
        let found = worker_routing.find(&head, query);
        let Some((route, rule)) = found.and_then(|n| Some((n, worker_routing.routes().route(n)?)))
        else {
            return Err(Failure::no_route(&head));
        };
        let share = match rule {
            Route::Forward(forward) => self.choose_share(forward, &head),
            Route::Redirect(_) => None,
        };
        let (route, share) = (route as u32, share.map(|share| share as u32));
        let destination = Destination { worker_routing: Rc::clone(&worker_routing), route, share };
        let destination = self.destination.get_or_init(|| destination); // set once per exchange
        match rule {
            Route::Redirect(_) if self.grpc => Err(Failure::GrpcRedirect),
            Route::Redirect(_) => Ok(destination),
            Route::Forward(forward) if !self.is_allowed(forward) => Err(Failure::Forbidden),
            Route::Forward(_) => match destination.worker_service() {
                None => Err(Failure::NoBackend),
                Some(service) if self.grpc && !service.speaks_grpc() => Err(Failure::GrpcToHttp1),
                Some(_) => Ok(destination),
            },
        }
    }

    /// Whether the route is for this client. The certificate was read when the connection began.
    fn is_allowed(&self, forward: &Forward) -> bool {
        let allowed = &forward.policies.allowed_clients;
        let client = || self.front.conn().origin().and_then(Origin::client);
        allowed.is_empty() || client().is_some_and(|client| client.is_one_of(allowed))
    }

    fn choose_share(&self, forward: &Forward, head: &Headers) -> Option<usize> {
        let key = forward.split_by.as_deref().and_then(|name| head.get_named(name.as_bytes()));
        let key = key.filter(|key| !key.is_empty());
        forward.split.choose(key, &mut self.proxy.worker.rng().borrow_mut())
    }

    /// Applies the route's filters to the head, and starts a mirrored copy if the route has a
    /// mirror.
    pub(super) fn apply_route(&self, destination: &Destination) {
        if let Some(worker_service) = destination.worker_service() {
            worker_service.count_request();
        }
        if let Some(filters) = destination.filters() {
            filter::request(filters, &mut self.head.borrow_mut(), &self.proxy.worker);
        }
        let mirror = destination.forward().and_then(|forward| forward.mirror.as_ref());
        // An upgraded connection has no body that could be mirrored.
        if let Some(mirror) = mirror.filter(|_| !self.is_upgrade()) {
            mirror::start(self, mirror, &destination.worker_routing);
        }
    }
}
