//! Addresses that no request of a client may reach: those of this process' control and metrics.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Where this process listens for operators.
#[derive(Debug, Default)]
pub struct OwnAddresses(Vec<SocketAddr>);

impl OwnAddresses {
    /// These, as they are bound.
    pub fn new(bound: impl IntoIterator<Item = SocketAddr>) -> OwnAddresses {
        OwnAddresses(bound.into_iter().collect())
    }

    /// Whether an endpoint is one of them whatever name servers say.
    pub fn are_meant_by(&self, endpoint: &str) -> bool {
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
        self.0.iter().any(|own| reaches(address, *own, is_local))
    }
}

/// Whether a connection to `address` ends at who listens on `bound`; `is_local` says whether an
/// address is one of this machine's.
pub fn reaches(address: SocketAddr, bound: SocketAddr, is_local: fn(IpAddr) -> bool) -> bool {
    let (to, at) = (address.ip().to_canonical(), bound.ip().to_canonical());
    if address.port() != bound.port() {
        return false;
    }
    // To connect to no address in particular is to connect to this machine.
    if at.is_unspecified() {
        return to.is_unspecified() || to.is_loopback() || is_local(to);
    }
    let here = match to {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    here == at || (to.is_unspecified() && at.is_loopback())
}

/// Whether `ip` is one of this machine's: the system lets nobody use another's.
fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_names_them() {
        let own = |bound: &str, to: &str| {
            let local = |ip: IpAddr| ip == IpAddr::from([192, 0, 2, 1]);
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
        assert!(is_local(IpAddr::from([127, 0, 0, 1])));
        assert!(!is_local(IpAddr::from([192, 0, 2, 77])));
    }
}
