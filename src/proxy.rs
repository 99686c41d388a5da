//! The data path: from a client's stream to a backend's and back.

mod budget;
mod by_tag;
mod calls;
mod exchange;
mod fields;
mod filter;
mod forwarded;
mod front;
mod key;
mod lane;
mod methods;
mod mirror;
mod observe;
mod reject;
mod request_line;
mod routed;
mod tally;
mod target;

pub use calls::{Calls, End};
pub(crate) use front::{Front, Proxy};
pub use methods::{Method, Methods};
