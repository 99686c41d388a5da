//! A set of backends, as a registry has it.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::model::Address;

/// How many backends of one service are taken from a registry.
pub const MAX_DISCOVERED: usize = 10_000;

/// The highest weight that is taken as it is.
const MAX_WEIGHT: u32 = 1_000_000;

/// Longest zone and instance, in bytes.
const MAX_TEXT: usize = 256;

/// Bounds on metadata: entries, and bytes of a name or value.
const MAX_METADATA: (usize, usize) = (16, 128);

/// The backends of a service. Each is shared by all who keep it.
pub type DiscoveredSet = Arc<[Arc<Discovered>]>;

/// One backend in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// Where it is.
    pub address: Address,
    /// Its weight, if the registry says one.
    pub weight: Option<u32>,
    /// Its zone.
    pub zone: Option<Arc<str>>,
    /// Wants no new requests, as it is about to end.
    pub terminating: bool,
    /// What distinguishes it from an earlier backend at the same address: uid, lease, id.
    pub instance: Option<Arc<str>>,
    /// What else the registry says of it, for people.
    pub metadata: Arc<[(Box<str>, Box<str>)]>,
}

impl Discovered {
    /// A backend of which the registry says no more than the address.
    ///
    /// # Errors
    /// If `address` is not `host:port`, or no backend can be there.
    pub fn at(address: &str) -> Result<Discovered, String> {
        let address = Address::parse(address)?;
        check(&address)?;
        let (weight, zone, instance) = (None, None, None);
        let metadata = Arc::default();
        Ok(Discovered { address, weight, zone, terminating: false, instance, metadata })
    }

    /// The same with this weight, or the highest that is allowed.
    pub fn with_weight(self, weight: u32) -> Discovered {
        Discovered { weight: Some(weight.min(MAX_WEIGHT)), ..self }
    }

    /// The same in this zone, if it is a short text.
    pub fn in_zone(self, zone: &str) -> Discovered {
        Discovered { zone: short(zone), ..self }
    }

    /// The same as this instance, if it is a short text.
    pub fn as_instance(self, instance: &str) -> Discovered {
        Discovered { instance: short(instance), ..self }
    }

    /// The same with metadata, of which what is too long or too much is left out.
    pub fn with_metadata<'a>(
        self,
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Discovered {
        let (most, longest) = MAX_METADATA;
        let fits = |(name, value): &(&str, &str)| name.len() <= longest && value.len() <= longest;
        let taken = metadata.into_iter().filter(fits).take(most);
        let metadata = taken.map(|(name, value)| (name.into(), value.into())).collect();
        Discovered { metadata, ..self }
    }

    /// Whether it would take requests.
    pub fn serves(&self) -> bool {
        !self.terminating && self.weight != Some(0)
    }
}

fn short(text: &str) -> Option<Arc<str>> {
    (!text.is_empty() && text.len() <= MAX_TEXT).then(|| text.into())
}

/// Registries are not trusted: refuses addresses that are not those of a backend.
fn check(address: &Address) -> Result<(), String> {
    if address.is_socket() {
        return Err(format!("`{address}` is a Unix socket, which no registry may name"));
    }
    let Ok(at) = address.as_str().parse::<SocketAddr>() else { return Ok(()) };
    match is_one_host(at.ip()) {
        true if is_link_local(at.ip()) => Err(format!(
            "`{address}` is link-local, as what clouds tell their machines: no registry may name it"
        )),
        true => Ok(()),
        false => Err(format!("`{address}` is the address of no single backend")),
    }
}

/// Whether a single host may be there.
pub(super) fn is_one_host(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || broadcast)
}

/// Whether it means something else on each machine, as metadata services of clouds do: a registry
/// could have the gateway ask these.
fn is_link_local(ip: IpAddr) -> bool {
    /// Where one cloud has its metadata service in IPv6.
    const METADATA: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip == METADATA,
    }
}

/// Each address once, the first of several, and at most `MAX_DISCOVERED`; how many were left out as too
/// many.
pub(super) fn bounded(mut backends: Vec<Discovered>) -> (Vec<Discovered>, usize) {
    let mut seen = HashSet::with_capacity(backends.len());
    backends.retain(|backend| seen.insert(backend.address.clone()));
    let over = backends.len().saturating_sub(MAX_DISCOVERED);
    backends.truncate(MAX_DISCOVERED);
    (backends, over)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_no_backend_are_refused() {
        for text in ["10.0.0.1:80", "[2001:db8::1]:80", "orders:80", "127.0.0.1:80"] {
            assert_eq!(Discovered::at(text).unwrap().address.as_str(), text);
        }
        for text in [
            "",
            "orders",
            "10.0.0.1:0",
            "10.0.0.1:99999",
            "unix:/run/docker.sock",
            "0.0.0.0:80",
            "[::]:80",
            "[::ffff:0.0.0.0]:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[ff02::1]:80",
            "169.254.169.254:80",
            "[::ffff:169.254.169.254]:80",
            "[fe80::1]:80",
            "[fd00:ec2::254]:80",
            "http://orders:80",
        ] {
            assert!(Discovered::at(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_registry_says_is_bounded() {
        let backend = Discovered::at("a:1").unwrap();
        let long = "x".repeat(300);
        let many: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        let told = backend
            .with_weight(u32::MAX)
            .in_zone(&long)
            .as_instance("")
            .with_metadata(many.iter().map(|n| (&**n, "v")).chain([(&*long, "v")]));
        assert_eq!(told.weight, Some(MAX_WEIGHT));
        assert_eq!((told.zone, told.instance, told.metadata.len()), (None, None, 16));
    }

    #[test]
    fn of_one_address_the_first_counts_and_too_many_are_left_out() {
        let at =
            |n: usize| Discovered::at(&format!("10.0.{}.{}:80", n / 250, n % 250 + 1)).unwrap();
        let twice = vec![at(1).with_weight(2), at(2), at(1).with_weight(3)];
        assert_eq!(bounded(twice), (vec![at(1).with_weight(2), at(2)], 0));
        let (taken, over) = bounded((0..10_003).map(at).collect());
        assert_eq!((taken.len(), over), (MAX_DISCOVERED, 3));
    }
}
