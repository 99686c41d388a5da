//! Where requests go: the routes, and the services that they speak of.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Service, Splits};
use crate::model::RouteTable;

/// Where requests go. Never changes; a new configuration makes a new one, and a request keeps
/// what it began with.
#[derive(Debug, Default)]
pub struct Routing {
    /// The routes. They speak of services by index.
    pub routes: Arc<RouteTable>,
    /// The services, by that index.
    pub services: Box<[Arc<Service>]>,
    /// How the routes split their requests, and what of that operators want.
    pub splits: Splits,
}

/// A worker's own reference to the newest routing; `load` costs one comparison of pointers.
pub type RoutingCache = arc_swap::Cache<Arc<ArcSwap<Routing>>, Arc<Routing>>;
