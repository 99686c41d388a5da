//! Parsing and validating addresses.

mod socket;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

pub use socket::socket;

/// Parses the address of a name server: an IP, and a port unless it is 53.
///
/// # Errors
/// What is wrong, and how to fix it.
pub fn name_server(text: &str) -> Result<SocketAddr, String> {
    let usual = || text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53));
    text.parse().or_else(|_| usual()).map_err(|_| {
        format!("`{text}` is no address of a name server: write 10.0.0.2 or 127.0.0.1:8600")
    })
}

/// Validates the address of an endpoint: IPv4, `[IPv6]` or DNS name with a port, or a Unix socket.
/// Returns it as written.
///
/// # Errors
/// What is wrong, and how to fix it.
pub fn endpoint(text: &str) -> Result<String, String> {
    let bad = |what: &str| {
        Err(format!(
            "`{text}` {what}: write host:port, such as 10.0.0.7:50051, [::1]:50051 or orders:50051"
        ))
    };
    if let Some(path) = socket(text) {
        return path.map(|path| format!("unix:{path}"));
    }
    if text.contains("://") {
        return bad("is a URL");
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return bad("has no port");
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if !digits || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return bad("has no port from 1 to 65535 at its end");
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').unwrap_or_default();
        return match inner.parse::<Ipv6Addr>() {
            Ok(_) => Ok(text.into()),
            Err(_) => bad("has a wrong IPv6 address"),
        };
    }
    if host.contains(':') {
        return bad("has an IPv6 address without brackets");
    }
    if is_host(host) {
        return Ok(text.into());
    }
    bad("has neither an IP address nor a DNS name before its port")
}

/// Validates a host with a port, as `endpoint` does, but no Unix socket.
///
/// # Errors
/// What is wrong, and how to fix it.
pub fn host_and_port(text: &str) -> Result<String, String> {
    match socket(text) {
        Some(_) => Err(format!("`{text}` is a Unix socket: write host:port, such as orders:50051")),
        None => endpoint(text),
    }
}

/// Validates the name of a service in DNS.
///
/// # Errors
/// What is wrong, and how to fix it.
pub fn service_name(text: &str) -> Result<String, String> {
    match is_host(text) && text.parse::<Ipv4Addr>().is_err() {
        true => Ok(text.into()),
        false => {
            Err(format!("`{text}` is no DNS name: write one such as _grpc._tcp.orders.example"))
        }
    }
}

/// The canonical form by which endpoints are compared: host names are case-insensitive, paths are
/// not.
pub fn identity(endpoint: &str) -> String {
    match socket(endpoint) {
        Some(Ok(path)) => format!("unix:{path}"),
        _ => endpoint.to_ascii_lowercase(),
    }
}

/// Parses a CIDR network such as `10.0.0.0/8`, or a single address.
///
/// # Errors
/// What is wrong, and how to fix it.
pub fn network(text: &str) -> Result<IpNet, String> {
    let one = text.parse::<IpAddr>().map(IpNet::from);
    one.or_else(|_| text.parse::<IpNet>())
        .map(|network| network.trunc())
        .map_err(|_| format!("`{text}` is not a network: write 10.0.0.0/8, fd00::/8 or 192.0.2.7, or unix for Unix sockets"))
}

fn is_host(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A name whose last label is numeric would be parsed as a malformed IPv4 address.
    let numeric = name.rsplit('.').next().is_some_and(|last| last.parse::<u64>().is_ok());
    match numeric {
        true => host.parse::<Ipv4Addr>().is_ok(),
        false => name.len() <= 253 && name.split('.').all(label),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_hosts_with_ports() {
        for right in [
            "127.0.0.1:1",
            "[::1]:65535",
            "orders:50051",
            "a-b.c_d.example.:80",
            "xn--nxasmq6b.example:443",
            "unix:50051",
            "unix:/run/orders.sock",
        ] {
            assert_eq!(endpoint(right), Ok(right.into()));
        }
        for (wrong, says) in [
            ("orders", "no port"),
            ("orders:", "no port from"),
            ("orders:0", "no port from"),
            ("orders:65536", "no port from"),
            ("orders:+80", "no port from"),
            ("::1:80", "without brackets"),
            ("[::g]:80", "wrong IPv6"),
            ("[::1:80", "wrong IPv6"),
            ("1.2.3:80", "neither"),
            ("1.2.3.256:80", "neither"),
            (":80", "neither"),
            ("a b:80", "neither"),
            ("-a:80", "neither"),
            ("http://a:80", "URL"),
            ("unix:orders.sock", "begins with /"),
        ] {
            let message = endpoint(wrong).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn names_of_dns_are_neither_addresses_nor_sockets() {
        assert_eq!(host_and_port("orders.example:80"), Ok("orders.example:80".into()));
        assert!(host_and_port("unix:/run/a").unwrap_err().contains("is a Unix socket"));
        for right in ["_grpc._tcp.orders.example", "orders.service.consul."] {
            assert_eq!(service_name(right), Ok(right.into()));
        }
        for wrong in ["", "10.0.0.1", "orders:80", "a..b", "1.2"] {
            assert!(service_name(wrong).unwrap_err().contains("_grpc._tcp"), "{wrong}");
        }
    }

    #[test]
    fn paths_are_case_sensitive_and_hosts_are_not() {
        assert_eq!(identity("Orders.Example:80"), identity("orders.example:80"));
        assert_eq!(identity("unix:///run/a"), identity("unix:/run/a"));
        assert_ne!(identity("unix:/run/A"), identity("unix:/run/a"));
    }

    #[test]
    fn name_servers_have_a_usual_port() {
        for (text, means) in [
            ("10.0.0.2", "10.0.0.2:53"),
            ("10.0.0.2:8600", "10.0.0.2:8600"),
            ("::1", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(name_server(text), Ok(means.parse().unwrap()));
        }
        assert!(name_server("dns:53").unwrap_err().contains("write 10.0.0.2"));
    }

    #[test]
    fn networks_are_read() {
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        assert!(network("10.0.0.0/33").unwrap_err().contains("write 10.0.0.0/8"));
        assert!(network("proxy").is_err());
    }
}
