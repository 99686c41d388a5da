//! Forwarding headers (`x-forwarded-*`, `forwarded`), and which downstream proxies are trusted.

use ipnet::IpNet;

use super::Peer;

/// The headers that tell backends about the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeaders {
    /// None; those of clients are forwarded unchanged.
    Off,
    /// `x-forwarded-for`, `x-forwarded-proto` and `x-forwarded-host`.
    #[default]
    XForwarded,
    /// `forwarded` (RFC 7239).
    Forwarded,
    /// Both kinds.
    Both,
}

/// What backends are told of a client's certificate, beside its hash and whom it was shown to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateField {
    /// Its SHA-256, which is told in any case.
    Hash,
    /// The subject.
    Subject,
    /// Its URIs.
    Uri,
    /// Its DNS names.
    Dns,
    /// The certificate itself.
    Cert,
    /// It and those between it and the authority.
    Chain,
}

/// A listener's settings for forwarding headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// The headers to set.
    pub headers: ForwardedHeaders,
    /// Whether to set them on gRPC requests too, as metadata.
    pub grpc: bool,
    /// Networks of trusted proxies: their headers are kept and appended to; those of other peers
    /// are dropped.
    pub trust: Vec<IpNet>,
    /// Whether peers on a Unix socket are trusted.
    pub trust_unix: bool,
    /// What `x-forwarded-client-cert` tells; nothing if empty.
    pub client_cert: Vec<CertificateField>,
}

impl Forwarding {
    /// Whether this peer's headers are trusted.
    pub fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Ip(address) => self.trust.iter().any(|network| network.contains(&address)),
            Peer::Unix => self.trust_unix,
        }
    }

    /// The client's address: of the hops, the last one that is not a trusted proxy. `list` is
    /// `x-forwarded-for`, `peer` its sender.
    pub fn client(&self, peer: Peer, list: &[&[u8]]) -> Peer {
        let mut client = peer;
        let hops = list.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
        for hop in hops {
            if !self.trusts(client) {
                break;
            }
            match Peer::read(hop) {
                Some(before) => client = before,
                None => break,
            }
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::address::network;

    #[test]
    fn the_client_is_the_last_hop_that_is_not_believed() {
        let trust = ["10.0.0.0/8", "192.0.2.7"].map(|text| network(text).unwrap()).into();
        let forwarding = Forwarding { trust, ..Forwarding::default() };
        let client = |peer: &str, list: &[&str]| {
            let list: Vec<&[u8]> = list.iter().map(|value| value.as_bytes()).collect();
            forwarding.client(Peer::read(peer.as_bytes()).unwrap(), &list).to_string()
        };
        assert_eq!(client("203.0.113.1", &["1.1.1.1"]), "203.0.113.1");
        assert_eq!(client("10.1.2.3", &["1.1.1.1, 203.0.113.9, 192.0.2.7"]), "203.0.113.9");
        assert_eq!(client("10.1.2.3", &["1.1.1.1", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("::ffff:10.1.2.3", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(client("10.1.2.3", &["1.1.1.1, unknown"]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(client("10.1.2.3", &["10.9.9.9"]), "10.9.9.9");
        assert_eq!(client("10.1.2.3", &["1.1.1.1, unix"]), "unix");
        assert_eq!(client("unix", &["1.1.1.1"]), "unix");
    }

    #[test]
    fn peers_on_unix_sockets_are_trusted_if_configured() {
        let forwarding = Forwarding { trust_unix: true, ..Forwarding::default() };
        let client = |list: &[&[u8]]| forwarding.client(Peer::Unix, list);
        assert_eq!(client(&[b"1.1.1.1, 2.2.2.2"]), Peer::Ip([2, 2, 2, 2].into()));
        assert_eq!(client(&[b"1.1.1.1, unix"]), Peer::Ip([1, 1, 1, 1].into()));
        assert_eq!(client(&[b"junk"]), Peer::Unix);
    }
}
