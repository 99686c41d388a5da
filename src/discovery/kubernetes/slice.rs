//! What one EndpointSlice says of its service's backends.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::wire::{Conditions, Endpoint, EndpointSlice, Hints, Named, Port};
use crate::discovery::Discovered;

/// The longest name of an object in Kubernetes.
const MAX_NAME: usize = 253;

/// Reasons why endpoints of a slice are left out that are told one by one, at most.
const MAX_TOLD: usize = 20;

/// An EndpointSlice, as far as it matters.
#[derive(Debug)]
pub struct Slice {
    /// Its name, by which it is changed and deleted.
    pub name: Box<str>,
    /// Those of its endpoints that are ready, or still serve while they terminate.
    pub members: Vec<Member>,
    /// What cannot be used: where it stands, and why.
    pub rejected: Vec<(String, String)>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub backend: Discovered,
    /// The zone whose clients it is meant for.
    pub hint: Option<Arc<str>>,
}

/// An object that is no slice: its name as far as it has one, and what is wrong.
pub type Unreadable = (Option<Box<str>>, String);

impl Slice {
    /// Reads a slice. `port` is the name of the wanted port, or its number.
    pub fn read(text: &str, port: Option<&str>) -> Result<Slice, Unreadable> {
        let slice: EndpointSlice<'_> = serde_json::from_str(text).map_err(|error| {
            let named = serde_json::from_str::<Named>(text).ok();
            let name = named.map(|object| object.metadata.name).filter(|name| is_name(name));
            (name.map(Into::into), format!("it is no EndpointSlice: {error}"))
        })?;
        if !is_name(&slice.metadata.name) {
            return Err((None, format!("its name is empty, or longer than {MAX_NAME} bytes")));
        }
        let (mut members, mut rejected) = (Vec::new(), Vec::new());
        let place = format!("EndpointSlice {}", slice.metadata.name);
        let endpoints = slice.endpoints.unwrap_or_default();
        // A service without pods may have slices without ports.
        if !endpoints.is_empty() {
            let family = Family::of(slice.address_type.as_deref());
            match family.and_then(|it| Ok((it, choose(slice.ports.as_deref(), port)?))) {
                Err(reason) => rejected.push((place.clone(), reason)),
                Ok((family, port)) => {
                    members.reserve_exact(endpoints.len());
                    for endpoint in endpoints {
                        match member(endpoint.get(), family, port) {
                            Ok(member) => members.extend(member),
                            Err((address, reason)) => {
                                rejected.push((format!("{place}, {address}"), reason));
                            }
                        }
                    }
                }
            }
        }
        let over = rejected.len().saturating_sub(MAX_TOLD);
        rejected.truncate(MAX_TOLD);
        if over > 0 {
            rejected.push((place, format!("{over} more endpoints cannot be used")));
        }
        Ok(Slice { name: slice.metadata.name.into(), members, rejected })
    }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
}

/// What the addresses of a slice are.
#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
    Name,
}

impl Family {
    fn of(address_type: Option<&str>) -> Result<Family, String> {
        match address_type {
            Some("IPv4") => Ok(Family::V4),
            Some("IPv6") => Ok(Family::V6),
            Some("FQDN") => Ok(Family::Name),
            Some(other) => Err(format!("its addressType `{other}` is not known")),
            None => Err("it has no addressType".into()),
        }
    }

    /// `host:port` of an address of this family.
    fn join(self, address: &str, port: u16) -> Result<String, String> {
        let wrong = |what: &str| format!("`{address}` is no {what} address");
        match self {
            Family::V4 => {
                let ip: Ipv4Addr = address.parse().map_err(|_| wrong("IPv4"))?;
                Ok(format!("{ip}:{port}"))
            }
            Family::V6 => {
                let ip: Ipv6Addr = address.parse().map_err(|_| wrong("IPv6"))?;
                Ok(format!("[{ip}]:{port}"))
            }
            Family::Name => Ok(format!("{}:{port}", address.trim_end_matches('.'))),
        }
    }
}

/// The port of `ports` that has this name or number; without it, the only one.
fn choose(ports: Option<&[Port]>, wanted: Option<&str>) -> Result<u16, String> {
    let ports: Vec<&Port> = ports.unwrap_or_default().iter().filter(|port| is_tcp(port)).collect();
    let number = |port: &Port| match port.port {
        None => Err(format!("its port `{}` stands for all ports: none is usable", name(port))),
        Some(number) => u16::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| format!("its port `{}` is {number}", name(port))),
    };
    let Some(wanted) = wanted else {
        return match &*ports {
            [only] => number(only),
            [] => {
                Err("it has no TCP port: set `port` to the number that the pods listen on".into())
            }
            _ => Err(format!("it has several ports: set `port` to one of {}", names(&ports))),
        };
    };
    if let Some(named) = ports.iter().find(|port| name(port) == wanted) {
        return number(named);
    }
    let digits = wanted.parse::<u16>().ok();
    match digits {
        // The port of a service without ports of its own.
        Some(digits) if ports.is_empty() => Ok(digits),
        Some(digits) if ports.iter().any(|port| port.port == Some(digits.into())) => Ok(digits),
        Some(_) if !ports.is_empty() => Err(format!(
            "its pods have no port {wanted}, which may be the service's own: set `port` to one of {}",
            names(&ports)
        )),
        _ => Err(format!("it has no TCP port `{wanted}`, but {}", names(&ports))),
    }
}

fn is_tcp(port: &Port) -> bool {
    port.protocol.as_deref().is_none_or(|protocol| protocol.is_empty() || protocol == "TCP")
}

fn name(port: &Port) -> &str {
    port.name.as_deref().unwrap_or_default()
}

/// The ports with their numbers, a few of them.
fn names(ports: &[&Port]) -> String {
    let shown: Vec<String> = ports
        .iter()
        .take(5)
        .map(|port| match port.port {
            Some(number) => format!("`{}` ({number})", name(port)),
            None => format!("`{}`", name(port)),
        })
        .collect();
    match shown.is_empty() {
        true => "none".into(),
        false => shown.join(", "),
    }
}

/// Reads an endpoint; `None` if it does not serve. An error has its address.
fn member(text: &str, family: Family, port: u16) -> Result<Option<Member>, (String, String)> {
    let endpoint: Endpoint = serde_json::from_str(text)
        .map_err(|error| ("an endpoint".to_owned(), format!("it cannot be read: {error}")))?;
    let Some(terminating) = terminating(endpoint.conditions.unwrap_or_default()) else {
        return Ok(None);
    };
    let address = endpoint.addresses.first().map(String::as_str).unwrap_or_default();
    let backend = family.join(address, port).and_then(|address| Discovered::at(&address));
    let backend = backend.map_err(|reason| (format!("address {address}"), reason))?;
    let pod = endpoint.target_ref.as_ref().and_then(|target| target.name.as_deref());
    let node = endpoint.node_name.as_deref();
    let metadata = [("pod", pod), ("node", node)];
    let mut backend =
        backend.with_metadata(metadata.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
    backend.terminating = terminating;
    let zone = endpoint.zone.as_deref();
    if let Some(zone) = zone {
        backend = backend.in_zone(zone);
    }
    let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref());
    backend = match (uid.filter(|uid| !uid.is_empty()), node) {
        (Some(uid), _) => backend.as_instance(uid),
        (None, Some(node)) => backend.as_instance(&format!("{node}/{address}")),
        (None, None) => backend,
    };
    let hint = endpoint.hints.as_ref().and_then(|hints| hint(hints, zone));
    Ok(Some(Member { backend, hint }))
}

/// Whether an endpoint is to be drained; `None` if it takes no requests at all. What is absent has a
/// meaning: unknown counts as ready.
fn terminating(conditions: Conditions) -> Option<bool> {
    let ready = conditions.ready.unwrap_or(true);
    let serving = conditions.serving.unwrap_or(ready);
    match ready {
        true => Some(false),
        false => (serving && conditions.terminating.unwrap_or(false)).then_some(true),
    }
}

/// The zone whose clients an endpoint is meant for: its own if that is among them, else the first.
fn hint(hints: &Hints, own: Option<&str>) -> Option<Arc<str>> {
    let zones = hints.for_zones.as_deref().unwrap_or_default();
    let named = |zone: &str| zones.iter().any(|it| it.name == zone);
    let zone = own.filter(|own| named(own)).or_else(|| Some(&*zones.first()?.name))?;
    (!zone.is_empty() && zone.len() <= MAX_NAME).then(|| zone.into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A slice with these endpoints and the port `grpc`, 50051.
    fn slice(endpoints: Value) -> Value {
        json!({
            "metadata": { "name": "orders-1" },
            "addressType": "IPv4",
            "ports": [{ "name": "grpc", "port": 50051, "protocol": "TCP", "appProtocol": "x" }],
            "endpoints": endpoints,
        })
    }

    fn read(slice: &Value, port: Option<&str>) -> Slice {
        Slice::read(&slice.to_string(), port).unwrap()
    }

    fn addresses(slice: &Slice) -> Vec<&str> {
        slice.members.iter().map(|member| member.backend.address.as_str()).collect()
    }

    #[test]
    fn conditions_that_are_absent_have_a_meaning() {
        let states = [None, Some(true), Some(false)];
        for ready in states {
            for serving in states {
                for ending in states {
                    let conditions = Conditions { ready, serving, terminating: ending };
                    // As the API's reference has it.
                    let expected = if ready != Some(false) {
                        Some(false)
                    } else if serving == Some(true) && ending == Some(true) {
                        Some(true)
                    } else {
                        None
                    };
                    assert_eq!(
                        terminating(conditions),
                        expected,
                        "{ready:?} {serving:?} {ending:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_endpoint_is_read_with_all_that_is_known_of_it() {
        let slice = read(
            &slice(json!([
                {
                    "addresses": ["10.0.0.1", "10.9.9.9"],
                    "conditions": { "ready": true, "serving": true, "terminating": false },
                    "nodeName": "node-1", "zone": "a",
                    "hints": { "forZones": [{ "name": "b" }, { "name": "a" }] },
                    "targetRef": { "kind": "Pod", "name": "orders-x", "uid": "u1" },
                    "deprecatedTopology": { "x": "y" },
                },
                { "addresses": ["10.0.0.2"], "nodeName": "node-1", "hints": { "forZones": null } },
                {
                    "addresses": ["10.0.0.3"], "conditions":
                    { "ready": false, "serving": true, "terminating": true },
                },
                { "addresses": ["10.0.0.4"], "conditions": { "ready": false } },
                { "addresses": ["10.0.0.5"], "conditions": null, "targetRef": null, "hints": null },
            ])),
            None,
        );
        assert_eq!(slice.rejected, []);
        let at = |address: &str| Discovered::at(address).unwrap();
        let first = at("10.0.0.1:50051").in_zone("a").as_instance("u1");
        let second = at("10.0.0.2:50051").as_instance("node-1/10.0.0.2");
        let expected = [
            (first.with_metadata([("pod", "orders-x"), ("node", "node-1")]), Some("a")),
            (second.with_metadata([("node", "node-1")]), None),
            (Discovered { terminating: true, ..at("10.0.0.3:50051") }, None),
            (at("10.0.0.5:50051"), None),
        ];
        let expected =
            expected.map(|(backend, hint)| Member { backend, hint: hint.map(Into::into) });
        assert_eq!(slice.members, expected);
    }

    #[test]
    fn addresses_are_of_the_slices_family() {
        let of = |family: &str, address: &str| {
            let mut slice = slice(json!([{ "addresses": [address] }]));
            slice["addressType"] = family.into();
            read(&slice, None)
        };
        assert_eq!(addresses(&of("IPv6", "fd00:0::A")), ["[fd00::a]:50051"]);
        assert_eq!(addresses(&of("FQDN", "db.example.")), ["db.example:50051"]);
        for (family, address, says) in [
            ("IPv4", "fd00::1", "no IPv4 address"),
            ("IPv4", "10.0.0.1:80", "no IPv4 address"),
            ("IPv6", "10.0.0.1", "no IPv6 address"),
            ("IPv4", "", "no IPv4 address"),
            ("IPv4", "0.0.0.0", "no single backend"),
            ("FQDN", "unix:/run/x", "Unix socket"),
            ("FQDN", "a b", "neither"),
            ("IPv5", "1", "addressType `IPv5`"),
        ] {
            let slice = of(family, address);
            assert_eq!(slice.members, []);
            let (_, reason) = &slice.rejected[0];
            assert!(reason.contains(says), "{family} {address}: {reason}");
        }
    }

    #[test]
    fn the_port_is_chosen_by_name_or_number() {
        let port = |name: Option<&str>, port: Option<i64>, protocol: Option<&str>| Port {
            name: name.map(Into::into),
            port,
            protocol: protocol.map(Into::into),
        };
        let one = [port(None, Some(80), None)];
        let several = [
            port(Some("grpc"), Some(50051), Some("TCP")),
            port(Some("metrics"), Some(9090), None),
            port(Some("quic"), Some(50051), Some("UDP")),
            port(Some("any"), None, None),
            port(Some("bad"), Some(70_000), None),
        ];
        let choose = |ports: &[Port], wanted| choose(Some(ports), wanted);
        assert_eq!(choose(&one, None), Ok(80));
        assert_eq!(choose(&one, Some("80")), Ok(80));
        assert_eq!(choose(&several, Some("grpc")), Ok(50051));
        assert_eq!(choose(&several, Some("9090")), Ok(9090));
        assert_eq!(super::choose(None, Some("7000")), Ok(7000), "of a service without ports");
        for (ports, wanted, says) in [
            (&several[..], None, "set `port` to one of `grpc` (50051), `metrics` (9090)"),
            (&several, Some("quic"), "no TCP port `quic`"),
            (&several, Some("any"), "all ports"),
            (&several, Some("bad"), "70000"),
            (&several, Some("80"), "the service's own"),
            (&one, Some("grpc"), "no TCP port `grpc`, but `` (80)"),
            (&[], None, "no TCP port"),
            (&[], Some("grpc"), "none"),
        ] {
            let error = choose(ports, wanted).unwrap_err();
            assert!(error.contains(says), "{wanted:?}: {error}");
        }
    }

    #[test]
    fn one_bad_endpoint_does_not_spoil_the_rest() {
        let mut endpoints = vec![json!({ "addresses": ["10.0.0.1"] })];
        endpoints.extend((0..30).map(|n| json!({ "addresses": [format!("10.0.0.{n}.x")] })));
        endpoints.extend([json!(7), json!({ "addresses": 1 }), json!({ "addresses": [] })]);
        endpoints.push(json!({ "addresses": ["10.0.0.2"] }));
        let slice = read(&slice(endpoints.into()), None);
        assert_eq!(addresses(&slice), ["10.0.0.1:50051", "10.0.0.2:50051"]);
        assert_eq!(slice.rejected.len(), MAX_TOLD + 1);
        assert_eq!(slice.rejected[0].0, "EndpointSlice orders-1, address 10.0.0.0.x");
        assert!(slice.rejected[MAX_TOLD].1.starts_with("13 more"), "{:?}", slice.rejected);
    }

    #[test]
    fn slices_without_endpoints_need_no_port() {
        for endpoints in [json!(null), json!([])] {
            let mut slice = slice(endpoints);
            slice["ports"] = Value::Null;
            let slice = read(&slice, Some("grpc"));
            assert_eq!((slice.members.len(), slice.rejected.len()), (0, 0));
        }
    }

    #[test]
    fn what_is_no_slice_is_named_if_it_can_be() {
        for (text, name) in [
            ("7", None),
            ("{}", None),
            (r#"{ "metadata": { "name": "" } }"#, None),
            (r#"{ "metadata": { "name": "x" }, "endpoints": 5 }"#, Some("x")),
            (r#"{ "metadata": { "name": "x" }, "ports": [ 5 ] }"#, Some("x")),
        ] {
            let (named, _) = Slice::read(text, None).unwrap_err();
            assert_eq!(named.as_deref(), name, "{text}");
        }
        let long = json!({ "metadata": { "name": "x".repeat(300) } }).to_string();
        assert!(Slice::read(&long, None).unwrap_err().1.contains("253"));
    }
}
