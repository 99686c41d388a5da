//! Connections to one endpoint on one worker.

mod connect;
mod pool;
mod settings;

pub use connect::ConnectError;
pub use pool::{Observer, OpenError, Outages, Pool};
pub use settings::{Settings, Tls, Version};
