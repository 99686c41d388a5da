//! Observability: Prometheus metrics, health endpoints and the log.
//!
//! The hot path writes plain counters (on [`Endpoint`](crate::model::Endpoint)s and in
//! [`WorkerMetrics`]); everything here that reads or formats them runs off it.

mod budget;
mod certificates;
mod encoding;
mod export;
mod fold;
mod health;
mod http;
mod known;
pub mod log;
mod methods;
pub mod names;
mod own;
mod page;
mod places;
mod refused;
mod rejected;
mod reloads;
mod series;
mod server;
mod services;
mod settings;
mod worker;

pub use certificates::Certificates;
pub use encoding::{Encoding, Format};
pub use export::{BackendSample, CounterId, Exporter, ServiceCounter, ServiceSample, Source};
pub use health::Health;
pub use http::Readiness;
pub(crate) use places::{Activity, Places};
pub use refused::{RefusedConnections, RefusedSample};
pub use reloads::ReloadSample;
pub(crate) use reloads::Reloads;
pub use server::Server;
pub use settings::{MetricsSettings, ResponseStart};
pub use worker::{Closed, Side, WorkerMetrics};
