//! gRPC over HTTP/2, as far as a gateway has to read it. No async, no I/O, no clock.

mod messages;
mod timeout;

pub(crate) use messages::MessageCounter;
pub use timeout::{TimeoutText, parse_timeout};
