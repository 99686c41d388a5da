//! The data path: a request's way from a client's stream to a backend's and back.

mod attempt;
mod budget;
mod calls;
mod fields;
mod filter;
mod forward;
mod forwarded;
mod front;
mod key;
mod lane;
mod methods;
mod mirror;
mod news;
mod observe;
mod reject;
mod relay;
mod request_line;
mod routed;
mod stream_watch;
mod tally;
mod target;
mod tried;

pub use calls::{Called, Calls, End};
pub use front::{Front, Proxy};
pub use methods::{Method, Methods};
