//! Where a client's connection comes from, in the words in which backends are told.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::model::Forwarding;

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
    pub(super) fn new(forwarding: &Arc<Forwarding>, peer: SocketAddr, tls: bool) -> Origin {
        let address = peer.ip().to_canonical();
        let node = match address {
            IpAddr::V4(ip) => format!("for={ip}"),
            IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
        };
        Origin {
            forwarding: Arc::clone(forwarding),
            trusted: forwarding.trusts(address),
            address: address.to_string().into(),
            scheme: if tls { "https" } else { "http" },
            node: node.into(),
        }
    }
}
