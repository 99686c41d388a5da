//! Upstream connection pools: connections to one endpoint on one worker.

mod candidates;
mod connect;
mod demand;
mod dialer;
mod own;
mod pool;
mod probe;
mod resolver;
mod settings;
mod spiffe;

pub use connect::ConnectError;
pub use demand::Demand;
pub use dialer::Dialer;
pub use own::OwnAddresses;
pub use pool::OpenError;
pub(crate) use pool::{Observer, Pool, UnreachableCount};
pub use probe::Stream;
pub use resolver::Resolver;
pub use settings::Settings;
pub(crate) use settings::{Tls, Version};
pub(crate) use spiffe::SpiffeVerifier;
