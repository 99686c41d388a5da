//! Every key of the configuration as data, one row a key, from which the reader, the reference page
//! and the schema derive what is valid. The settings of policies are rows too, beside each policy.

mod concurrency;
mod control;
mod discover;
mod ejection;
mod etcd;
mod gateway;
mod health;
mod keepalive;
mod limits;
mod listener;
pub mod pattern;
mod retry;
mod route;
mod service;
mod texts;
mod tls;

use std::time::Duration;

pub use concurrency::{CALLER, CONCURRENCY, RATE_LIMIT, WEIGHT};
pub use control::{CONTROL, CONTROL_ROLE};
pub use discover::{DISCOVER, DISCOVER_DNS, DISCOVER_FILE, DISCOVER_KUBERNETES};
pub use ejection::EJECTION;
pub use etcd::DISCOVER_ETCD;
pub use gateway::{AUDIT, DNS, JOURNAL, LOG, OVERRIDES, TOP};
pub use health::{HEALTH, HEALTH_GRPC, HEALTH_HTTP, HEALTH_TCP, Initial};
pub use keepalive::KEEPALIVE;
pub use limits::{CLIENT_LIMITS, LIMITS};
pub use listener::{FORWARDED, LISTENER, METRICS, PROXY_PROTOCOL};
pub use retry::{BACKOFF, HEDGE, RETRY, RETRY_BUDGET};
pub use route::{
    EDITS, FILTERS, MATCH, MIRROR, REDIRECT, REWRITE, ROUTE, SHARE, SPLIT_BY, Scheme, VALUE,
};
pub use service::{BALANCER, ENDPOINT, SERVICE};
pub use tls::{
    CERTIFICATE, CLIENT_TLS, ClientAuth, ExpiredLists, MissingLists, SERVER_TLS, TlsVersion,
    UnknownNames,
};

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
