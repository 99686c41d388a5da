//! Values that every layer speaks of. No async, no I/O, no serde, no clock.

mod address;
mod certificate;
mod copied;
mod endpoint;
mod expired;
mod forwarding;
mod hash;
mod load;
mod method;
mod outage;
mod outcome;
mod place;
mod refusal;
mod rejected;
mod streams;
mod time;
pub mod version;
mod worker_stats;

pub use address::Address;
pub use certificate::Certificate;
pub use copied::{Copied, CopyCounts};
pub use endpoint::{ConnectionCount, Endpoint, EndpointId, EndpointSet, Member};
pub use expired::{Expired, ExpiredCounts};
pub use forwarding::{ForwardedHeaders, Forwarding};
pub use hash::{rehashed, stable_hash};
pub use load::{EwmaParams, ExchangeClass, Load};
pub use method::MethodStats;
pub use outage::Outage;
pub use outcome::{Break, Class, Code, Ending, GRPC_CODES, GrpcCode, Protocol};
pub use place::{Peer, Place};
pub use refusal::{Refusal, Refusals};
pub use rejected::{RejectCounts, RejectTotals, Rejected};
pub use streams::OpenStreams;
pub use time::Time;
pub use worker_stats::{StatTotals, WorkerStats};
