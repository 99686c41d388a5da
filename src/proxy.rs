//! The data path: from a client's stream to a backend's and back.

mod admission;
mod ambiguity;
mod caller;
mod connection_metrics;
mod exchange;
mod failure;
mod fields;
mod filter;
mod forwarded_headers;
mod front;
mod hash_key;
mod head_cache;
mod job_pool;
mod local_reply;
mod method_metrics;
mod mirror;
mod recent_durations;
mod request_log;
mod route_rejections;
mod streaming_methods;
mod unimplemented_methods;
mod waiting_requests;
mod worker_routing;
mod worker_service;
mod worker_snapshot;

pub(crate) use front::{Front, Proxy};
pub use method_metrics::{CallEnd, MethodMetrics};
pub use streaming_methods::{MethodHash, StreamingMethods};
