//! Origin of a client connection, preformatted for the forwarding headers.

use std::net::IpAddr;
use std::sync::Arc;

use super::accept::ListenerSpec;
use crate::http::Ambiguity;
use crate::model::{Forwarding, Peer};

/// Origin of a client connection. Made once a connection, so that no request formats an address.
#[derive(Debug)]
pub struct Origin {
    /// The forwarding headers to send, and the trusted proxies.
    pub forwarding: Arc<Forwarding>,
    /// What is done with requests that may be read differently.
    pub ambiguity: Ambiguity,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    /// The peer's address, as `x-forwarded-for` has it.
    pub address: Box<str>,
    /// The scheme that the client used.
    pub scheme: &'static str,
    /// The peer's address, as `forwarded` has it.
    pub node: Box<str>,
}

impl Origin {
    pub(super) fn new(spec: &ListenerSpec, peer: Peer, tls: bool) -> Origin {
        let forwarding = &spec.forwarding;
        let node = match peer {
            Peer::Ip(IpAddr::V6(ip)) => format!("for=\"[{ip}]\""),
            Peer::Ip(IpAddr::V4(_)) | Peer::Unix => format!("for={peer}"),
        };
        Origin {
            forwarding: Arc::clone(forwarding),
            ambiguity: spec.ambiguity,
            trusted: forwarding.trusts(peer),
            address: peer.to_string().into(),
            scheme: if tls { "https" } else { "http" },
            node: node.into(),
        }
    }
}
