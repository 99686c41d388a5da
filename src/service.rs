//! One service at run time.

mod spec;

pub use spec::{Balancer, EndpointSpec, MAX_WEIGHT, ServiceSpec, UpstreamProtocol};
