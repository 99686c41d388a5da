//! Origin of a client connection, preformatted for the forwarding headers.

use std::net::IpAddr;
use std::sync::Arc;

use super::accept::ListenerSpec;
use super::tls::ClientCertificate;
use crate::http::Ambiguity;
use crate::model::{Forwarding, Peer, Sans};

/// Origin of a client connection. Made once a connection, so that no request formats an address.
#[derive(Debug)]
pub struct Origin {
    /// The forwarding headers to send, and the trusted proxies.
    pub forwarding: Arc<Forwarding>,
    /// What is done with requests that may be read differently.
    pub ambiguity: Ambiguity,
    /// Whether what the peer says of itself is believed.
    pub believed: bool,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    /// The peer's address, as `x-forwarded-for` has it.
    pub address: Box<str>,
    /// The scheme that the client used.
    pub scheme: &'static str,
    /// The peer's address, as `forwarded` has it.
    pub node: Box<str>,
    /// The certificate that the client has shown, read once.
    client: Option<ClientCertificate>,
}

impl Origin {
    pub(super) fn new(
        spec: &ListenerSpec,
        peer: Peer,
        tls: bool,
        client: Option<ClientCertificate>,
    ) -> Origin {
        let forwarding = &spec.forwarding;
        let node = match peer {
            Peer::Ip(IpAddr::V6(ip)) => format!("for=\"[{ip}]\""),
            Peer::Ip(IpAddr::V4(_)) | Peer::Unix => format!("for={peer}"),
        };
        Origin {
            forwarding: Arc::clone(forwarding),
            ambiguity: spec.ambiguity,
            believed: !spec.strangers || forwarding.trusts(peer),
            trusted: forwarding.trusts(peer),
            address: peer.to_string().into(),
            scheme: if tls { "https" } else { "http" },
            node: node.into(),
            client,
        }
    }

    /// Whom the client's certificate is for, if it has shown one.
    pub fn client(&self) -> Option<&Sans> {
        self.client.as_ref().map(|client| &client.sans)
    }

    /// What backends are told of the certificate; empty for nothing.
    pub fn certificate(&self) -> &[u8] {
        self.client.as_ref().map_or(&[], |client| &client.element)
    }
}
