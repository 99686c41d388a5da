//! Reads services.

use std::collections::HashMap;
use std::sync::Arc;

use super::files::Files;
use super::keys::{BALANCER, ENDPOINT, SERVICE};
use super::node::{Entry, Node, Value};
use super::read::{Fields, items, scalar};
use super::report::{Problems, Span};
use super::{concurrency, discover, ejection, health, keepalive, limits, retry, tls};
use crate::balance::POLICIES;
use crate::http::Limits;
use crate::model::Address;
use crate::service::{
    Balancer, Concurrency, Ejection, Layer, MAX_BACKENDS, RetryBudgetSettings, ServiceConfig,
    ServiceSpec, UpstreamProtocol,
};
use crate::text::ParamValue;
use crate::upstream::{self, OwnAddresses};

/// Longest zone, in characters.
const MAX_ZONE: usize = 256;

const HELP_NAME: &str = "use letters, digits, `-`, `_` and `.`, 128 of them at most";

const HELP_ENDPOINTS: &str =
    "add `endpoints: [ { address: 127.0.0.1:50051 } ]`, or `discover: …` for those of a registry";

/// The gateway's own addresses.
pub struct OwnListeners {
    /// Control API and metrics.
    pub operators: OwnAddresses,
    /// Client listeners.
    pub clients: OwnAddresses,
}

/// Addresses with weights, and the zones of those that say one.
type Listed = (Vec<(Address, u32)>, HashMap<Address, Arc<str>>);

/// What services have in common.
pub struct Surroundings {
    /// The gateway's own addresses.
    pub own: OwnListeners,
    /// Its zone, if the file says one; it may be none.
    pub zone: Option<Option<Arc<str>>>,
}

/// Reads one of `services`.
pub fn service(
    entry: &Entry,
    Surroundings { own, zone }: &Surroundings,
    files: &Files,
    problems: &Problems,
) -> Option<ServiceConfig> {
    if !is_name(&entry.key) {
        let message = format!("`{}` is not a name for a service", entry.key.escape_debug());
        problems.error(entry.span, message, HELP_NAME);
    }
    let mut fields = Fields::of(&entry.value, &SERVICE, problems);
    let protocol = fields.value(&SERVICE.protocol);
    let balancer = balancer(fields.get(&SERVICE.balancer), entry.span, problems);
    let discover = fields.get(&SERVICE.discover);
    let (endpoints, zones) = listed(&mut fields, discover.is_some(), (entry, own), problems);
    let discover = discover.and_then(|node| discover::read(node, files, problems)).map(Arc::new);
    let upstream = settings(&fields, protocol, files, problems);
    if upstream.tls.as_ref().is_some_and(|tls| tls.server_name.is_none())
        && let Some(unnamed) =
            endpoints.iter().map(|(address, _)| address).find(|it| it.is_socket())
    {
        let message = format!("no certificate can bear the name of `{unnamed}`");
        let help = "add `server_name: orders.internal` to `tls`, as the certificate has it";
        problems.error(entry.span, message, help);
    }
    let health = fields.get(&SERVICE.health);
    let health = health.map(|node| Arc::new(health::read(node, &upstream, problems)));
    let ejection = match fields.get(&SERVICE.ejection) {
        Some(node) => ejection::read(node, problems),
        None => Some(Ejection::defaults()),
    };
    let panic = fields.value(&SERVICE.panic);
    let retry_budget = fields.get(&SERVICE.retry_budget);
    let retry_budget =
        retry_budget.map_or(RetryBudgetSettings::usual(), |node| retry::budget(node, problems));
    let concurrency = fields.get(&SERVICE.concurrency);
    let concurrency = match concurrency {
        Some(node) => concurrency::read(node, problems),
        None => Some(Concurrency::observing()),
    };
    let slow_start = fields.value(&SERVICE.slow_start);
    let endpoint_drain_timeout = fields.value(&SERVICE.endpoint_drain_timeout);
    let prefer_zone = preferred(&fields, zone.as_ref(), problems);
    let streams = fields.list(&SERVICE.streams);
    let preconnect = fields.value(&SERVICE.preconnect);
    fields.finish();
    if !endpoints.is_empty() && endpoints.iter().all(|(_, weight)| *weight == 0) {
        let message = format!("all endpoints of `{}` have weight 0", entry.key);
        problems.warn(entry.span, message, "its requests fail until a weight is raised");
    }
    let spec = ServiceSpec {
        name: (&*entry.key).into(),
        protocol,
        balancer: balancer?,
        streams,
        preconnect,
        upstream,
        endpoint_drain_timeout: (!endpoint_drain_timeout.is_zero())
            .then_some(endpoint_drain_timeout),
        health,
        discover,
        ejection,
        panic,
        retry_budget,
        concurrency,
        slow_start,
        prefer_zone,
    };
    Some(ServiceConfig { spec, members: Layer::of(endpoints), zones: Arc::new(zones) })
}

/// Reads `prefer_zone`: the zone that is preferred.
fn preferred(
    fields: &Fields<'_>,
    zone: Option<&Option<Arc<str>>>,
    problems: &Problems,
) -> Option<Arc<str>> {
    if !fields.value(&SERVICE.prefer_zone) {
        return None;
    }
    if zone.is_none()
        && let Some(node) = fields.get(&SERVICE.prefer_zone)
    {
        let help = "add `zone: ${NODE_ZONE}` at the top level, or the zone itself";
        problems.warn(node.span, "no zone is preferred: the gateway does not know its own", help);
    }
    zone.cloned().flatten()
}

/// Parses a zone; `None` if it is empty.
pub fn zone(text: &str) -> Result<Option<Arc<str>>, String> {
    match text {
        "" => Ok(None),
        _ if text.len() > MAX_ZONE => Err(format!("a zone has {MAX_ZONE} characters at most")),
        _ if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) => {
            Err("a zone has printable ASCII characters alone".into())
        }
        _ => Ok(Some(text.into())),
    }
}

/// Reads `endpoints`, which a service needs that `is_discovered` by nothing.
fn listed(
    fields: &mut Fields<'_>,
    is_discovered: bool,
    (entry, own): (&Entry, &OwnListeners),
    problems: &Problems,
) -> Listed {
    let before = problems.count();
    let listed = match is_discovered {
        true => fields.get(&SERVICE.endpoints),
        false => fields.require(&SERVICE.endpoints, HELP_ENDPOINTS),
    };
    let (endpoints, zones) =
        listed.map(|node| endpoints(items(node, problems), own, problems)).unwrap_or_default();
    if let Some(node) = listed.filter(|_| !is_discovered)
        && endpoints.is_empty()
        && problems.count() == before
    {
        let message = format!("`{}` has no endpoints", entry.key);
        problems.warn(node.span, message, "its requests are UNAVAILABLE until it has some");
    }
    if endpoints.len() > MAX_BACKENDS {
        let message = format!("`{}` has {} endpoints", entry.key, endpoints.len());
        let help = format!("{MAX_BACKENDS} at most: make it two services");
        problems.error(entry.span, message, help);
    }
    (endpoints, zones)
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=128).contains(&name.len()) && name.bytes().all(allowed)
}

/// Parses the path of a gRPC method, with or without the leading slash.
pub fn method(text: &str) -> Result<String, String> {
    let path = text.strip_prefix('/').unwrap_or(text);
    let name = |name: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.".contains(&b);
        !name.is_empty() && name.bytes().all(allowed)
    };
    match path.split_once('/') {
        Some((service, method)) if name(service) && name(method) => Ok(format!("/{path}")),
        _ => Err(format!("`{text}` is no gRPC method: write package.Service/Method")),
    }
}

fn settings(
    fields: &Fields<'_>,
    protocol: UpstreamProtocol,
    files: &Files,
    problems: &Problems,
) -> upstream::Settings {
    let mut settings = match protocol {
        UpstreamProtocol::Http1 => upstream::Settings::http1(),
        UpstreamProtocol::Grpc | UpstreamProtocol::Http2 => upstream::Settings::default(),
    };
    let tls = fields.get(&SERVICE.tls);
    settings.tls = tls.and_then(|node| tls::client(node, settings.version, files, problems));
    fields.set(&SERVICE.connect_timeout, &mut settings.connect_timeout);
    fields.set(&SERVICE.max_connections, &mut settings.max_connections);
    fields.set(&SERVICE.max_pending, &mut settings.max_pending);
    fields.set(&SERVICE.pending_timeout, &mut settings.pending_timeout);
    if let Some(node) = fields.get(&SERVICE.keepalive) {
        settings.keepalive = keepalive::read(node, problems);
    }
    if let Some(node) = fields.get(&SERVICE.limits) {
        let limits = limits::read(node, Limits::upstream(), limits::Peer::Backend, problems);
        settings.limits = Arc::new(limits);
    }
    settings
}

fn endpoints(items: &[Node], own: &OwnListeners, problems: &Problems) -> Listed {
    let mut seen: HashMap<Address, Span> = HashMap::new();
    let mut zones = HashMap::new();
    let mut endpoints = Vec::with_capacity(items.len());
    for item in items {
        let fields = Fields::of(item, &ENDPOINT, problems);
        let weight = fields.value(&ENDPOINT.weight);
        let address = fields.placed(&ENDPOINT.address);
        let zone = fields.optional(&ENDPOINT.zone).flatten();
        fields.finish();
        let Some((address, span)) = address else { continue };
        if let Some(first) = seen.get(&address) {
            let message = format!("`{address}` is listed twice");
            problems.error_again(span, message, *first);
            continue;
        }
        if own.operators.include_text(address.as_str()) {
            let message = format!("`{address}` is this gateway's own control API or metrics");
            problems.warn(span, message, "no connection is made to it: name a backend");
        } else if own.clients.include_text(address.as_str()) {
            let message = format!("`{address}` is a listener of this gateway itself");
            let help = "no connection is made to it, as requests would go round: name a backend";
            problems.warn(span, message, help);
        }
        seen.insert(address.clone(), span);
        zones.extend(zone.map(|zone| (address.clone(), zone)));
        endpoints.push((address, weight));
    }
    (endpoints, zones)
}

fn balancer(node: Option<&Node>, service: Span, problems: &Problems) -> Option<Balancer> {
    let (mut name, mut at, mut params) = (None, service, Vec::new());
    if let Some(node) = node {
        let fields = Fields::of(node, &BALANCER, problems);
        name = fields.get(&BALANCER.policy);
        params = fields.rest().collect();
        at = node.span;
    }
    let policy = match name {
        Some(name) => scalar(name, problems, Balancer::policy)?,
        None => *POLICIES.first()?,
    };
    let readable =
        params.iter().filter_map(|entry| Some(((&*entry.key).into(), param(entry, problems)?)));
    let readable: Vec<(String, ParamValue)> = readable.collect();
    // Skip the policy if its settings are unreadable: it would report them missing.
    if readable.len() < params.len() {
        return None;
    }
    match Balancer::new(policy, readable) {
        Ok(balancer) => Some(balancer),
        Err(bad) => {
            for bad in bad.0 {
                let entry = params.iter().find(|entry| *entry.key == *bad.key);
                let span = entry.map_or(at, |entry| entry.span);
                let about = match bad.key.as_str() {
                    "" => String::new(),
                    key => format!(" `{key}`"),
                };
                let message = format!("{}{about}: {}", policy.name(), bad.message);
                let message = entry.map_or(message.clone(), |entry| entry.value.redact(message));
                problems.error(span, message, "");
            }
            None
        }
    }
}

fn param(entry: &Entry, problems: &Problems) -> Option<ParamValue> {
    let text = |node: &Node| scalar(node, problems, |text| Ok(text.to_owned()));
    match &entry.value.value {
        Value::Map(entries) => {
            let pairs =
                entries.iter().map(|entry| Some(((&*entry.key).into(), text(&entry.value)?)));
            pairs.collect::<Option<Vec<_>>>().map(ParamValue::Map)
        }
        _ => text(&entry.value).map(ParamValue::Text),
    }
}
