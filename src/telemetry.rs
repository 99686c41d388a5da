//! Observability: Prometheus metrics, health endpoints and the log.
//!
//! The hot path writes plain counters (on [`Endpoint`](crate::model::Endpoint)s and in
//! [`WorkerMetrics`]); everything here that reads or formats them runs off it.

mod audit;
mod cardinality;
mod certificates;
mod connection_slots;
mod control;
mod encoding;
mod entrance;
mod export;
mod health;
mod hosts;
mod http;
mod journal;
pub mod log;
pub mod names;
mod page;
mod process;
mod refused;
mod rejected;
mod reloads;
mod server;
mod services;
mod settings;
mod worker;

pub use audit::AuditSample;
pub use certificates::Certificates;
pub(crate) use connection_slots::{Activity, ConnectionSlots};
pub use encoding::{Encoding, Format};
pub use entrance::{Entrance, EntranceSettings};
pub use export::{
    BackendSample, CounterId, Exporter, MetricsSource, RetrySample, ServiceCounter, ServiceSample,
    SourceSample,
};
pub use health::Health;
pub use hosts::{AllowedHost, AllowedHosts};
pub use http::Readiness;
pub use journal::JournalSample;
pub use refused::{RefusedConnections, RefusedSample};
pub use reloads::ReloadSample;
pub(crate) use reloads::Reloads;
pub use server::Server;
pub use services::ConcurrencySample;
pub use settings::{MetricsSettings, ResponseStart};
pub use worker::{CloseReason, Side, WorkerMetrics};
