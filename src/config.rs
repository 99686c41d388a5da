//! Configuration: parses and validates YAML into a [`Plan`], or reports all errors at once.
//!
//! `node` builds a tree of values with source locations, `keys` declares every key as a row of
//! data, `read` parses mappings by these rows, and each section of the configuration has a file
//! that builds its part of the plan. Readers record errors and carry on; only a file without errors
//! becomes a plan.

mod certificate_names;
mod certificates;
mod concurrency;
mod control;
mod discover;
mod ejection;
mod etcd;
mod files;
mod filter;
mod health;
mod input;
mod keepalive;
mod keys;
mod kubernetes;
mod limits;
mod lint;
mod listener;
mod matching;
mod metrics;
mod node;
mod overrides;
mod pem;
mod plan;
mod policies;
mod read;
mod report;
mod retry;
mod revocations;
mod route;
mod salvage;
mod schema;
mod server_tls;
mod service;
mod tls;
mod tokens;
mod variables;
mod watch;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

pub(crate) use files::Sources;
pub(crate) use input::load_from;
pub use input::{load, parse};
pub use plan::Plan;
pub(crate) use plan::{
    AuditPlan, ControlPlaces, ControlPlan, ControlSocket, LogFormat, LogPlan, MetricsPlan,
    OverridesPlan,
};
pub use report::{Finding, Report};
pub use schema::schema;
pub use watch::Watch;

use crate::model::SocketAddress;
use crate::net::{ListenerSpec, ServerTls};
use crate::route::RouteTable;
use crate::service::{ServiceConfig, UpstreamProtocol};
use crate::telemetry::EntranceSettings;
use crate::text::keys::Keys;
use crate::upstream::OwnAddresses;
use files::Files;
use keys::{DNS, LOG, TOP};
use node::{Entry, Node, Value};
use read::{Fields, items};
use report::{Problems, Span};
use variables::Environment;

fn read(
    text: &str,
    path: &Path,
    files: &Files,
    environment: Environment<'_>,
) -> Result<Plan, Report> {
    let problems = Problems::default();
    let Some(root) = node::read(text, environment, &problems) else {
        return Err(problems.into_report(path, text));
    };
    let plan = plan(&root, files, &problems);
    let warnings = problems.finish(path, text)?;
    Ok(Plan { warnings, ..plan })
}

/// The keys at the top level of a file; nested mappings have their own.
pub fn keys() -> &'static dyn Keys {
    &TOP
}

/// Builds the plan as far as possible; it is valid if no problem was recorded.
fn plan(root: &Node, files: &Files, problems: &Problems) -> Plan {
    let fields = Fields::of(root, &TOP, problems);
    let mut workers = std::thread::available_parallelism().map_or(1, usize::from);
    fields.set(&TOP.workers, &mut workers);
    let mut bound = Vec::new();
    let listeners = listeners(&fields, files, &mut bound, problems);
    let control = fields.get(&TOP.control).map(|node| control::read(node, files, problems));
    let metrics = fields.get(&TOP.metrics).map(|node| metrics::read(node, files, problems));
    let (control, control_at) = control.unwrap_or_else(|| {
        let control = ControlPlan::default();
        let at = control.places.known().map(|address| (address, root.span)).collect();
        (control, at)
    });
    let (metrics, entrance, metrics_at) =
        metrics.unwrap_or((MetricsPlan::default(), EntranceSettings::default(), root.span));
    bound.extend(control_at);
    bound.push((metrics.address.clone(), metrics_at));
    listener::refuse_shared(&bound, problems);
    let entries = entries(fields.get(&TOP.services), problems);
    let zone = fields.optional(&TOP.zone);
    let own = service::OwnListeners {
        operators: OwnAddresses::new(control.places.known().chain([metrics.address.clone()])),
        clients: OwnAddresses::new(listeners.iter().map(|listener| listener.address.clone())),
    };
    let surroundings = service::Surroundings { own, zone };
    let service = |entry| service::service(entry, &surroundings, files, problems);
    let services = entries.iter().filter_map(service);
    let services: Vec<ServiceConfig> = services.collect();
    let http1 = services.iter().filter(|service| service.spec.protocol == UpstreamProtocol::Http1);
    let http1 = http1.map(|service| &*service.spec.name).collect();
    let routes = routes(&fields, entries, &http1, problems);
    let asked =
        |listener: &ListenerSpec| listener.tls.as_ref().is_some_and(ServerTls::asks_clients);
    if !listeners.iter().any(asked) {
        lint::clients(fields.get(&TOP.routes), problems);
    }
    let dns_servers = fields.get(&TOP.dns).map(|node| dns(node, problems)).unwrap_or_default();
    let overrides = fields.get(&TOP.overrides).map(|node| overrides::read(node, files, problems));
    let audit = fields.get(&TOP.audit).map(|node| overrides::audit(node, files, problems));
    let log = fields.get(&TOP.log).map(|node| log_plan(node, problems));
    let drain_delay = fields.value(&TOP.drain_delay);
    let drain_timeout = fields.value(&TOP.drain_timeout);
    let worker_buffer = fields.value(&TOP.worker_buffer);
    let flow_pause = fields.value(&TOP.flow_pause);
    fields.finish();
    Plan {
        workers,
        listeners,
        control,
        metrics,
        entrance,
        services,
        routes: Arc::new(routes),
        dns_servers,
        drain_delay,
        drain_timeout,
        worker_buffer,
        flow_pause,
        log: log.unwrap_or_default(),
        overrides: overrides.unwrap_or_default(),
        audit: audit.flatten(),
        sources: Sources::default(),
        certificates: Vec::new(),
        warnings: Vec::new(),
    }
}

fn listeners(
    fields: &Fields<'_>,
    files: &Files,
    bound: &mut Vec<(SocketAddress, Span)>,
    problems: &Problems,
) -> Vec<ListenerSpec> {
    let read = |node| {
        let (plan, span) = listener::listener(node, files, problems)?;
        bound.push((plan.address.clone(), span));
        Some(plan)
    };
    fields.items(&TOP.listeners).iter().filter_map(read).collect()
}

/// The entries of `services`.
fn entries<'a>(node: Option<&'a Node>, problems: &Problems) -> &'a [Entry] {
    let Some(node) = node else { return &[] };
    match &node.value {
        Value::Map(entries) => entries,
        Value::Null => &[],
        Value::Unknown(_) | Value::Scalar(_) | Value::Seq(_) => {
            let help = "write each service under its name: `orders: { endpoints: [ … ] }`";
            read::unfit(node, "a mapping from names to services is wanted", help, problems);
            &[]
        }
    }
}

fn routes(
    fields: &Fields<'_>,
    services: &[Entry],
    http1: &HashSet<&str>,
    problems: &Problems,
) -> RouteTable {
    let by_name = services.iter().enumerate().map(|(index, entry)| (&*entry.key, index));
    let by_name: HashMap<&str, usize> = by_name.collect();
    let mut routes = route::Routes::new(&by_name, http1, problems);
    if let Some(node) = fields.get(&TOP.routes) {
        let before = problems.count();
        let listed = items(node, problems);
        listed.iter().for_each(|node| routes.add(node));
        if listed.is_empty() && problems.count() == before {
            problems.warn(
                node.span,
                "there are no routes",
                "every request is refused until there are",
            );
            return routes.finish().0;
        }
    }
    let (table, used) = routes.finish();
    for (entry, _) in services.iter().zip(used).filter(|(_, used)| !used) {
        let message = format!("no route goes to service `{}`", entry.key);
        problems.warn(entry.span, message, "add one, or remove the service");
    }
    table
}

/// `dns`: the name servers.
fn dns(node: &Node, problems: &Problems) -> Vec<SocketAddr> {
    let fields = Fields::of(node, &DNS, problems);
    let servers = fields.list(&DNS.servers);
    fields.finish();
    servers
}

fn log_plan(node: &Node, problems: &Problems) -> LogPlan {
    let mut log = LogPlan::default();
    let fields = Fields::of(node, &LOG, problems);
    fields.set(&LOG.format, &mut log.format);
    fields.set(&LOG.level, &mut log.level);
    fields.set(&LOG.buffer, &mut log.buffer);
    fields.finish();
    problems.log_as(log.format);
    log
}

#[cfg(test)]
mod tests;
