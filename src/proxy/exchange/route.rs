//! Where a request goes.

use std::rc::Rc;
use std::time::Duration;

use super::super::reject::Failure;
use super::super::routed::Routed;
use super::super::tally::RouteTally;
use super::super::target::Target;
use super::super::{fields, filter, mirror};
use super::{Exchange, Stage};
use crate::http::{Headers, Name};
use crate::route::{Filters, Forward, Redirect, Route, RouteQuery, Share};

/// Where the route of a request leads.
pub struct Destination {
    routed: Rc<Routed>,
    /// The number of the route.
    route: usize,
    /// The number of the share of its requests that this is one of, if it goes to a service.
    share: Option<usize>,
}

impl Destination {
    fn route(&self) -> Option<&Route> {
        self.routed.routes().route(self.route)
    }

    fn forward(&self) -> Option<&Forward> {
        match self.route()? {
            Route::Forward(forward) => Some(forward),
            Route::Redirect(_) => None,
        }
    }

    fn share(&self) -> Option<&Share> {
        self.forward()?.split.shares().get(self.share?)
    }

    /// Where the route sends clients instead of a service.
    pub fn redirect(&self) -> Option<&Redirect> {
        match self.route()? {
            Route::Redirect(redirect) => Some(redirect),
            Route::Forward(_) => None,
        }
    }

    /// The service that the request is for, if it is for one.
    pub fn target(&self) -> Option<&Rc<Target>> {
        self.routed.target(self.share()?.service)
    }

    /// What is done to the head of the request, and of the response.
    pub fn filters(&self) -> Option<&Filters> {
        let own = self.share()?.filters.as_deref();
        own.or(self.forward()?.policies.filters.as_ref())
    }

    /// How long a request with this head may take, if its route says that.
    pub fn time_limit(&self, grpc: bool, head: &Headers) -> Option<Duration> {
        let limit = self.forward()?.policies.time_limit()?;
        let streams = || {
            let path = head.get(Name::Path).unwrap_or_default();
            grpc && self.target().is_some_and(|target| target.view().declares_stream(path))
        };
        (!streams()).then_some(limit)
    }

    /// What it has to pass.
    pub fn stages(&self) -> &[Box<dyn Stage>] {
        self.routed.stages(self.route)
    }

    /// What is counted of the route.
    pub fn tally(&self) -> Option<&Rc<RouteTally>> {
        self.routed.tally(self.route)
    }
}

impl Exchange {
    /// Finds where it goes. It is counted there from now on, also if that is nowhere.
    pub(super) fn route(&self) -> Result<&Destination, Failure> {
        let head = self.head.borrow();
        if self.front.conn().is_http1() && fields::is_grpc(&head) {
            return Err(Failure::GrpcOverHttp1);
        }
        if head.get(Name::Method) == Some(b"CONNECT") {
            return Err(Failure::ConnectMethod);
        }
        let fields = fields::Asked(&head);
        let query = || RouteQuery {
            authority: fields::authority(&head),
            path: head.get(Name::Path).unwrap_or_default(),
            method: head.get(Name::Method).unwrap_or_default(),
            grpc: self.grpc,
            fields: &fields,
        };
        let routed = self.proxy.router.current();
        let found = routed.find(&head, query);
        let Some((route, rule)) = found.and_then(|n| Some((n, routed.routes().route(n)?))) else {
            return Err(Failure::no_route(&head));
        };
        let share = match rule {
            Route::Forward(forward) => self.choose(forward, &head),
            Route::Redirect(_) => None,
        };
        let destination = Destination { routed: Rc::clone(&routed), route, share };
        let destination = self.destination.get_or_init(|| destination); // it is routed once
        match rule {
            Route::Redirect(_) if self.grpc => Err(Failure::GrpcRedirect),
            Route::Forward(_) if destination.target().is_none() => Err(Failure::NoBackend),
            Route::Forward(_) | Route::Redirect(_) => Ok(destination),
        }
    }

    fn choose(&self, forward: &Forward, head: &Headers) -> Option<usize> {
        let key = forward.split_by.as_deref().and_then(|name| head.get_named(name.as_bytes()));
        let key = key.filter(|key| !key.is_empty());
        forward.split.choose(key, &mut self.proxy.worker.rng().borrow_mut())
    }

    /// Does with the request what its route wants besides: its head becomes that which a backend
    /// gets, and a mirror gets a copy.
    pub(super) fn apply_route(&self, destination: &Destination) {
        if let Some(target) = destination.target() {
            target.count_request();
        }
        if let Some(filters) = destination.filters() {
            filter::request(filters, &mut self.head.borrow_mut(), &self.proxy.worker);
        }
        let mirror = destination.forward().and_then(|forward| forward.mirror.as_ref());
        // What another protocol brings is no body that could be copied.
        if let Some(mirror) = mirror.filter(|_| !self.is_upgrade()) {
            mirror::start(self, mirror, &destination.routed);
        }
    }
}
