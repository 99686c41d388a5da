//! Where connections go to, and where they come from.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Where somebody listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A port.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Unix(Arc<str>),
}

impl Place {
    /// The address and port, if it has one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Place::Ip(address) => Some(*address),
            Place::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Place {
        Place::Ip(address)
    }
}

/// As in the configuration.
impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Place::Ip(address) => address.fmt(f),
            Place::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody with this address, which is IPv4 if it can be.
    Ip(IpAddr),
    /// Somebody on this machine, through a Unix socket.
    Unix,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Peer {
        Peer::Ip(address.to_canonical())
    }
}

impl From<&Place> for Peer {
    fn from(place: &Place) -> Peer {
        match place {
            Place::Ip(address) => address.ip().into(),
            Place::Unix(_) => Peer::Unix,
        }
    }
}

impl Peer {
    /// What stands for an address where there is none.
    pub const UNIX: &str = "unix";

    /// Reads an address as `x-forwarded-for` has it.
    pub fn read(text: &[u8]) -> Option<Peer> {
        match str::from_utf8(text.trim_ascii()).ok()? {
            Peer::UNIX => Some(Peer::Unix),
            text => text.parse::<IpAddr>().ok().map(Peer::from),
        }
    }
}

/// As `x-forwarded-for` has it.
impl Display for Peer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Ip(ip) => ip.fmt(f),
            Peer::Unix => f.write_str(Peer::UNIX),
        }
    }
}
