//! gRPC over HTTP/2: what a gateway parses of it. No async, no I/O, no clock.

mod messages;
mod timeout;

pub(crate) use messages::MessageCounter;
pub use timeout::{TimeoutText, parse_timeout};
