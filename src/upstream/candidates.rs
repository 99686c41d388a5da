//! Address selection: the order in which an endpoint's addresses are tried.
//!
//! Round robin over the addresses, so that a dead one does not stay first; IPv6 and IPv4
//! interleaved (RFC 8305, section 4); recently failed ones last.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::model::Time;

/// How long a failed address is deprioritised.
const FAILURE_TTL: Duration = Duration::from_secs(30);

/// Connection history of an endpoint's addresses.
#[derive(Debug)]
pub struct Candidates {
    /// Round-robin position.
    turn: usize,
    /// Start of the latest unsuccessful attempt, by address.
    failed: HashMap<SocketAddr, Time>,
}

impl Candidates {
    /// Empty history; starts at `turn`, so that pools do not all start at the same address.
    pub fn new(turn: usize) -> Candidates {
        Candidates { turn, failed: HashMap::new() }
    }

    /// The order of `addresses` for the next connection.
    pub fn order(&mut self, addresses: &[SocketAddr], now: Time) -> Vec<SocketAddr> {
        self.failed.retain(|address, at| {
            now.since(*at) < FAILURE_TTL && addresses.contains(address) // drops addresses that are gone
        });
        let (failed, mut order): (Vec<_>, Vec<_>) =
            interleave(addresses).into_iter().partition(|at| self.failed.contains_key(at));
        if !order.is_empty() {
            let turn = self.turn % order.len();
            order.rotate_left(turn);
        }
        self.turn = self.turn.wrapping_add(1);
        let mut failed = failed;
        failed.sort_by_key(|address| self.failed.get(address));
        order.extend(failed);
        order
    }

    /// Records an attempt; it counts as failed until it succeeds.
    pub fn begin(&mut self, address: SocketAddr, now: Time) {
        self.failed.insert(address, now);
    }

    /// Records a success. Attempts begun after it were cancelled, not failed.
    pub fn succeed(&mut self, address: SocketAddr) {
        if let Some(began) = self.failed.remove(&address) {
            self.failed.retain(|_, at| *at <= began);
        }
    }
}

/// Interleaves both families, each in the order given.
fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let (six, four): (Vec<&SocketAddr>, Vec<&SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv6());
    let mut order = Vec::with_capacity(addresses.len());
    for at in 0..six.len().max(four.len()) {
        order.extend([six.get(at), four.get(at)].into_iter().flatten().map(|address| **address));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses<const N: usize>(texts: [&str; N]) -> [SocketAddr; N] {
        texts.map(|text| format!("{text}:80").parse().unwrap())
    }

    #[test]
    fn families_take_turns_and_each_connection_begins_elsewhere() {
        let all @ [a, b, c, d] = addresses(["10.0.0.1", "10.0.0.2", "10.0.0.3", "[2001:db8::1]"]);
        let mut candidates = Candidates::new(4);
        let mut order = || candidates.order(&all, Time::ZERO);
        assert_eq!(order(), [d, a, b, c]);
        assert_eq!(order(), [a, b, c, d]);
        assert_eq!(order(), [b, c, d, a]);
    }

    #[test]
    fn a_failed_address_comes_last_for_a_while() {
        let all @ [a, b, c] = addresses(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let mut candidates = Candidates::new(0);
        let at = Time::from_millis;
        candidates.begin(b, at(0));
        candidates.begin(a, at(250));
        for _ in 0..4 {
            assert_eq!(candidates.order(&all, at(1000)), [c, b, a]);
        }
        candidates.succeed(b);
        assert_eq!(candidates.order(&all, at(1000))[..2], [b, c], "a had its time cut short");
        candidates.begin(a, at(1000));
        assert_eq!(candidates.order(&all, at(30_999))[2], a);
        let starts = [(); 3].map(|()| candidates.order(&all, at(31_000))[0]);
        assert!(starts.contains(&a), "{starts:?}");
        candidates.begin(a, at(31_000));
        candidates.order(&[b], at(31_000));
        assert!(candidates.failed.is_empty(), "what is no address any more is forgotten");
    }
}
