//! Reads `control`: where the control API listens, and who may do what.

use std::net::{Ipv4Addr, SocketAddr};

use super::files::Files;
use super::keys::{CONTROL, CONTROL_ROLE};
use super::node::{Node, Value};
use super::plan::{ControlPlaces, ControlPlan, ControlSocket};
use super::read::Fields;
use super::report::{Problems, Span};
use super::{server_tls, tokens};
use crate::access::{Access, Grant, Rule, Scope};
use crate::model::SocketAddress;
use crate::text::address::socket;

/// In place of an address or a socket.
const OFF: &str = "off";
/// A key of version 1.
const GONE: &str = "allow_remote";

/// Where the control API can be reached, and where the configuration says so.
pub type Places = Vec<(SocketAddress, Span)>;

/// Reads `control`; also returns the locations of what it listens at.
pub fn read(node: &Node, files: &Files, problems: &Problems) -> (ControlPlan, Places) {
    let fields = Fields::of(node, &CONTROL, problems);
    let usual = ControlPlaces::default();
    let address = fields.placed(&CONTROL.address);
    let (address, at) = address.unwrap_or((usual.address.map(SocketAddress::Ip), node.span));
    let chosen = fields.placed(&CONTROL.socket);
    let mode = fields.placed(&CONTROL.mode);
    let tls_at = fields.get(&CONTROL.tls);
    let tls = tls_at.and_then(|node| server_tls::server(node, files, problems));
    let tokens_at = fields.get(&CONTROL.tokens);
    let tokens = fields.placed(&CONTROL.tokens);
    let tokens = tokens.map(|(name, span)| tokens::read(&name, span, files, problems));
    let rules_at = fields.has(&CONTROL.roles);
    let rules = fields.items(&CONTROL.roles).iter();
    let rules = rules.filter_map(|node| read_role(node, problems)).collect();
    let mut places: Places = address.clone().map(|address| (address, at)).into_iter().collect();
    let (address, socket) = match (address, &chosen) {
        (Some(SocketAddress::Unix(path)), None) => (None, ControlSocket::At(path)),
        (Some(SocketAddress::Unix(path)), Some((_, span))) => {
            let help = "name it here alone, and write an IP and a port, or `off`, for `address`";
            problems.error(*span, "`address` names a socket too", help);
            (None, ControlSocket::At(path))
        }
        (address, chosen) => {
            let socket = chosen.as_ref().map_or(ControlSocket::Usual, |(socket, _)| socket.clone());
            if let (ControlSocket::At(path), Some((_, span))) = (&socket, chosen) {
                places.push((SocketAddress::Unix(path.clone()), *span));
            }
            (address.and_then(|address| address.ip()), socket)
        }
    };
    if address.is_none() && socket == ControlSocket::Off {
        let help = "leave `socket` out: nobody but this user, and root, can come by it";
        problems.error(at, "`control` listens nowhere, so that nobody could steer", help);
    }
    if let (Some((_, span)), ControlSocket::Off) = (mode, &socket) {
        problems.error(span, "`mode` is for Unix sockets, and there is none", "leave it out");
    }
    if let Some(address) = address.filter(|address| !address.ip().to_canonical().is_loopback()) {
        let asks = tls_at.is_some_and(|tls| has(tls, "client_ca")) || tokens_at.is_some();
        refuse_open(address, at, (tls_at.is_some(), asks), problems);
    }
    let open_loopback = tls_at.is_none() && tokens_at.is_none() && !rules_at;
    retire(node, problems);
    fields.finish_but(&[GONE]);
    let access = Access { rules, tokens: tokens.unwrap_or_default(), open_loopback };
    let mode = mode.map(|(mode, _)| mode);
    (ControlPlan { places: ControlPlaces { address, socket, mode }, tls, access }, places)
}

/// Refuses an address that other machines reach, unless whoever comes has to prove who they are, and
/// nobody between can listen.
fn refuse_open(address: SocketAddr, at: Span, (tls, asks): (bool, bool), problems: &Problems) {
    let message = match (tls, asks) {
        (true, true) => return,
        (false, _) => format!("control on {address} in clear text: other machines could steer"),
        (true, false) => format!("control on {address} asks nobody who they are"),
    };
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    let help = format!(
        "add `tls: {{ cert: …, key: …, client_ca: … }}` with `roles`, or `tls: {{ cert: …, key: … }}` \
         with `tokens: tokens.txt`; or listen on {local}"
    );
    problems.error(at, message, help);
}

/// Says what to write in place of `allow_remote`.
fn retire(node: &Node, problems: &Problems) {
    let Value::Map(entries) = &node.value else { return };
    if let Some(entry) = entries.iter().find(|entry| &*entry.key == GONE) {
        let help = "leave it out; off loopback the control API needs `tls: { cert: …, key: …, \
                    client_ca: … }` with `roles`, or `tls` with `tokens: tokens.txt`";
        problems.error(entry.span, format!("there is no `{GONE}` any more"), help);
    }
}

fn has(node: &Node, key: &str) -> bool {
    matches!(&node.value, Value::Map(entries) if entries.iter().any(|entry| &*entry.key == key))
}

/// Reads one of `control.roles`.
fn read_role(node: &Node, problems: &Problems) -> Option<Rule> {
    let fields = Fields::of(node, &CONTROL_ROLE, problems);
    let who = fields.optional(&CONTROL_ROLE.who);
    let role = fields.optional(&CONTROL_ROLE.role);
    let globs = fields.list(&CONTROL_ROLE.services);
    fields.finish();
    let all = globs.is_empty() || globs.iter().any(|glob| glob.to_string() == "*");
    let scope = if all { Scope::All } else { Scope::Some(globs.into()) };
    Some(Rule { who: who?, grant: Grant { role: role?, scope } })
}

/// Parses an address of the control API; `None` for none.
pub fn address(text: &str) -> Result<Option<SocketAddress>, String> {
    match text {
        OFF => Ok(None),
        text => SocketAddress::parse(text).map(Some),
    }
}

/// Parses the socket of the control API.
pub fn control_socket(text: &str) -> Result<ControlSocket, String> {
    if text == OFF {
        return Ok(ControlSocket::Off);
    }
    let path = text.strip_prefix("unix:").unwrap_or(text);
    match socket(&format!("unix:{path}")) {
        Some(path) => path.map(|path| ControlSocket::At(path.into())),
        None => Err(format!("`{text}` is no path: write /run/equipoise/control.sock, or `off`")),
    }
}

/// As in the configuration.
pub fn show_socket(socket: &ControlSocket) -> String {
    match socket {
        ControlSocket::At(path) => path.to_string(),
        ControlSocket::Usual => String::new(),
        ControlSocket::Off => OFF.into(),
    }
}

/// As in the configuration.
pub fn show_address(address: &Option<SocketAddress>) -> String {
    address.as_ref().map_or(OFF.into(), ToString::to_string)
}
