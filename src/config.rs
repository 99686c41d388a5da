//! The configuration: YAML in, a validated [`Plan`] out, or everything that is wrong at once.
//!
//! `node` makes a tree that knows its places, `read` takes mappings apart key by key, and one
//! file for each part of the configuration says what may stand there. Problems are noted and the
//! reading goes on; only a file without any becomes a plan.

mod certificates;
mod doubt;
mod files;
mod filter;
mod input;
mod limits;
mod listener;
mod matching;
mod metrics;
mod node;
mod pem;
mod plan;
mod read;
mod report;
mod route;
mod salvage;
mod service;
mod tls;
mod variables;
mod watch;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use files::Sources;
pub use input::{load, load_from, parse};
pub use plan::{ControlPlan, LogFormat, LogPlan, MetricsPlan, Plan};
pub use report::{Finding, Report};
pub use watch::Watch;

use crate::model::{Place, RouteTable, address};
use crate::net::ListenerSpec;
use crate::service::{ServiceConfig, UpstreamProtocol};
use crate::telemetry::log;
use crate::upstream::OwnAddresses;
use files::Files;
use node::{Entry, Node, Value};
use read::{Fields, count, duration, items, scalar, size, some_items, word};
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

/// As much of a plan as can be read; it holds if no problem was noted.
fn plan(root: &Node, files: &Files, problems: &Problems) -> Plan {
    let mut fields = Fields::of(root, problems);
    let mut workers = std::thread::available_parallelism().map_or(1, usize::from);
    fields.set("workers", &mut workers, count(1..=1024));
    let mut bound = Vec::new();
    let listeners = listeners(&mut fields, files, &mut bound, problems);
    let control = fields.get("control").map(|node| listener::control(node, problems));
    let metrics = fields.get("metrics").map(|node| listener::metrics(node, problems));
    let (control, control_at) = control.unwrap_or((ControlPlan::default(), root.span));
    let (metrics, metrics_at) = metrics.unwrap_or((MetricsPlan::default(), root.span));
    bound.extend([(control.address.clone(), control_at), (metrics.address.clone(), metrics_at)]);
    listener::refuse_shared(&bound, problems);
    let help = "add `services:` with the backends of each under its name";
    let entries = entries(fields.require_list("services", help), problems);
    let own = service::Own {
        operators: OwnAddresses::new([control.address.clone(), metrics.address.clone()]),
        clients: OwnAddresses::new(listeners.iter().map(|listener| listener.address.clone())),
    };
    let service = |entry| service::service(entry, &own, files, problems);
    let services = entries.iter().filter_map(service);
    let services: Vec<ServiceConfig> = services.collect();
    let http1 = services.iter().filter(|service| service.spec.protocol == UpstreamProtocol::Http1);
    let http1 = http1.map(|service| &*service.spec.name).collect();
    let routes = routes(&mut fields, entries, &http1, problems);
    let mut drain_timeout = Duration::from_secs(30);
    let some_time = duration(Duration::ZERO..=Duration::from_secs(86_400));
    let mut drain_delay = Duration::ZERO;
    fields.set(
        "drain_delay",
        &mut drain_delay,
        duration(Duration::ZERO..=Duration::from_secs(3600)),
    );
    fields.set("drain_timeout", &mut drain_timeout, some_time);
    let mut worker_buffer = 256 << 20;
    fields.set("worker_buffer", &mut worker_buffer, size(1 << 20..=1 << 40));
    let mut flow_pause = Duration::from_micros(160);
    fields.set("flow_pause", &mut flow_pause, duration(Duration::ZERO..=Duration::from_millis(1)));
    let dns_servers = fields.get("dns").map(|node| dns(node, problems)).unwrap_or_default();
    let log = fields.get("log").map(|node| log_plan(node, problems));
    fields.finish();
    Plan {
        workers,
        listeners,
        control,
        metrics,
        services,
        routes: Arc::new(routes),
        dns_servers,
        drain_delay,
        drain_timeout,
        worker_buffer,
        flow_pause,
        log: log.unwrap_or_default(),
        sources: Sources::default(),
        certificates: Vec::new(),
        warnings: Vec::new(),
    }
}

fn listeners(
    fields: &mut Fields<'_>,
    files: &Files,
    bound: &mut Vec<(Place, Span)>,
    problems: &Problems,
) -> Vec<ListenerSpec> {
    let help = "add `listeners: [ { address: 0.0.0.0:8080 } ]`";
    let node = fields.require("listeners", help);
    let nodes = node.map_or(&[][..], |node| some_items(node, problems));
    let read = |node| {
        let (plan, span) = listener::listener(node, files, problems)?;
        bound.push((plan.address.clone(), span));
        Some(plan)
    };
    nodes.iter().filter_map(read).collect()
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
    fields: &mut Fields<'_>,
    services: &[Entry],
    http1: &HashSet<&str>,
    problems: &Problems,
) -> RouteTable {
    let by_name = services.iter().enumerate().map(|(index, entry)| (&*entry.key, index));
    let by_name: HashMap<&str, usize> = by_name.collect();
    let mut routes = route::Routes::new(&by_name, http1, problems);
    let help = "add `routes: [ { service: NAME } ]` to send everything to one service";
    if let Some(node) = fields.require_list("routes", help) {
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

/// `dns`: who is asked for names.
fn dns(node: &Node, problems: &Problems) -> Vec<SocketAddr> {
    let mut fields = Fields::of(node, problems);
    let servers = fields.require("servers", "add `servers: [ 127.0.0.1:8600 ]`");
    let servers = servers.map_or(&[][..], |node| items(node, problems)).iter();
    let servers = servers.filter_map(|node| scalar(node, problems, address::name_server)).collect();
    fields.finish();
    servers
}

fn log_plan(node: &Node, problems: &Problems) -> LogPlan {
    const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let mut log = LogPlan::default();
    let mut fields = Fields::of(node, problems);
    fields.set("format", &mut log.format, word(&FORMATS));
    fields.set("level", &mut log.level, log::level);
    fields.set("buffer", &mut log.buffer, size(64 << 10..=1 << 30));
    fields.finish();
    problems.log_as(log.format);
    log
}

#[cfg(test)]
mod tests;
