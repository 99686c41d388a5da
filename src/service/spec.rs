//! A service as the configuration describes it, validated.

use std::sync::Arc;

use crate::balance::Factory;
use crate::upstream;

/// The largest weight an endpoint may have.
pub const MAX_WEIGHT: u32 = 1000;

/// What the endpoints of a service speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// gRPC over HTTP/2.
    #[default]
    Grpc,
    /// HTTP/2.
    Http2,
}

/// A service's policy, ready to build pickers.
#[derive(Clone, Debug)]
pub struct Balancer {
    /// The policy's name.
    pub policy: &'static str,
    /// The configured policy.
    pub factory: Arc<dyn Factory>,
}

/// An instance as the configuration lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// `host:port`.
    pub address: String,
    /// 0..=[`MAX_WEIGHT`].
    pub weight: u32,
}

/// A service as the configuration describes it.
#[derive(Clone, Debug)]
pub struct ServiceSpec {
    /// Its name, unique.
    pub name: String,
    /// What its endpoints speak.
    pub protocol: UpstreamProtocol,
    /// How requests are spread.
    pub balancer: Balancer,
    /// Its instances, addresses unique.
    pub endpoints: Vec<EndpointSpec>,
    /// How connections to them are made.
    pub upstream: upstream::Settings,
}
