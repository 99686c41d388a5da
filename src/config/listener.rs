//! Where the gateway listens: for clients, for control, for metrics.

use std::net::SocketAddr;
use std::sync::Arc;

use super::files::Files;
use super::node::Node;
use super::plan::{ControlPlan, MetricsPlan};
use super::read::{Fields, boolean, count, items, scalar, word};
use super::report::{Problems, Span};
use super::{limits, metrics, tls};
use crate::http2::Limits;
use crate::model::forwarding::network;
use crate::model::{ForwardedHeaders, Forwarding, address};
use crate::net::{ListenerSpec, clash, takes_in};

/// Connections that one listener takes unless told otherwise.
const MAX_CONNECTIONS: usize = 20_000;

/// The name of a set of defaults, and the set.
type Profile = (&'static str, fn() -> Limits);

/// One of `listeners`, and where its address stands.
pub fn listener(node: &Node, files: &Files, problems: &Problems) -> Option<(ListenerSpec, Span)> {
    const PROFILES: [Profile; 2] = [("internal", Limits::internal), ("edge", Limits::edge)];
    let mut fields = Fields::or_short(node, "address", problems);
    let address_node = fields.require("address", "add `address: 0.0.0.0:8080`");
    let profile = fields.parsed("profile", word(&PROFILES));
    let mut limits = profile.unwrap_or(Limits::internal)();
    if let Some(node) = fields.get("limits") {
        limits = limits::read(node, limits, limits::Peer::Client, problems);
    }
    let tls_node = fields.get("tls");
    let tls = tls_node.and_then(|node| tls::server(node, files, problems));
    let mut max_connections = MAX_CONNECTIONS;
    fields.set("max_connections", &mut max_connections, count(1..=10_000_000));
    let forwarding = fields.get("forwarded").map(|node| forwarding(node, problems));
    fields.finish();

    let (address, span) = bind(address_node?, problems)?;
    let plan = ListenerSpec {
        address,
        tls,
        limits: Arc::new(limits),
        max_connections,
        forwarding: Arc::new(forwarding.unwrap_or_default()),
    };
    Some((plan, span))
}

/// A listener's `forwarded`.
fn forwarding(node: &Node, problems: &Problems) -> Forwarding {
    const WORDS: [(&str, ForwardedHeaders); 4] = [
        ("off", ForwardedHeaders::Off),
        ("x_forwarded", ForwardedHeaders::XForwarded),
        ("forwarded", ForwardedHeaders::Forwarded),
        ("both", ForwardedHeaders::Both),
    ];
    let mut forwarding = Forwarding::default();
    let mut fields = Fields::of(node, problems);
    fields.set("headers", &mut forwarding.headers, word(&WORDS));
    fields.set("grpc", &mut forwarding.grpc, boolean);
    if let Some(node) = fields.get_list("trust") {
        let networks = items(node, problems).iter();
        forwarding.trust = networks.filter_map(|node| scalar(node, problems, network)).collect();
    }
    fields.finish();
    forwarding
}

/// `control`, and where its address stands.
pub fn control(node: &Node, problems: &Problems) -> (ControlPlan, Span) {
    let mut plan = ControlPlan::default();
    let mut fields = Fields::or_short(node, "address", problems);
    let bound = fields.get("address").and_then(|node| bind(node, problems));
    let allow_remote = fields.parsed("allow_remote", boolean);
    fields.finish();

    let (address, span) = bound.unwrap_or((plan.address, node.span));
    plan.address = address;
    plan.allow_remote = allow_remote.unwrap_or(false);
    if !address.ip().is_loopback() {
        match allow_remote {
            Some(true) => problems.warn(
                span,
                format!("whoever reaches {address} can steer all traffic"),
                "the control API has no authentication yet: keep this port behind a firewall",
            ),
            _ => problems.error(
                span,
                format!("control on {address} would let other machines steer all traffic"),
                "the control API has no authentication yet: listen on 127.0.0.1, or add \
                 `allow_remote: true` if a firewall keeps strangers away",
            ),
        }
    }
    (plan, span)
}

/// `metrics`, and where its address stands.
pub fn metrics(node: &Node, problems: &Problems) -> (MetricsPlan, Span) {
    let mut plan = MetricsPlan::default();
    let mut fields = Fields::or_short(node, "address", problems);
    let bound = fields.get("address").and_then(|node| bind(node, problems));
    plan.settings = metrics::settings(&mut fields, problems);
    plan.counts = metrics::counts(&mut fields);
    fields.finish();
    let (address, span) = bound.unwrap_or((plan.address, node.span));
    plan.address = address;
    (plan, span)
}

/// Two things cannot listen on one port of one interface.
pub fn refuse_shared(bound: &[(SocketAddr, Span)], problems: &Problems) {
    for (index, (address, span)) in bound.iter().enumerate() {
        let earlier = bound.iter().take(index).find(|(other, _)| clash(*other, *address));
        if let Some((other, first)) = earlier {
            let message = match takes_in(*other, *address) {
                true => taken_in(*other, *address),
                false if takes_in(*address, *other) => taken_in(*address, *other),
                false => format!("{address} is listened on twice"),
            };
            problems.error_again(*span, message, *first);
        }
    }
}

fn taken_in(wide: SocketAddr, narrow: SocketAddr) -> String {
    let all = if wide.is_ipv6() && narrow.is_ipv4() { "IPv4 too" } else { "all interfaces" };
    format!("{wide} takes in {narrow}: `{}` is {all}", bare(wide))
}

/// The address without its port, as it is written.
fn bare(address: SocketAddr) -> String {
    let text = address.to_string();
    text.rsplit_once(':').map_or(text.clone(), |(ip, _)| ip.to_owned())
}

fn bind(node: &Node, problems: &Problems) -> Option<(SocketAddr, Span)> {
    Some((scalar(node, problems, address::listen)?, node.span))
}
