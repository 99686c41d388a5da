mod metrics;
mod route_names;
mod routes;
mod variables;

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::input::MAX_FILE;
use super::*;
use crate::http::Limits;
use crate::model::{ForwardedHeaders, Peer};
use crate::route::{Route, RouteQuery};

const MINIMAL: &str = include_str!("../../docs/examples/minimal.yaml");
const FULL: &str = include_str!("../../docs/examples/full.yaml");
const TLS: &str = include_str!("../../docs/examples/tls.yaml");
const EDGE: &str = include_str!("../../docs/examples/edge.yaml");

/// A folder with the PEM files that the examples name.
fn pki() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: String| std::fs::write(folder.path().join(name), content);
    for name in ["ca", "server", "client"] {
        let mut params = rcgen::CertificateParams::new(vec![format!("{name}.internal")]).unwrap();
        if name == "ca" {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        write(&format!("{name}.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        write(&format!("{name}.key"), key.serialize_pem()).unwrap();
    }
    write("tokens.txt", "# none yet\n".into()).unwrap();
    folder
}

fn errors(text: &str) -> Vec<String> {
    let report = parse(text, Path::new("/nowhere")).unwrap_err();
    report.errors().iter().map(Finding::to_string).collect()
}

/// Asserts that `text` has exactly one error, at `place`, that contains all of `says`.
#[track_caller]
fn refused(text: &str, place: &str, says: &[&str]) {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    let error = errors[0].as_str();
    assert!(error.starts_with(&format!("{place}: ")), "{error}");
    for part in says {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

/// The minimal example with one line replaced.
#[track_caller]
fn minimal_with(line: &str, instead: &str) -> String {
    assert_eq!(MINIMAL.matches(line).count(), 1);
    MINIMAL.replace(line, instead)
}

#[test]
fn the_examples_hold() {
    let folder = pki();
    for (name, text) in [("minimal", MINIMAL), ("full", FULL), ("tls", TLS), ("edge", EDGE)] {
        let plan = parse(text, folder.path()).unwrap_or_else(|report| panic!("{name}:\n{report}"));
        assert_eq!(plan.warnings, [], "{name}");
    }
}

#[test]
fn the_full_example_states_the_defaults() {
    let full = parse(FULL, pki().path()).unwrap();
    let minimal = parse(MINIMAL, Path::new("")).unwrap();
    assert_eq!(full.listeners[0].limits, minimal.listeners[0].limits);
    assert_eq!(full.listeners[0].limits, Arc::new(Limits::internal()));
    assert_eq!(full.listeners[0].max_connections, minimal.listeners[0].max_connections);
    assert_eq!(full.control.places.address, minimal.control.places.address);
    assert_eq!(full.metrics, minimal.metrics);
    assert_eq!(full.log, minimal.log);
    assert_eq!(full.drain_timeout, minimal.drain_timeout);
    assert_eq!(full.worker_buffer, minimal.worker_buffer);
    assert_eq!(full.flow_pause, minimal.flow_pause);
    let (given, default) = (&full.services[0], &minimal.services[0]);
    let (given, default) = (&given.spec, &default.spec);
    assert_eq!(given.protocol, default.protocol);
    assert_eq!(given.balancer.policy, default.balancer.policy);
    let without_tls = format!("{:?}", default.upstream);
    assert_eq!(format!("{:?}", given.upstream), without_tls);
}

#[test]
fn the_full_example_names_every_key() {
    // Each error lists the valid keys at its location.
    let known = |text: &str| {
        let error = errors(text).into_iter().find(|error| error.contains("unknown key `?`"));
        let error = error.unwrap_or_else(|| panic!("{text}"));
        let (_, list) = error.split_once("known here: ").unwrap();
        list.split(", ").map(String::from).collect::<Vec<_>>()
    };
    for path in [
        "",
        "log: ",
        "control: ",
        "metrics: ",
        "listeners: - ",
        "listeners: - limits: ",
        "listeners: - tls: ",
        "services: x: ",
        "services: x: tls: ",
        "services: x: limits: ",
        "services: x: ejection: ",
        "services: x: keepalive: ",
        "services: x: health: ",
        "services: x: health: grpc: ",
        "services: x: health: http: ",
        "services: x: endpoints: - ",
        "routes: - ",
        "routes: - match: ",
        "routes: - match: headers: x: ",
        "routes: - split_by: ",
        "routes: - rewrite: ",
        "routes: - redirect: ",
        "routes: - mirror: ",
        "routes: - request_headers: ",
        "routes: - response_headers: ",
        "routes: - split: - ",
    ] {
        let mut text = String::from("?: 1");
        for part in path.rsplit_terminator(' ').filter(|part| !part.is_empty()) {
            text = match part {
                "-" => format!("[ {{ {text} }} ]"),
                key if text.starts_with('[') => format!("{key} {text}"),
                key => format!("{key} {{ {text} }}"),
            };
        }
        for key in known(&text.replace('?', "\"?\"")) {
            assert!(FULL.contains(&format!("{key}:")), "`{key}` of `{path}`");
        }
    }
}

#[test]
fn the_full_example_names_every_setting_of_every_policy() {
    for policy in crate::balance::POLICIES {
        let balancer = format!("balancer: {{ policy: {}, \"?\": 1 }}", policy.name());
        let errors = errors(&minimal_with("  orders:", &format!("  orders:\n    {balancer}")));
        let error = errors.iter().find(|error| error.contains("unknown setting")).unwrap();
        let (_, known) = error.split_once("this policy has: ").unwrap();
        for key in known.split(", ").filter(|key| *key != "none") {
            assert!(FULL.contains(&format!("{key}:")), "`{key}` of {}", policy.name());
        }
    }
}

#[test]
fn values_arrive_in_the_plan() {
    let plan = parse(EDGE, pki().path()).unwrap();
    let limits =
        Limits { max_streams: 50, idle_timeout: Duration::from_secs(300), ..Limits::edge() };
    assert_eq!(*plan.listeners[0].limits, limits);
    assert_eq!(plan.listeners[0].max_connections, 10_000);
    assert_eq!(*plan.listeners[1].limits, Limits::internal());
    assert_eq!(plan.log.format, LogFormat::Json);
    assert_eq!(plan.metrics.address.to_string(), "0.0.0.0:9901");
    let names: Vec<&str> = plan.services.iter().map(|s| s.spec.name.as_str()).collect();
    assert_eq!(names, ["orders", "catalog"]);
    let find = |authority: &str, path: &str| {
        let (authority, path) = (authority.as_bytes(), path.as_bytes());
        let query = RouteQuery { authority, path, method: b"POST", grpc: true, fields: &() };
        match plan.routes.find(&query)? {
            Route::Forward(forward) => Some(forward.split.shares()[0].service),
            Route::Redirect(_) => None,
        }
    };
    assert_eq!(find("api.shop.example:8443", "/shop.Orders/Get"), Some(0));
    assert_eq!(find("www.shop.example", "/shop.Catalog/Find"), Some(1));
    assert_eq!(find("www.shop.example", "/shop.Orders/Get"), None);
    let full = parse(FULL, pki().path()).unwrap();
    let weights: Vec<_> = full.services[0].members.iter().map(|(_, it)| it.weight).collect();
    assert_eq!(weights[..2], [Some(3), Some(1)]);
    assert!(full.services[1].spec.upstream.tls.as_ref().unwrap().server_name.is_some());
    let config = full.listeners[1].tls.as_ref().unwrap();
    assert_eq!(config.config().alpn_protocols, [&b"h2"[..], b"http/1.1"]);
}

#[test]
fn all_errors_are_reported_at_once() {
    let text = "\
lisener: 1
listeners:
  - address: localhost:80
    profile: egde
  - address: 0.0.0.0:8080
    limits: { max_streams: 0, stream_windows: 1MiB }
services:
  orders:
    protocol: http3
    endpoints: [ { address: orders }, { address: a:1, weight: 1001 }, { address: A:1 } ]
routes:
  - service: order
  - match: { grpc: /shop.Orders }
    service: orders
";
    let errors = errors(text);
    let places: Vec<&str> = errors.iter().map(|e| e.split(": ").next().unwrap()).collect();
    let expected = [
        "1:1", "3:14", "4:14", "6:28", "6:31", "9:15", "10:29", "10:63", "10:82", "12:14", "13:20",
    ];
    assert_eq!(places, expected, "{errors:#?}");
}

#[test]
fn unknown_keys_get_a_suggestion() {
    let text = minimal_with("routes:", "drain_timout: 3s\nroutes:");
    refused(&text, "9:1", &["unknown key `drain_timout`", "did you mean `drain_timeout`?"]);
    let text =
        minimal_with("  - service: orders", "  - match: { header: { a: b } }\n    service: orders");
    refused(&text, "10:14", &["unknown key `header`", "did you mean `headers`?", "path_prefix"]);
    // Only the typo is reported, not the right key as missing.
    let text = minimal_with("listeners:", "listner:");
    refused(&text, "2:1", &["did you mean `listeners`?"]);
    let text = minimal_with("  orders:", "  orders:\n    balancer: { policy: p2c }");
    refused(&text, "6:25", &["unknown policy `p2c`", "p2c_ewma"]);
}

#[test]
fn proxies_are_believed_by_network() {
    let with = |setting: &str| {
        let address = "  - address: 127.0.0.1:8080";
        minimal_with(address, &format!("{address}\n    forwarded: {setting}"))
    };
    let text = with("{ headers: both, grpc: true, trust: [ 10.0.0.0/8, ::1 ] }");
    let plan = parse(&text, Path::new("")).unwrap_or_else(|report| panic!("{}", report.pretty()));
    let forwarding = &plan.listeners[0].forwarding;
    assert_eq!((forwarding.headers, forwarding.grpc), (ForwardedHeaders::Both, true));
    assert!(forwarding.trusts(Peer::read(b"::1").unwrap()));
    refused(&with("{ trust: [ proxy ] }"), "4:27", &["`proxy` is not a network", "10.0.0.0/8"]);
    refused(&with("{ header: both }"), "4:18", &["did you mean `headers`?"]);
}

#[test]
fn settings_of_policies_are_refused_at_their_key() {
    let text =
        minimal_with("  orders:", "  orders:\n    balancer: { policy: p2c_ewma, deacy: 1s }");
    refused(&text, "6:35", &["deacy", "did you mean `decay`?"]);
    let text = minimal_with("  orders:", "  orders:\n    balancer:\n      decay: fast");
    refused(&text, "7:7", &["p2c_ewma `decay`", "`fast` is not a duration"]);
    let text = minimal_with("  orders:", "  orders:\n    balancer: { policy: consistent_hash }");
    refused(&text, "6:15", &["key"]);
}

#[test]
fn control_beyond_loopback_asks_who_comes() {
    let with = |control: &str| {
        let remote = format!("routes:\n  - service: orders\ncontrol: {control}");
        minimal_with("routes:\n  - service: orders", &remote)
    };
    refused(&with("0.0.0.0:9900"), "11:10", &["in clear text", "client_ca", "tokens"]);
    let told = errors(&with("{ address: 0.0.0.0:9900, tokens: none.txt }"));
    assert!(told.iter().any(|error| error.contains("in clear text")), "{told:?}");
    let told = errors(&with("{ address: '[::]:9900', tls: { cert: a, key: b } }"));
    assert!(told.iter().any(|error| error.contains("asks nobody who they are")), "{told:?}");
    let gone = with("{ address: 127.0.0.1:9900, allow_remote: true }");
    refused(&gone, "11:37", &["no `allow_remote` any more", "client_ca"]);
    refused(&with("{ address: off, socket: off }"), "11:21", &["listens nowhere"]);
    let both = with("{ address: unix:/run/a.sock, socket: /run/b.sock }");
    refused(&both, "11:47", &["names a socket too"]);
    refused(&with("{ socket: off, mode: '0660' }"), "11:31", &["`mode` is for Unix sockets"]);
    let plan = parse(&with("{ address: off, socket: /run/a.sock }"), Path::new("")).unwrap();
    let places = plan.control.places.known().map(|place| place.to_string()).collect::<Vec<_>>();
    assert_eq!(places, ["unix:/run/a.sock"]);
    assert!(plan.control.access.open_loopback);
    let roles = "{ roles: [ { who: 'spiffe://a/*', role: operate, services: [ 'orders*' ] } ] }";
    let access = parse(&with(roles), Path::new("")).unwrap().control.access;
    assert!(!access.open_loopback);
    assert_eq!(access.rules[0].grant.to_string(), "operate:orders*");
}

#[test]
fn a_port_is_listened_on_once() {
    let text = minimal_with(
        "  - address: 127.0.0.1:8080",
        "  - address: 127.0.0.1:8080\n  - address: 0.0.0.0:8080",
    );
    refused(&text, "4:14", &["takes in 127.0.0.1:8080", "first in line 3"]);
    let text = minimal_with("127.0.0.1:8080", "0.0.0.0:9900");
    let error = errors(&text);
    assert!(error[0].contains("9900"), "{error:?}");
    let text = minimal_with(
        "  - address: 127.0.0.1:8080",
        "  - address: 127.0.0.1:0\n  - address: 127.0.0.1:0",
    );
    assert!(parse(&text, Path::new("")).is_ok());
}

#[test]
fn tls_files_are_tried_out() {
    let folder = pki();
    let at = |text: &str| parse(text, folder.path()).map(|_| ()).unwrap_err().to_string();
    std::fs::write(folder.path().join("junk.pem"), "junk").unwrap();
    for (text, place, says) in [
        (TLS.replace("cert: server.pem", "cert: none.pem"), "10:13", "No such file"),
        (TLS.replace("cert: server.pem", "cert: junk.pem"), "10:13", "holds no certificate"),
        (TLS.replace("cert: server.pem", "cert: ."), "10:13", "it is not a file"),
        (TLS.replace("key: server.key", "key: ca.pem    "), "11:12", "holds no private key"),
        (TLS.replace("key: server.key", "key: ca.key    "), "11:12", "the key is not that"),
        (TLS.replace("client_ca: ca.pem", "client_ca: ca.key"), "12:18", "holds no certificate"),
        (TLS.replace("      ca: ca.pem   ", "      ca: junk.pem"), "16:11", "holds no certificate"),
        (TLS.replace("      key: client.key\n", ""), "17:13", "belong together"),
        (TLS.replace("key: client.key", "key: server.key"), "18:12", "the key is not that"),
        (TLS.replace("orders.internal ", "orders/internal "), "19:20", "neither a DNS name"),
    ] {
        assert_ne!(text, TLS);
        let error = at(&text);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.starts_with(&format!("configuration:{place}: ")), "{error}");
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn yaml_that_is_not_understood_is_refused() {
    refused("", "1:1", &["empty", "minimal.yaml"]);
    refused("# nothing\n", "1:1", &["empty"]);
    refused("a: [", "1:4", &["not YAML"]);
    refused("{ a: 1, a: 2, listeners: 1", "1:1", &["not YAML"]);
    assert!(errors("--- 1\n--- 2\n")[0].contains("second YAML document"));
    refused("? [a]\n: 1", "1:3", &["a key has to be text"]);
    assert!(errors("a: &x [*x]")[0].contains("stands inside"));
    assert!(errors("just text")[0].contains("a mapping is wanted here"));
    let text = minimal_with("  - service: orders", "  - service: !!str orders");
    refused(&text, "10:20", &["tags"]);
    let text = minimal_with("  - service: orders", "  - service: orders\n    service: orders");
    refused(&text, "11:5", &["`service` is given twice, first in line 10"]);
    let text = minimal_with("routes:", "workers:\nroutes:");
    refused(&text, "9:1", &["`workers` has no value"]);
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    assert_eq!(errors(&deep).len(), 1);
    let mut bomb = String::from("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    assert!(errors(&bomb)[0].contains("more than 1000000 values"));
}

#[test]
fn aliases_stand_for_what_they_refer_to() {
    let text = "
listeners: [ { address: 127.0.0.1:1, limits: &tight { pings: 7 } }, { address: 127.0.0.1:2, limits: *tight } ]
services: { a: { endpoints: [ { address: a:1 } ] } }
routes: [ { service: a } ]";
    let plan = parse(text, Path::new("")).unwrap();
    assert_eq!(plan.listeners[1].limits.pings, 7);
    // An error in an aliased node is reported once.
    refused(&text.replace("pings: 7", "pings: x"), "2:62", &["not a whole number"]);
}

#[test]
fn endpoints_that_are_the_gateway_itself_are_warned_of() {
    let addresses = ["127.0.0.1:9900", "localhost:9901", "[::ffff:127.0.0.1]:9901", "0.0.0.0:9900"];
    let list: Vec<_> = addresses.iter().map(|text| format!("{{ address: \"{text}\" }}")).collect();
    let services = format!(
        "services: {{ a: {{ endpoints: [ {}, {{ address: b:9900 }} ] }} }}",
        list.join(", ")
    );
    let text = format!(
        "listeners: [ {{ address: 127.0.0.1:0 }} ]\n{services}\nroutes: [ {{ service: a }} ]\n"
    );
    let plan = parse(&text, Path::new("")).unwrap();
    let warnings: Vec<String> = plan.warnings.iter().map(Finding::to_string).collect();
    assert_eq!(warnings.len(), addresses.len(), "{warnings:?}");
    for (warning, address) in warnings.iter().zip(addresses) {
        assert!(warning.contains(&format!("`{address}` is this gateway's own")), "{warning}");
    }
}

#[test]
fn odd_but_possible_is_warned_of() {
    let text = minimal_with(
        "  orders:",
        "  idle: { endpoints: [ { address: a:1, weight: 0 } ] }\n  orders:",
    );
    let plan = parse(&text, Path::new("")).unwrap();
    let warnings: Vec<String> = plan.warnings.iter().map(Finding::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning.starts_with("5:3: ")), "{warnings:?}");
}

#[test]
fn a_file_is_read_from_its_folder() {
    let folder = pki();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, TLS).unwrap();
    assert!(load(&file).is_ok());
    let missing: PathBuf = folder.path().join("none.yaml");
    assert!(load(&missing).unwrap_err().to_string().contains("--config"));
    std::fs::write(&file, b"a: 1\nb: \xff").unwrap();
    assert!(load(&file).unwrap_err().to_string().contains(":2:4: "), "place of the bad byte");
    std::fs::write(&file, vec![b'#'; (MAX_FILE + 1) as usize]).unwrap();
    assert!(load(&file).unwrap_err().to_string().contains("larger than"));
}

#[test]
fn the_report_shows_the_line_and_the_fix() {
    let text = minimal_with("routes:", "drain_timout: 3s\nroutes:");
    let shown = parse(&text, Path::new("")).unwrap_err().pretty();
    assert!(shown.contains("configuration:9:1"), "{shown}");
    assert!(shown.contains("drain_timout: 3s"), "{shown}");
    assert!(shown.contains("did you mean `drain_timeout`?"), "{shown}");
}

/// A random mutation of a file.
#[derive(Clone, Debug)]
enum Edit {
    Delete(usize),
    Duplicate(usize),
    Swap(usize, usize),
    Indent(usize),
    Put(usize, char),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = 0..10_000usize;
    prop_oneof![
        at.clone().prop_map(Edit::Delete),
        at.clone().prop_map(Edit::Duplicate),
        (at.clone(), at.clone()).prop_map(|(a, b)| Edit::Swap(a, b)),
        at.clone().prop_map(Edit::Indent),
        (
            at,
            prop_oneof![
                any::<char>(),
                "[-:{}\\[\\]*&!|>'\"%@#,? \t\r\n~0]".prop_map(|s| s.chars().next().unwrap())
            ]
        )
            .prop_map(|(at, c)| Edit::Put(at, c)),
    ]
}

fn apply(text: &str, edit: &Edit) -> String {
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    let count = lines.len().max(1);
    match edit {
        _ if lines.is_empty() => {}
        Edit::Delete(at) => drop(lines.remove(at % count)),
        Edit::Duplicate(at) => lines.insert(at % count, lines[at % count].clone()),
        Edit::Swap(a, b) => lines.swap(a % count, b % count),
        Edit::Indent(at) => lines[at % count].insert_str(0, "  "),
        Edit::Put(at, c) => {
            let mut chars: Vec<char> = text.chars().collect();
            let at = at % chars.len().max(1);
            if let Some(place) = chars.get_mut(at) {
                *place = *c;
            }
            return chars.into_iter().collect();
        }
    }
    lines.join("\n")
}

/// Asserts that any text yields a plan or located errors.
fn holds_or_says_where(text: &str) {
    let Err(report) = parse(text, Path::new("/nowhere")) else {
        return;
    };
    assert!(!report.errors().is_empty());
    let lines: Vec<&str> = text.split('\n').collect();
    for error in report.errors() {
        let line = lines[error.line - 1];
        assert!((1..=line.chars().count() + 1).contains(&error.column), "{error}");
        assert!(!error.message.is_empty());
    }
    assert!(!report.pretty().is_empty());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        holds_or_says_where(&text);
    }

    #[test]
    fn any_yaml_is_read_or_refused(text in "[a-c:{}\\[\\]*&!|>'\"%@#,? \t\r\n~0-]{0,60}") {
        holds_or_says_where(&text);
    }

    #[test]
    fn spoilt_files_are_read_or_refused(
        which in 0..4usize,
        edits in prop::collection::vec(edit(), 1..6),
    ) {
        let text = [MINIMAL, FULL, TLS, EDGE][which].to_owned();
        holds_or_says_where(&edits.iter().fold(text, |text, edit| apply(&text, edit)));
    }
}
