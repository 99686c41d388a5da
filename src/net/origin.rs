//! Where a client's connection comes from, in the words in which backends are told.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Forwarding, Peer};

/// Where a client's connection comes from. Made once for a connection, so that no request has to
/// format an address.
#[derive(Debug)]
pub struct Origin {
    /// What is said about clients, and who is believed.
    pub forwarding: Arc<Forwarding>,
    /// Whether the peer is believed.
    pub trusted: bool,
    /// The peer's address, as `x-forwarded-for` has it.
    pub address: Box<str>,
    /// The scheme that the client used.
    pub scheme: &'static str,
    /// The peer's address, as `forwarded` has it.
    pub node: Box<str>,
}

impl Origin {
    pub(super) fn new(forwarding: &Arc<Forwarding>, peer: Peer, tls: bool) -> Origin {
        let node = match peer {
            Peer::Ip(IpAddr::V6(ip)) => format!("for=\"[{ip}]\""),
            Peer::Ip(IpAddr::V4(_)) | Peer::Unix => format!("for={peer}"),
        };
        Origin {
            forwarding: Arc::clone(forwarding),
            trusted: forwarding.trusts(peer),
            address: peer.to_string().into(),
            scheme: if tls { "https" } else { "http" },
            node: node.into(),
        }
    }
}
