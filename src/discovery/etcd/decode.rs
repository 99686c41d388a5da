//! What frameworks write into etcd when they register an instance: one decoder for all of their forms.
//!
//! The forms are told apart by the names of their fields, never by the key. Whatever is none of them
//! is refused with a reason, and nothing is guessed.

use serde_json::{Map, Value};

use crate::discovery::Discovered;

/// The longest value that is read, in bytes.
const MAX_VALUE: usize = 64 << 10;

/// Backends that one value may name.
const MAX_BACKENDS: usize = 16;

/// What counts in Kitex for a weight that is missing or not positive.
const KITEX_WEIGHT: u32 = 10;

/// The same in Dubbo.
const DUBBO_WEIGHT: u32 = 100;

/// Where dubbo-go lists the ports of an instance, as JSON in a text.
const DUBBO_PORTS: &str = "dubbo.endpoints";

/// Dubbo's protocol that is gRPC.
const TRIPLE: &str = "tri";

/// Where Kratos says that a backend speaks gRPC.
const GRPC: &str = "grpc://";

/// What a value says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Decoded {
    /// The backends that it names.
    pub backends: Vec<Discovered>,
    /// Why others are left out.
    pub faults: Vec<String>,
}

impl Decoded {
    fn of(backends: Vec<Result<Discovered, String>>) -> Decoded {
        let mut decoded = Decoded::default();
        let many = backends.len();
        for backend in backends.into_iter().take(MAX_BACKENDS) {
            match backend {
                Ok(backend) => decoded.backends.push(backend),
                Err(fault) => decoded.faults.push(fault),
            }
        }
        if many > MAX_BACKENDS {
            let fault = format!("it names {many} backends, of which {MAX_BACKENDS} are taken");
            decoded.faults.push(fault);
        }
        decoded
    }
}

type Fields = Map<String, Value>;

/// The backends that `value` names; those without an identity of their own are given `instance`.
pub(super) fn decode(value: &[u8], instance: &str) -> Decoded {
    let mut decoded = match read(value) {
        Ok(backends) => Decoded::of(backends),
        Err(fault) => Decoded { backends: Vec::new(), faults: vec![fault] },
    };
    for backend in decoded.backends.iter_mut().filter(|backend| backend.instance.is_none()) {
        backend.instance = Some(instance.into());
    }
    decoded
}

fn read(value: &[u8]) -> Result<Vec<Result<Discovered, String>>, String> {
    if value.len() > MAX_VALUE {
        let bytes = value.len();
        return Err(format!("the value has {bytes} bytes: {MAX_VALUE} are read at most"));
    }
    let text = std::str::from_utf8(value).map_err(|_| "the value is not UTF-8")?.trim();
    let is_json = text.starts_with(['{', '"']);
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => object(&fields),
        Ok(Value::String(address)) => Ok(vec![Discovered::at(&address)]),
        Ok(Value::Array(_)) => Err("the value is a list: each backend has its own key".into()),
        Err(error) if is_json => Err(format!("the value looks like JSON and is not: {error}")),
        // go-zero, and whoever writes the address alone.
        _ => Ok(vec![Discovered::at(text)]),
    }
}

fn object(fields: &Fields) -> Result<Vec<Result<Discovered, String>>, String> {
    let has = |name: &str| fields.contains_key(name);
    if has("Addr") {
        Ok(naming(fields))
    } else if has("network") && has("address") {
        Ok(vec![kitex(fields)])
    } else if has("address") {
        Ok(vec![own(fields)])
    } else if has("Host") && has("Port") {
        Ok(vec![dubbo(fields)])
    } else if let Some(Value::Array(nodes)) = fields.get("nodes") {
        Ok(nodes.iter().map(micro).collect())
    } else if let Some(Value::Array(endpoints)) = fields.get("endpoints") {
        Ok(vec![kratos(fields, endpoints)])
    } else {
        Err("the value is JSON of no known form: `address` is what the gateway's own has".into())
    }
}

/// go.etcd.io/etcd/client/v3/naming/endpoints.
fn naming(fields: &Fields) -> Vec<Result<Discovered, String>> {
    let deleted = fields.get("Op").and_then(Value::as_u64) == Some(1);
    let backend = text(fields, "Addr").and_then(Discovered::at);
    let backend = backend.map(|backend| described(backend, None, fields.get("Metadata")));
    if deleted { Vec::new() } else { vec![backend] }
}

/// Kitex: github.com/kitex-contrib/registry-etcd.
fn kitex(fields: &Fields) -> Result<Discovered, String> {
    let network = text(fields, "network")?;
    if !network.starts_with("tcp") {
        return Err(format!("its network is `{network}`: backends are reached by tcp"));
    }
    let backend = Discovered::at(text(fields, "address")?)?;
    let weight = positive(fields.get("weight")).unwrap_or(KITEX_WEIGHT);
    Ok(described(backend, Some(weight), fields.get("tags")))
}

/// The gateway's own form, which is read strictly.
fn own(fields: &Fields) -> Result<Discovered, String> {
    let mut backend = Discovered::at(text(fields, "address")?)?;
    if let Some(weight) = fields.get("weight").filter(|weight| !weight.is_null()) {
        let number = weight.as_u64().ok_or("`weight` is no whole number")?;
        backend = backend.with_weight(u32::try_from(number).unwrap_or(u32::MAX));
    }
    let metadata = fields.get("metadata").and_then(Value::as_object);
    backend = backend.with_metadata(metadata.into_iter().flat_map(texts));
    for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let wrong = |wanted: &str| format!("`{key}` is not {wanted}");
        match key.as_str() {
            "zone" => backend = backend.in_zone(value.as_str().ok_or_else(|| wrong("text"))?),
            "instance" => {
                backend = backend.as_instance(value.as_str().ok_or_else(|| wrong("text"))?);
            }
            "draining" => {
                backend.terminating = value.as_bool().ok_or_else(|| wrong("true or false"))?;
            }
            "metadata" if !value.is_object() => return Err(wrong("a mapping")),
            _ => {} // newer writers may say more
        }
    }
    Ok(backend)
}

/// dubbo-go, application level.
fn dubbo(fields: &Fields) -> Result<Discovered, String> {
    let metadata = fields.get("Metadata");
    let backend = Discovered::at(&join(text(fields, "Host")?, dubbo_port(fields, metadata)?))?;
    let weight = positive(fields.get("Weight")).unwrap_or(DUBBO_WEIGHT);
    let is = |name: &str| fields.get(name).and_then(Value::as_bool).unwrap_or(true);
    let terminating = !(is("Enable") && is("Healthy"));
    Ok(Discovered { terminating, ..described(backend, Some(weight), metadata) })
}

/// The port that speaks Triple, if the instance tells its ports apart.
fn dubbo_port(fields: &Fields, metadata: Option<&Value>) -> Result<u16, String> {
    let listed = metadata.and_then(|metadata| metadata.get(DUBBO_PORTS)).and_then(Value::as_str);
    let Some(listed) = listed.filter(|listed| !listed.is_empty()) else {
        return port(fields.get("Port"));
    };
    let ports: Value = serde_json::from_str(listed)
        .map_err(|error| format!("`{DUBBO_PORTS}` in its metadata is not JSON: {error}"))?;
    let mut ports = ports.as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let triple = ports.find(|it| it.get("protocol").and_then(Value::as_str) == Some(TRIPLE));
    let none = || format!("none of its ports speaks `{TRIPLE}`, which is gRPC");
    port(triple.ok_or_else(none)?.get("port"))
}

/// One of the nodes of a go-micro service; very old ones have the port apart.
fn micro(node: &Value) -> Result<Discovered, String> {
    let node = node.as_object().ok_or("one of `nodes` is no mapping")?;
    let address = text(node, "address")?;
    let backend = match node.get("port").filter(|port| !port.is_null()) {
        Some(apart) if positive(Some(apart)).is_some() => {
            Discovered::at(&join(address, port(Some(apart))?))?
        }
        _ => Discovered::at(address)?,
    };
    Ok(described(backend, None, node.get("metadata")))
}

/// Kratos: of its endpoints the one that speaks gRPC.
fn kratos(fields: &Fields, endpoints: &[Value]) -> Result<Discovered, String> {
    let urls = endpoints.iter().filter_map(Value::as_str);
    let address = urls.filter_map(|url| url.strip_prefix(GRPC)).next();
    let address = address.ok_or_else(|| format!("none of its `endpoints` begins with {GRPC}"))?;
    let address = address.split(['/', '?']).next().unwrap_or_default();
    Ok(described(Discovered::at(address)?, None, fields.get("metadata")))
}

/// The backend with this weight, or that of its metadata; with the metadata's zone, and the rest of it.
fn described(backend: Discovered, weight: Option<u32>, metadata: Option<&Value>) -> Discovered {
    let Some(metadata) = metadata.and_then(Value::as_object) else {
        return weight.map_or(backend.clone(), |weight| backend.with_weight(weight));
    };
    let mut backend = backend;
    if let Some(weight) = weight.or_else(|| positive(metadata.get("weight"))) {
        backend = backend.with_weight(weight);
    }
    if let Some(zone) = metadata.get("zone").and_then(Value::as_str) {
        backend = backend.in_zone(zone);
    }
    let rest =
        texts(metadata).filter(|(name, _)| !matches!(*name, "weight" | "zone" | DUBBO_PORTS));
    backend.with_metadata(rest)
}

fn text<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, String> {
    fields.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is not text"))
}

fn texts(fields: &Fields) -> impl Iterator<Item = (&str, &str)> {
    fields.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

/// A whole number above 0, which some write as text.
fn positive(value: Option<&Value>) -> Option<u32> {
    let value = value?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    (number > 0).then(|| u32::try_from(number).unwrap_or(u32::MAX))
}

fn port(value: Option<&Value>) -> Result<u16, String> {
    let port = positive(value).and_then(|number| u16::try_from(number).ok());
    port.ok_or_else(|| "its port is none: 1 to 65535 is meant".into())
}

fn join(host: &str, port: u16) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: &str = "694d7b8c";

    /// The only backend of `value`, without the instance that all are given.
    #[track_caller]
    fn one(value: &str) -> Discovered {
        let Decoded { mut backends, faults } = decode(value.as_bytes(), LEASE);
        assert!(faults.is_empty() && backends.len() == 1, "{value}: {faults:?}, {backends:?}");
        let mut backend = backends.remove(0);
        assert_eq!(backend.instance.take().as_deref(), Some(LEASE), "{value}");
        backend
    }

    #[track_caller]
    fn fault(value: &str) -> String {
        let Decoded { backends, faults } = decode(value.as_bytes(), LEASE);
        assert!(backends.is_empty() && faults.len() == 1, "{value}: {faults:?}, {backends:?}");
        faults.into_iter().next().unwrap()
    }

    fn at(address: &str) -> Discovered {
        Discovered::at(address).unwrap()
    }

    #[test]
    fn addresses_alone() {
        assert_eq!(one("10.0.0.1:8080"), at("10.0.0.1:8080"));
        assert_eq!(one(" [2001:db8::1]:8080\n"), at("[2001:db8::1]:8080"));
        assert_eq!(one("\"orders:8080\""), at("orders:8080"));
    }

    #[test]
    fn naming_of_etcd_itself() {
        let plain = r#"{"Op":0,"Addr":"10.0.0.1:50051","Metadata":null}"#;
        assert_eq!(one(plain), at("10.0.0.1:50051"));
        assert_eq!(one(r#"{"Addr":"10.0.0.1:50051","Metadata":"any"}"#), at("10.0.0.1:50051"));
        let told =
            r#"{"Op":0,"Addr":"a:1","Metadata":{"weight":3,"zone":"x","team":"shop","n":1}}"#;
        let told_so = at("a:1").with_weight(3).in_zone("x").with_metadata([("team", "shop")]);
        assert_eq!(one(told), told_so);
        assert_eq!(decode(br#"{"Op":1,"Addr":"a:1"}"#, ""), Decoded::default());
    }

    #[test]
    fn kitex_instances() {
        let value = |weight: &str| {
            format!(r#"{{"network":"tcp","address":"10.0.0.2:8888",{weight}"tags":null}}"#)
        };
        let weighs = |weight: &str| one(&value(weight)).weight;
        assert_eq!(one(&value("\"weight\":30,")), at("10.0.0.2:8888").with_weight(30));
        assert_eq!(weighs("\"weight\":0,"), Some(10), "as Kitex takes it");
        assert_eq!((weighs("\"weight\":-3,"), weighs("")), (Some(10), Some(10)));
        let tagged = r#"{"network":"tcp","address":"a:1","weight":1,"tags":{"zone":"b","v":"2"}}"#;
        let expected = at("a:1").with_weight(1).in_zone("b").with_metadata([("v", "2")]);
        assert_eq!(one(tagged), expected);
        let socket = fault(r#"{"network":"unix","address":"/run/a.sock","weight":10}"#);
        assert!(socket.contains("`unix`"), "{socket}");
    }

    #[test]
    fn kratos_instances() {
        let value = r#"{"id":"c1","name":"orders","version":"v1.0.0","metadata":{"weight":"40"},
            "endpoints":["http://10.0.0.3:8000?isSecure=false","grpc://10.0.0.3:9000?isSecure=false"]}"#;
        assert_eq!(one(value), at("10.0.0.3:9000").with_weight(40));
        assert_eq!(
            one(r#"{"id":"c1","metadata":null,"endpoints":["grpc://[fd00::1]:9"]}"#),
            at("[fd00::1]:9")
        );
        let fault = fault(r#"{"id":"c1","endpoints":["http://10.0.0.3:8000"]}"#);
        assert!(fault.contains("grpc://"), "{fault}");
    }

    #[test]
    fn go_micro_services() {
        let value = r#"{"name":"go.micro.srv.orders","version":"latest","metadata":null,
            "endpoints":[{"name":"Orders.Get","request":null,"response":null,"metadata":{}}],
            "nodes":[{"id":"orders-1","address":"10.0.0.4:41001","metadata":{"protocol":"grpc"}}]}"#;
        assert_eq!(one(value), at("10.0.0.4:41001").with_metadata([("protocol", "grpc")]));
        let apart = r#"{"nodes":[{"id":"a","address":"10.0.0.4","port":41002},{"id":"b","address":"fd00::4","port":7}]}"#;
        let backends = decode(apart.as_bytes(), LEASE).backends;
        let addresses: Vec<_> = backends.iter().map(|it| it.address.as_str()).collect();
        assert_eq!(addresses, ["10.0.0.4:41002", "[fd00::4]:7"]);
        let half =
            decode(br#"{"nodes":[{"address":"10.0.0.4"},{"address":"a:1","port":0},3]}"#, LEASE);
        assert_eq!((half.backends.len(), half.faults.len()), (1, 2), "{half:?}");
        assert_eq!(decode(br#"{"nodes":[]}"#, LEASE), Decoded::default());
    }

    #[test]
    fn dubbo_instances() {
        let value = |more: &str| {
            format!(
                r#"{{"ID":"10.0.0.5:20000","ServiceName":"shop","Host":"10.0.0.5","Port":20000,
                    "Address":"10.0.0.5:20000","GroupName":"","Tag":""{more}}}"#
            )
        };
        let plain = at("10.0.0.5:20000").with_weight(100);
        assert_eq!(one(&value("")), plain);
        let healthy =
            r#","Weight":-1,"Enable":true,"Healthy":true,"Metadata":{},"ServiceMetadata":null"#;
        assert_eq!(one(&value(healthy)), plain);
        let weighty = at("10.0.0.5:20000").with_weight(7);
        assert_eq!(one(&value(r#","Weight":7,"Metadata":null"#)), weighty);
        for off in [r#","Enable":false"#, r#","Healthy":false"#] {
            assert!(one(&value(off)).terminating, "{off}");
        }
        let ports = |list: &str| {
            let list = list.replace('"', "\\\"");
            value(&format!(r#","Metadata":{{"dubbo.endpoints":"{list}","timestamp":"1"}}"#))
        };
        let two = ports(r#"[{"port":20000,"protocol":"dubbo"},{"port":20001,"protocol":"tri"}]"#);
        let triple = at("10.0.0.5:20001").with_weight(100).with_metadata([("timestamp", "1")]);
        assert_eq!(one(&two), triple);
        assert!(fault(&ports(r#"[{"port":20000,"protocol":"dubbo"}]"#)).contains("`tri`"));
        assert!(fault(&ports("[")).contains("dubbo.endpoints"));
    }

    #[test]
    fn the_gateways_own_form() {
        let value = r#"{"address":"10.0.0.6:50051","weight":0,"zone":"a","draining":true,
            "metadata":{"version":"7","n":1},"newer":[]}"#;
        let own =
            at("10.0.0.6:50051").with_weight(0).in_zone("a").with_metadata([("version", "7")]);
        assert_eq!(one(value), Discovered { terminating: true, ..own });
        assert_eq!(one(r#"{"address":"a:1","weight":null,"zone":null}"#), at("a:1"));
        let named = decode(br#"{"address":"a:1","instance":"x7"}"#, LEASE);
        assert_eq!(named.backends[0].instance.as_deref(), Some("x7"));
        for (value, says) in [
            (r#"{"address":"a:1","weight":-1}"#, "`weight`"),
            (r#"{"address":"a:1","weight":1.5}"#, "`weight`"),
            (r#"{"address":"a:1","zone":7}"#, "`zone` is not text"),
            (r#"{"address":"a:1","instance":{}}"#, "`instance`"),
            (r#"{"address":"a:1","draining":"no"}"#, "`draining`"),
            (r#"{"address":"a:1","metadata":[]}"#, "`metadata`"),
            (r#"{"address":7}"#, "`address` is not text"),
        ] {
            assert!(fault(value).contains(says), "{value}");
        }
    }

    #[test]
    fn what_is_none_of_them_is_refused() {
        for (value, says) in [
            ("", "no port"),
            ("orders", "no port"),
            ("10.0.0.1:99999", "port"),
            ("unix:/run/docker.sock", "Unix socket"),
            ("0.0.0.0:80", "no single backend"),
            ("http://orders:80", ""),
            ("17", ""),
            ("[]", "a list"),
            ("[\"a:1\"]", "a list"),
            ("{}", "no known form"),
            ("{\"a\":", "is not"),
            ("{\"Host\":\"a\"}", "no known form"),
            ("{\"Host\":\"a\",\"Port\":0}", "port"),
            ("{\"Host\":1,\"Port\":1}", "`Host`"),
            ("{\"Addr\":null}", "`Addr`"),
            ("{\"nodes\":{}}", "no known form"),
            ("{\"endpoints\":\"grpc://a:1\"}", "no known form"),
        ] {
            assert!(fault(value).contains(says), "{value}: {}", fault(value));
        }
        let deep = "{\"a\":".repeat(10_000);
        assert!(fault(&deep).contains("is not"));
        let long = "x".repeat(MAX_VALUE + 1);
        assert!(fault(&long).contains("65537 bytes"));
        assert!(decode(&[0xff, 0xfe], "").faults[0].contains("UTF-8"));
    }

    #[test]
    fn one_value_names_few_backends() {
        let nodes: Vec<_> = (1..=40).map(|n| format!(r#"{{"address":"a:{n}"}}"#)).collect();
        let decoded = decode(format!(r#"{{"nodes":[{}]}}"#, nodes.join(",")).as_bytes(), LEASE);
        assert_eq!((decoded.backends.len(), decoded.faults.len()), (MAX_BACKENDS, 1));
    }
}
