//! Socket addresses of listeners and peers: IP and port, or Unix socket.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::text::address::socket;

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SocketAddress {
    /// IP and port.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Unix(Arc<str>),
}

impl SocketAddress {
    /// Parses a listener's address: an IP and a port, or a Unix socket.
    ///
    /// # Errors
    /// What is wrong, and how to fix it.
    pub fn parse(text: &str) -> Result<SocketAddress, String> {
        if let Some(path) = socket(text) {
            return path.map(|path| SocketAddress::Unix(path.into()));
        }
        text.parse().map(SocketAddress::Ip).map_err(|_| {
            let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
            let port = port.unwrap_or("8080");
            format!(
                "`{text}` is not an address to listen on: write IP and port, such as \
                 0.0.0.0:{port} for all interfaces or 127.0.0.1:{port} for this machine alone, or \
                 unix: and a path"
            )
        })
    }

    /// IP and port, if it has them.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            SocketAddress::Ip(address) => Some(*address),
            SocketAddress::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> SocketAddress {
        SocketAddress::Ip(address)
    }
}

/// As written in the configuration.
impl Display for SocketAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            SocketAddress::Ip(address) => address.fmt(f),
            SocketAddress::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// The peer address of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An IP; IPv4-mapped IPv6 is kept as IPv4.
    Ip(IpAddr),
    /// A local process, through a Unix socket.
    Unix,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Peer {
        Peer::Ip(address.to_canonical())
    }
}

impl From<&SocketAddress> for Peer {
    fn from(place: &SocketAddress) -> Peer {
        match place {
            SocketAddress::Ip(address) => address.ip().into(),
            SocketAddress::Unix(_) => Peer::Unix,
        }
    }
}

impl Peer {
    /// Text that stands for the address of a peer on a Unix socket.
    pub const UNIX: &str = "unix";

    /// Parses an address in the form of `x-forwarded-for`.
    pub fn read(text: &[u8]) -> Option<Peer> {
        match str::from_utf8(text.trim_ascii()).ok()? {
            Peer::UNIX => Some(Peer::Unix),
            text => text.parse::<IpAddr>().ok().map(Peer::from),
        }
    }
}

/// In the form of `x-forwarded-for`.
impl Display for Peer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Ip(ip) => ip.fmt(f),
            Peer::Unix => f.write_str(Peer::UNIX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_need_an_ip_or_a_path() {
        assert!(SocketAddress::parse("0.0.0.0:0").is_ok());
        assert!(SocketAddress::parse("[::]:8080").is_ok());
        assert_eq!(
            SocketAddress::parse("unix:/run//a.sock"),
            Ok(SocketAddress::Unix("/run/a.sock".into()))
        );
        assert!(SocketAddress::parse("unix:a.sock").unwrap_err().contains("begins with /"));
        for wrong in ["8080", ":8080", "localhost:8080", "*:8080", ""] {
            assert!(
                SocketAddress::parse(wrong).unwrap_err().contains("write IP and port"),
                "{wrong}"
            );
        }
    }
}
