//! Values that every layer speaks of. No async, no I/O, no serde, no clock.

pub mod address;
mod copied;
mod counter;
mod endpoint;
pub mod forwarding;
mod hash;
mod histogram;
mod listed;
mod load;
mod outcome;
mod params;
pub mod route;
mod similar;
mod stats;
mod streams;
mod time;
pub mod units;
pub mod version;
mod window;

pub use copied::{Copied, CopyCounts};
pub use counter::WorkerCounter;
pub use endpoint::{ConnectionCount, Endpoint, EndpointSet, Member};
pub use forwarding::{ForwardedHeaders, Forwarding};
pub use hash::{rehashed, stable_hash};
pub use histogram::{BOUNDS, Counts, Histogram, QUANTILE_ERROR};
pub use listed::{LISTED, listed};
pub use load::{EwmaParams, ExchangeClass, Load};
pub use outcome::{Break, Class, Code, Ending, GRPC_CODES, GrpcCode, Protocol};
pub use params::{BadParam, BadParams, ParamValue, Params};
pub use route::{Route, RouteQuery, RouteTable};
pub use similar::{nearest, suggestion};
pub(crate) use stats::increment;
pub use stats::{Direction, StatTotals, StreamTotals, WorkerStats};
pub use streams::OpenStreams;
pub use time::Time;
pub use window::{Window, WindowStats};
