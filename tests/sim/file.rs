//! The configuration file of a run; reloads change it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use equipoise::balance::POLICIES;
use equipoise::config::{self, Plan};
use equipoise::text::ParamValue;

use super::retries::Retries;
use super::world::{SERVICES, Site};

/// A configuration.
#[derive(Clone)]
pub struct File {
    pub workers: usize,
    /// The policy of `orders`.
    pub balancer: Balancing,
    /// Idle timeouts of the listener and of the services.
    pub idle: [Duration; 2],
    /// The queue timeout at a backend.
    pub pending: Duration,
    /// Endpoints per service with warm connections.
    pub preconnect: u64,
    /// How long requests of backends that are removed may take, if there is a limit.
    pub drain: Option<Duration>,
    /// The panic threshold: below this percentage of healthy backends, unhealthy ones serve too.
    pub panic: u64,
    /// How long backends that are new or back start slowly; not at all if zero.
    pub slow_start: Duration,
    /// Whether outlier ejection is on.
    pub ejection: bool,
    /// Whether connections break, as those over HTTP/1.1 also do where there are retries. Where
    /// backends may be ejected for their answers, or be down, and there may be a panic, health checks
    /// find none unhealthy and operators eject none: all of that together may cause one.
    pub faults: bool,
    /// Weights by backend; `None` for those not in the file.
    pub weights: Vec<Option<u32>>,
    /// Whether the backends of `web` speak HTTP/1.1.
    pub web_http1: bool,
    /// Timeout of the routes that have one.
    pub timeout: Option<Duration>,
    /// Retries and hedging, if there are any.
    pub retries: Option<Retries>,
    /// An extra route that no request takes.
    pub extra: bool,
    /// Minimal connection windows, so that lost credit shows.
    pub narrow: bool,
}

impl File {
    /// How long an exchange may be idle, if there is a limit.
    pub fn limit(&self) -> Option<Duration> {
        self.idle.into_iter().filter(|limit| !limit.is_zero()).min()
    }

    /// Whether health checks and operators alone decide on a panic.
    pub fn panic_is_known(&self) -> bool {
        let ends = self.faults || (self.retries.is_some() && self.web_http1);
        self.panic == 0 || !(self.ejection || ends)
    }

    /// The parsed plan, with backends at `sites`.
    pub fn plan(&self, sites: &[Site]) -> Plan {
        let narrow = if self.narrow { ", connection_window: 64KiB" } else { "" };
        // Short, as simulated runs are.
        let ejection = match self.ejection {
            true => "{ consecutive: 2, time: 50ms, max_time: 400ms }",
            false => "false",
        };
        let [front, back] = self.idle.map(|idle| idle.as_millis());
        let mut yaml = format!(
            "workers: {}\nlisteners:\n  \
             - {{ address: 127.0.0.1:8080, limits: {{ stream_idle_timeout: {front}ms{narrow} }} }}\n\
             services:\n",
            self.workers,
        );
        for service in SERVICES {
            let balancer =
                if service == "orders" { self.balancer.yaml() } else { "p2c_ewma".into() };
            let protocol = match service {
                "web" if self.web_http1 => "http1",
                "web" => "http2",
                _ => "grpc",
            };
            write!(
                yaml,
                "  {service}:\n    protocol: {protocol}\n    balancer: {balancer}\n    \
                 connect_timeout: 2s\n    pending_timeout: {}ms\n    preconnect: {}\n    \
                 endpoint_drain_timeout: {}ms\n    \
                 health: {{ tcp: {{}} }}\n    ejection: {ejection}\n    panic: {}%\n    \
                 slow_start: {}s\n    \
                 limits: {{ stream_idle_timeout: {back}ms{narrow} }}\n",
                self.pending.as_millis(),
                self.preconnect,
                self.drain.unwrap_or_default().as_millis(),
                self.panic,
                self.slow_start.as_secs(),
            )
            .unwrap();
            yaml += &self.retries.map_or(String::new(), |retries| retries.of_service());
            yaml += "    endpoints:\n";
            for (site, weight) in sites.iter().zip(&self.weights) {
                if let Some(weight) = weight.filter(|_| site.service == service) {
                    let address = site.address;
                    writeln!(yaml, "      - {{ address: \"{address}\", weight: {weight} }}")
                        .unwrap();
                }
            }
        }
        yaml += &routes(self.timeout, self.retries);
        if self.extra {
            yaml += "  - { match: { path: /other }, service: orders }\n";
        }
        config::parse(&yaml, Path::new("")).unwrap_or_else(|report| panic!("{}", report.pretty()))
    }
}

/// The routes; those of `orders` and of pages have the timeout and the retries, if any.
fn routes(limit: Option<Duration>, retries: Option<Retries>) -> String {
    let limit =
        |key: &str| limit.map_or(String::new(), |it| format!(", {key}: {}ms", it.as_millis()));
    let (timeout, max_timeout) = (limit("timeout"), limit("max_timeout"));
    let retries = retries.map_or(String::new(), |retries| retries.of_route());
    format!(
        "routes:
  - {{ match: {{ grpc: shop.Orders }}, service: orders{timeout}{retries} }}
  - {{ name: split, match: {{ grpc: shop.Split }}, split: [ orders, canary ] }}
  - {{ match: {{ grpc: shop.Mirrored }}, service: orders, mirror: shadow{max_timeout}{retries} }}
  - {{ match: {{ grpc: shop.Web }}, service: web }}
  - {{ match: {{ path_prefix: /pages }}, service: web, rewrite: {{ prefix: /site }},
      request_headers: {{ set: {{ x-asked: by-pages }} }},
      response_headers: {{ set: {{ x-answered: by-pages }} }}{timeout}{retries} }}
  - {{ match: {{ path_prefix: /old }}, redirect: {{ prefix: /pages }} }}
"
    )
}
/// A policy and its settings.
#[derive(Clone)]
pub struct Balancing {
    pub policy: &'static str,
    pub settings: Vec<(String, ParamValue)>,
}

impl Balancing {
    /// A random policy.
    pub fn draw(rng: &mut fastrand::Rng) -> Balancing {
        let policy = POLICIES[rng.usize(..POLICIES.len())].name();
        let mut settings = Vec::new();
        let mut set = |key: &str, value| settings.push((key.to_owned(), value));
        match policy {
            "least_request" => set("choices", ParamValue::Text(rng.u8(2..5).to_string())),
            "consistent_hash" | "maglev" => {
                let header = ParamValue::Map(vec![("header".into(), "x-key".into())]);
                let source = ParamValue::Text("source_address".into());
                set("key", if rng.bool() { header } else { source });
                if rng.bool() {
                    set("bounded_load", ParamValue::Text("1.25".into()));
                }
                // Small, as each change rebuilds them.
                let (size, number) =
                    if policy == "maglev" { ("table_size", "1009") } else { ("replicas", "16") };
                set(size, ParamValue::Text(number.into()));
            }
            _ => {}
        }
        Balancing { policy, settings }
    }

    fn yaml(&self) -> String {
        let setting = |(key, value): &(String, ParamValue)| match value {
            ParamValue::Text(text) => format!(", {key}: {text}"),
            ParamValue::Map(pairs) => {
                let pairs: Vec<_> =
                    pairs.iter().map(|(key, text)| format!("{key}: {text}")).collect();
                format!(", {key}: {{ {} }}", pairs.join(", "))
            }
        };
        let settings: String = self.settings.iter().map(setting).collect();
        format!("{{ policy: {}{settings} }}", self.policy)
    }
}
