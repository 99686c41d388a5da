//! Reads listeners for clients.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

use super::files::Files;
use super::keys::{FORWARDED, LISTENER, PROXY_PROTOCOL};
use super::node::Node;
use super::read::Fields;
use super::report::{Problems, Span};
use super::{limits, server_tls};
use crate::model::{Forwarding, Peer, SocketAddress};
use crate::net::{ListenerSpec, ProxyProtocol, clash, takes_in};
use crate::text::address::network;
use crate::text::keys::Key;

/// Reads one of `listeners`; also returns the location of its address.
pub fn listener(node: &Node, files: &Files, problems: &Problems) -> Option<(ListenerSpec, Span)> {
    let fields = Fields::of(node, &LISTENER, problems);
    let bound = fields.placed(&LISTENER.address);
    let mode = mode_of(&fields, &LISTENER.mode, bound.as_ref(), problems);
    let profile = fields.value(&LISTENER.profile);
    let mut limits = profile.limits();
    let mut ambiguity = profile.ambiguity();
    fields.set(&LISTENER.paths, &mut ambiguity.paths);
    fields.set(&LISTENER.underscores, &mut ambiguity.underscores);
    if let Some(node) = fields.get(&LISTENER.limits) {
        limits = limits::read(node, limits, limits::Peer::Client, problems);
    }
    let tls = fields.get(&LISTENER.tls).and_then(|node| server_tls::server(node, files, problems));
    let balancers = fields.get(&LISTENER.proxy_protocol);
    let proxy_protocol = balancers.map(|node| proxy_protocol(node, problems));
    let max_connections = fields.value(&LISTENER.max_connections);
    let forwarding = fields.get(&LISTENER.forwarded).map(|node| forwarding(node, problems));
    fields.finish();
    let (address, span) = bound?;
    let plan = ListenerSpec {
        address,
        mode,
        tls,
        proxy_protocol,
        limits: Arc::new(limits),
        max_connections,
        forwarding: Arc::new(forwarding.unwrap_or_default()),
        ambiguity,
        strangers: profile.is_for_strangers(),
    };
    Some((plan, span))
}

/// The file mode of a Unix socket; refused for IP addresses.
pub fn mode_of(
    fields: &Fields<'_>,
    key: &Key<u32>,
    bound: Option<&(SocketAddress, Span)>,
    problems: &Problems,
) -> Option<u32> {
    let (mode, span) = fields.placed(key)?;
    if let Some((SocketAddress::Ip(address), _)) = bound {
        let message = format!("`mode` is for Unix sockets, and {address} is none");
        problems.error(span, message, "leave it out, or listen on unix: and a path");
    }
    Some(mode)
}

/// Parses a file mode as for `chmod`, which determines who may connect.
pub fn mode(text: &str) -> Result<u32, String> {
    const WRITE: u32 = 0o222;
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let wrong = |what: &str| {
        Err(format!(
            "`{text}` {what}: write octal digits as for chmod, such as 0660 for an owner and a group"
        ))
    };
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if (3..=4).contains(&digits.len()) && mode <= 0o777 => match mode & WRITE {
            0 => wrong("lets nobody connect, for which write permission is needed"),
            _ => Ok(mode),
        },
        _ => wrong("is no mode of a socket"),
    }
}

/// Reads a listener's `forwarded`.
fn forwarding(node: &Node, problems: &Problems) -> Forwarding {
    let mut forwarding = Forwarding::default();
    let fields = Fields::of(node, &FORWARDED, problems);
    fields.set(&FORWARDED.headers, &mut forwarding.headers);
    fields.set(&FORWARDED.grpc, &mut forwarding.grpc);
    forwarding.client_cert = fields.list(&FORWARDED.client_cert);
    for proxy in fields.list(&FORWARDED.trust) {
        match proxy {
            Some(network) => forwarding.trust.push(network),
            None => forwarding.trust_unix = true,
        }
    }
    fields.finish();
    forwarding
}

/// Reads a listener's `proxy_protocol`.
fn proxy_protocol(node: &Node, problems: &Problems) -> ProxyProtocol {
    let fields = Fields::of(node, &PROXY_PROTOCOL, problems);
    let others = fields.value(&PROXY_PROTOCOL.others);
    let mut protocol = ProxyProtocol { trust: Vec::new(), trust_unix: false, others };
    for balancer in fields.list(&PROXY_PROTOCOL.trust) {
        match balancer {
            Some(network) => protocol.trust.push(network),
            None => protocol.trust_unix = true,
        }
    }
    fields.finish();
    protocol
}

/// Parses a trusted network; `None` stands for all peers on Unix sockets.
pub fn proxy(text: &str) -> Result<Option<IpNet>, String> {
    match text {
        Peer::UNIX => Ok(None),
        text => network(text).map(Some),
    }
}

/// Refuses listeners whose addresses overlap.
pub fn refuse_shared(bound: &[(SocketAddress, Span)], problems: &Problems) {
    for (index, (place, span)) in bound.iter().enumerate() {
        let mut earlier = bound.iter().take(index);
        if let Some((other, first)) = earlier.find(|(other, _)| share(other, place)) {
            let message = match (other, place) {
                (SocketAddress::Ip(other), SocketAddress::Ip(address)) => shared(*other, *address),
                _ if other == place => format!("{place} is listened on twice"),
                _ => format!("{other} and {place} are one file"),
            };
            problems.error_again(*span, message, *first);
        }
    }
}

fn share(one: &SocketAddress, other: &SocketAddress) -> bool {
    match (one, other) {
        (SocketAddress::Ip(one), SocketAddress::Ip(other)) => clash(*one, *other),
        (SocketAddress::Unix(one), SocketAddress::Unix(other)) => resolved(one) == resolved(other),
        _ => false,
    }
}

/// The path with symbolic links in its folder resolved, as far as it exists.
fn resolved(path: &str) -> PathBuf {
    let path = Path::new(path);
    let found = path.parent().and_then(|folder| folder.canonicalize().ok());
    if let (Some(folder), Some(name)) = (found, path.file_name()) {
        return folder.join(name);
    }
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            part => plain.push(part),
        }
    }
    plain
}

fn shared(other: SocketAddr, address: SocketAddr) -> String {
    match takes_in(other, address) {
        true => taken_in(other, address),
        false if takes_in(address, other) => taken_in(address, other),
        false => format!("{address} is listened on twice"),
    }
}

fn taken_in(wide: SocketAddr, narrow: SocketAddr) -> String {
    let all = if wide.is_ipv6() && narrow.is_ipv4() { "IPv4 too" } else { "all interfaces" };
    format!("{wide} takes in {narrow}: `{}` is {all}", bare(wide))
}

/// The IP as written in the configuration.
fn bare(address: SocketAddr) -> String {
    let text = address.to_string();
    text.rsplit_once(':').map_or(text.clone(), |(ip, _)| ip.to_owned())
}
