//! Overlapping listen addresses: same port, and an interface in common.

use std::net::SocketAddr;

/// Whether some destination matches both, if `[::]` accepts IPv4 too.
pub fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let scopes = match (one, other) {
        (SocketAddr::V6(one), SocketAddr::V6(other)) => one.scope_id() == other.scope_id(),
        _ => true,
    };
    let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    let same = ip == other_ip && scopes;
    let port = one.port() == other.port() && one.port() != 0; // port 0 is a fresh port each
    port && (same || takes_in(one, other) || takes_in(other, one))
}

/// Whether `wide` is a wildcard address that includes `narrow`.
pub fn takes_in(wide: SocketAddr, narrow: SocketAddr) -> bool {
    let (wide, narrow) = (wide.ip().to_canonical(), narrow.ip().to_canonical());
    wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4()) && wide != narrow
}

/// Whether `address` is `[::]` and leaves IPv4 to the `0.0.0.0` of the same port among `all`.
pub fn leaves_ipv4(address: SocketAddr, all: &[SocketAddr]) -> bool {
    let any = |address: SocketAddr| address.ip().to_canonical().is_unspecified();
    let is_ipv4 = |address: SocketAddr| address.ip().to_canonical().is_ipv4();
    let ipv4 = |other: &SocketAddr| is_ipv4(*other) && any(*other) && overlap(address, *other);
    any(address) && !is_ipv4(address) && all.iter().any(ipv4)
}

/// Whether both cannot be bound together.
pub fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let share = leaves_ipv4(one, &[other]) || leaves_ipv4(other, &[one]);
    overlap(one, other) && !share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn overlapping_addresses_clash() {
        for (one, other, clashes) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("127.0.0.1:1", "[::]:1", true),
            ("127.0.0.1:1", "[::1]:1", false),
            ("127.0.0.1:1", "[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("0.0.0.0:1", "[::]:1", false),
            ("0.0.0.0:1", "[::ffff:10.0.0.1]:1", true),
            ("[::]:1", "[::1]:1", true),
            ("[::]:1", "[::]:1", true),
            ("[fe80::1%1]:1", "[fe80::1%2]:1", false),
            ("[fe80::1%1]:1", "[fe80::1%1]:1", true),
            ("[fe80::1%1]:1", "[::]:1", true),
            ("0.0.0.0:0", "0.0.0.0:0", false),
            ("[::]:0", "127.0.0.1:0", false),
        ] {
            assert_eq!(clash(at(one), at(other)), clashes, "{one} {other}");
            assert_eq!(clash(at(other), at(one)), clashes, "{other} {one}");
        }
    }

    #[test]
    fn the_one_for_all_of_ipv6_leaves_ipv4_to_its_like_alone() {
        let all = ["0.0.0.0:1", "[::]:1", "[::]:2", "127.0.0.1:2", "[::]:0", "0.0.0.0:0"].map(at);
        let leaving: Vec<_> = all.iter().filter(|address| leaves_ipv4(**address, &all)).collect();
        assert_eq!(leaving, [&at("[::]:1")]);
    }
}
