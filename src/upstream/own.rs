//! Addresses on which this process listens: clients' requests must not reach its control API and
//! metrics (SSRF), nor come back to its listeners for clients, and go round.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::UnixStream;

use super::connect::ConnectError;
use crate::model::SocketAddress;
use crate::text::address;

/// Addresses on which this process listens.
#[derive(Debug, Default)]
pub struct OwnAddresses(Vec<SocketAddress>);

/// Those to which no connection is made.
#[derive(Debug)]
pub(super) struct Refusals {
    /// Control API and metrics.
    operators: OwnAddresses,
    /// Listeners for clients; a reload may change them.
    clients: ArcSwap<OwnAddresses>,
}

impl Refusals {
    pub fn of(operators: OwnAddresses) -> Refusals {
        Refusals { operators, clients: ArcSwap::default() }
    }

    /// Replaces the listeners for clients.
    pub fn set_clients(&self, clients: OwnAddresses) {
        self.clients.store(Arc::new(clients));
    }

    /// Whether a connection may be made to something of which `is` tells whether it is among some.
    ///
    /// # Errors
    /// It is one of these.
    pub fn check(&self, is: impl Fn(&OwnAddresses) -> bool) -> Result<(), ConnectError> {
        if is(&self.operators) {
            return Err(ConnectError::Own);
        }
        if is(&self.clients.load()) { Err(ConnectError::Circle) } else { Ok(()) }
    }
}

impl OwnAddresses {
    /// The addresses as bound.
    pub fn new(bound: impl IntoIterator<Item = SocketAddress>) -> OwnAddresses {
        OwnAddresses(bound.into_iter().collect())
    }

    /// Whether an endpoint is literally one of them, without name resolution.
    pub fn include_text(&self, endpoint: &str) -> bool {
        if let Some(path) = address::socket(endpoint) {
            return path.is_ok_and(|path| self.include_path(&path));
        }
        let local = || {
            let (host, port) = endpoint.rsplit_once(':')?;
            let local = host.trim_end_matches('.').eq_ignore_ascii_case("localhost");
            let ips = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            let port = port.parse().ok().filter(|_| local)?;
            Some(ips.iter().any(|ip| self.include(SocketAddr::new(*ip, port))))
        };
        match endpoint.parse() {
            Ok(address) => self.include(address),
            Err(_) => local().unwrap_or(false),
        }
    }

    /// Whether a connection to `address` would end at one of them.
    pub fn include(&self, address: SocketAddr) -> bool {
        self.0.iter().filter_map(SocketAddress::ip).any(|own| reaches(address, own, is_local))
    }

    /// Whether `path` is one of them, symbolic links resolved.
    pub fn include_path(&self, path: &str) -> bool {
        self.paths().any(|own| own == path || is_same_file(own, path))
    }

    /// Whether an established connection ends at one of them, whatever has become of paths and
    /// links: the kernel knows the peer and its bound path.
    pub fn are_reached_by(&self, stream: &UnixStream) -> bool {
        let Ok(peer) = stream.peer_addr() else { return false };
        let bound = |own: &str| peer.as_pathname().is_some_and(|path| path.as_os_str() == own);
        let listens = || stream.peer_cred().ok()?.pid()?.try_into().ok();
        self.paths().any(bound) && listens() == Some(std::process::id())
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|own| match own {
            SocketAddress::Unix(path) => Some(&**path),
            SocketAddress::Ip(_) => None,
        })
    }
}

fn is_same_file(one: &str, other: &str) -> bool {
    let id = |path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    id(one).is_some_and(|one| Some(one) == id(other))
}

/// Whether a connection to `address` ends at the listener `bound`; `is_local` tells this machine's
/// addresses.
pub fn reaches(address: SocketAddr, bound: SocketAddr, is_local: fn(SocketAddr) -> bool) -> bool {
    let (to, at) = (address.ip().to_canonical(), bound.ip().to_canonical());
    if address.port() != bound.port() {
        return false;
    }
    // Connecting to an unspecified address reaches this machine.
    if at.is_unspecified() {
        return to.is_unspecified() || to.is_loopback() || is_local(address);
    }
    let here = match to {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    here == at || (to.is_unspecified() && at.is_loopback())
}

/// Whether the address, with its scope, is one of this machine's: only those can be bound. If that
/// cannot be found out, for want of descriptors for instance, it may be.
fn is_local(mut address: SocketAddr) -> bool {
    address.set_ip(address.ip().to_canonical());
    address.set_port(0);
    match UdpSocket::bind(address) {
        Ok(_) => true,
        // EAFNOSUPPORT and EINVAL: no connection is possible either.
        Err(error) => {
            let nowhere = matches!(error.raw_os_error(), Some(97 | 22));
            error.kind() != ErrorKind::AddrNotAvailable && !nowhere
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_names_them() {
        let own = |bound: &str, to: &str| {
            let local = |to: SocketAddr| to.ip().to_canonical() == IpAddr::from([192, 0, 2, 1]);
            reaches(to.parse().unwrap(), bound.parse().unwrap(), local)
        };
        for (bound, to) in [
            ("127.0.0.1:9900", "127.0.0.1:9900"),
            ("127.0.0.1:9900", "[::ffff:127.0.0.1]:9900"),
            ("127.0.0.1:9900", "0.0.0.0:9900"),
            ("127.0.0.1:9900", "[::]:9900"),
            ("[::1]:9900", "[::]:9900"),
            ("0.0.0.0:9900", "127.0.0.3:9900"),
            ("0.0.0.0:9900", "192.0.2.1:9900"),
            ("0.0.0.0:9900", "0.0.0.0:9900"),
            ("[::]:9900", "[::1]:9900"),
            ("[::]:9900", "127.0.0.1:9900"),
            ("[::]:9900", "192.0.2.1:9900"),
            ("[::]:9900", "[::ffff:192.0.2.1]:9900"),
            ("[::ffff:0.0.0.0]:9900", "192.0.2.1:9900"),
            ("192.0.2.1:9900", "192.0.2.1:9900"),
        ] {
            assert!(own(bound, to), "{to} is {bound}");
        }
        for (bound, to) in [
            ("127.0.0.1:9900", "127.0.0.1:9901"),
            ("127.0.0.1:9900", "127.0.0.2:9900"),
            ("127.0.0.1:9900", "192.0.2.1:9900"),
            ("0.0.0.0:9900", "192.0.2.2:9900"),
            ("[::]:9900", "[2001:db8::1]:9900"),
            ("192.0.2.1:9900", "127.0.0.1:9900"),
        ] {
            assert!(!own(bound, to), "{to} is not {bound}");
        }
    }

    #[test]
    fn this_machine_knows_its_addresses() {
        assert!(is_local("127.0.0.1:9900".parse().unwrap()));
        assert!(is_local("[::ffff:127.0.0.1]:9900".parse().unwrap()));
        assert!(!is_local("192.0.2.77:9900".parse().unwrap()));
    }
}
