//! The configuration reference, compared with the parser, which lists the keys of a mapping in its
//! error for an unknown key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use equipoise::balance::POLICIES;
use equipoise::config::{self, Plan};

use super::{Row, named, page, quoted, root, rows};

/// An unknown key.
const STRANGER: &str = "zzzzzzzz";
const BALANCER: &str = "services.*.balancer";
/// The keys of a policy's `key`; the parser names the first four only.
const KEY_PARTS: [&str; 7] = ["header", "cookie", "query", "jwt_claim", "set", "ttl", "path"];

/// The errors of a configuration, each with its help.
fn errors(text: &str) -> Vec<String> {
    let Err(report) = config::parse(text, Path::new("")) else { return Vec::new() };
    report.errors().iter().map(ToString::to_string).collect()
}

/// The keys that the parser accepts in place of `@` in `text`, if that is in a mapping of keys.
fn known(text: &str) -> Option<BTreeSet<String>> {
    let errors = errors(&text.replace('@', &format!("{STRANGER}: 1")));
    let error = errors.iter().find(|error| error.contains(STRANGER))?;
    if error.contains("is not known here") {
        KEY_PARTS[..4].iter().for_each(|part| assert!(error.contains(part), "{error}"));
        return Some(KEY_PARTS.map(str::to_owned).into());
    }
    let (_, list) =
        error.split_once("nown here: ").or_else(|| error.split_once("this policy has: "))?;
    let list = list.trim().trim_end_matches(')');
    Some(list.split(", ").filter(|key| *key != "none").map(str::to_owned).collect())
}

/// Every mapping with fixed keys: a text with `@` inside of it, and its keys.
#[derive(Default)]
struct Mappings(BTreeMap<String, (String, BTreeSet<String>)>);

impl Mappings {
    fn find() -> Mappings {
        let mut found = Mappings::default();
        found.visit("", "{ @ }");
        let balancer = found.0[BALANCER].0.clone();
        for policy in POLICIES {
            let name = policy.name();
            let text = balancer.replace('@', &format!("policy: {name}, @"));
            found.visit(&format!("balancer: {name}"), &text);
        }
        assert!(found.0.len() > 25, "{:?}", found.0.keys());
        found
    }

    fn visit(&mut self, path: &str, text: &str) {
        let Some(mut keys) = known(text) else { return };
        if path == BALANCER {
            keys = ["policy".to_owned()].into(); // the rest are the policy's
        }
        self.0.insert(path.to_owned(), (text.to_owned(), keys.clone()));
        for key in keys {
            let inner = match path {
                "" => key.clone(),
                path if path.starts_with("balancer: ") => format!("{BALANCER}.{key}"),
                path => format!("{path}.{key}"),
            };
            let with = |shape: &str| text.replace('@', &format!("{key}: {shape}"));
            self.visit(&inner, &with("{ @ }"));
            self.visit(&format!("{inner}[]"), &with("[ { @ } ]"));
            self.visit(&format!("{inner}.*"), &with("{ x: { @ } }"));
        }
    }
}

/// The page's rows by mapping.
fn documented() -> BTreeMap<String, Vec<Row>> {
    let page = page("configuration.md");
    let mut sections = BTreeMap::new();
    for section in page.split("\n### ").skip(1) {
        let title = section.lines().next().unwrap();
        let section = section.split("\n## ").next().unwrap();
        let paths = match title {
            "Top level" => vec![""],
            title => quoted(title).collect(),
        };
        for path in paths {
            let mut rows = rows(section, "key");
            if path == "services.*.limits" {
                rows.retain(|row| row["backends"] != "none");
            }
            assert!(sections.insert(path.to_owned(), rows).is_none(), "{path} is there twice");
        }
    }
    sections
}

#[test]
fn it_has_every_key_and_no_other() {
    let page = documented();
    let mappings = Mappings::find().0;
    let names = |of: &mut dyn Iterator<Item = &String>| of.cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&mut page.keys()), names(&mut mappings.keys()));
    let full = std::fs::read_to_string(root().join("docs/examples/full.yaml")).unwrap();
    for (path, (_, keys)) in &mappings {
        let rows: Vec<_> = page[path].iter().map(|row| named(row, "key").to_owned()).collect();
        let told: BTreeSet<_> = rows.iter().cloned().collect();
        assert_eq!(told.len(), rows.len(), "{path}: a key is there twice");
        assert_eq!(&told, keys, "{path}");
        for key in keys {
            assert!(full.contains(&format!("{key}:")), "full.yaml does not show `{path}.{key}`");
        }
    }
}

#[test]
fn its_ranges_are_those_that_are_enforced() {
    let mut held = 0;
    let page = documented();
    for (path, (text, _)) in &Mappings::find().0 {
        for row in &page[path] {
            let key = named(row, "key");
            let with = |value: &str| errors(&text.replace('@', &format!("{key}: {value}")));
            let told = row.get("range").map_or("", |cell| cell.as_str());
            let errors: Vec<_> =
                ["99999999999999", "9999999h"].iter().flat_map(|value| with(value)).collect();
            let enforced =
                errors.iter().filter_map(|error| error.split_once("out of range: write "));
            for (_, range) in enforced {
                let range = range.trim().trim_end_matches(')');
                assert_eq!(told, range, "{path}.{key}");
            }
            if told.contains(" to ") {
                assert!(
                    errors.iter().any(|error| error.contains(told)),
                    "{path}.{key}: {errors:?}"
                );
                held += 1;
            }
        }
    }
    assert!(held > 50, "{held}");
}

const LISTENERS: &str = "listeners: [ { address: '127.0.0.1:0' } ]";
const SERVICES: &str = "services: { a: { endpoints: [ { address: 'b:1' } ] } }";
const ROUTES: &str = "routes: [ { service: a } ]";

/// A valid configuration, with `@` in place of keys of the mapping at `path`.
fn valid(path: &str) -> String {
    let top = |key: &str| format!("{{ {LISTENERS}, {SERVICES}, {ROUTES}, {key} }}");
    let listener = |keys: &str| {
        let listeners = format!("listeners: [ {{ address: '127.0.0.1:0', {keys} }} ]");
        format!("{{ {listeners},\n{SERVICES},\n{ROUTES} }}")
    };
    let service = |keys: &str| {
        let services = format!("services: {{ a: {{ {keys} }} }}");
        format!("{{ {LISTENERS},\n{services},\n{ROUTES} }}")
    };
    let endpoints = "endpoints: [ { address: 'b:1' } ]";
    let route = |keys: &str| format!("{{ {LISTENERS}, {SERVICES}, routes: [ {{ {keys} }} ] }}");
    match path {
        "" => top("@"),
        "log" | "control" | "metrics" => top(&format!("{path}: {{ @ }}")),
        "control.roles[]" => top("control: { roles: [ { who: x, role: read, @ } ] }"),
        "audit" => top("audit: { path: x, @ }"),
        "overrides.journal" => top("overrides: { journal: { path: x, @ } }"),
        "listeners[]" => listener("@"),
        "listeners[].forwarded" => listener("forwarded: { @ }"),
        "listeners[].proxy_protocol" => listener("proxy_protocol: { trust: [ unix ], @ }"),
        "services.*" => service(&format!("{endpoints}, @")),
        "services.*.endpoints[]" => service("endpoints: [ { address: 'b:1', @ } ]"),
        "services.*.limits" => service(&format!("{endpoints}, limits: {{ @ }}")),
        "services.*.keepalive" => service(&format!("{endpoints}, keepalive: {{ @ }}")),
        "services.*.concurrency" => service(&format!("{endpoints}, concurrency: {{ @ }}")),
        "services.*.concurrency.key" => {
            service(&format!("{endpoints}, concurrency: {{ key: {{ @ }} }}"))
        }
        "services.*.retry_budget" => service(&format!("{endpoints}, retry_budget: {{ @ }}")),
        "routes[].retry" => route("service: a, retry: { @ }"),
        "routes[].retry.backoff" => route("service: a, retry: { backoff: { @ } }"),
        "routes[].rate_limit.key" => route("service: a, rate_limit: { per_second: 1, key: { @ } }"),
        "routes[].rate_limit" => route("service: a, rate_limit: { per_second: 1, @ }"),
        "routes[].hedge" => route("service: a, hedge: { after: p95, @ }"),
        "services.*.ejection" => service(&format!("{endpoints}, ejection: {{ @ }}")),
        "services.*.discover" => service("discover: { file: x.yaml, @ }"),
        "services.*.discover.dns" => service("discover: { dns: { names: [ 'x:1' ], @ } }"),
        "services.*.discover.etcd" => {
            service("discover: { etcd: { endpoints: [ 'http://e:1' ], prefix: /x, @ } }")
        }
        "services.*.discover.file" => service("discover: { file: { @ } }"),
        "services.*.discover.kubernetes" => {
            service("discover: { kubernetes: { service: x, kubeconfig: x, @ } }")
        }
        "services.*.health" => service(&format!("{endpoints}, health: {{ tcp: {{}}, @ }}")),
        "services.*.health.grpc" => service(&format!("{endpoints}, health: {{ grpc: {{ @ }} }}")),
        "services.*.health.http" => {
            service(&format!("{endpoints}, health: {{ http: {{ path: /x, @ }} }}"))
        }
        BALANCER => service(&format!("{endpoints}, balancer: {{ @ }}")),
        "services.*.balancer.key" => service(&format!(
            "{endpoints}, balancer: {{ policy: maglev, key: {{ cookie: x, @ }} }}"
        )),
        "routes[].split[]" => route("split: [ { service: a, @ } ]"),
        "routes[].mirror" => route("service: a, mirror: { service: a, @ }"),
        "routes[].redirect" => route("redirect: { host: x, @ }"),
        path => match path.split_once("balancer: ") {
            Some((_, name @ ("consistent_hash" | "maglev"))) => service(&format!(
                "{endpoints}, balancer: {{ policy: {name}, key: {{ header: x }}, @ }}"
            )),
            Some((_, name)) => service(&format!("{endpoints}, balancer: {{ policy: {name}, @ }}")),
            None => panic!("which configuration has `{path}`?"),
        },
    }
}

/// A canonical form of the parsed plan, for comparison.
fn plan(text: &str) -> String {
    let plan = config::parse(text, Path::new("")).map_err(|report| report.pretty());
    let mut plan = plan.unwrap_or_else(|error| panic!("{text}\n{error}"));
    // Not as written: the parsed value is compared.
    for service in &mut plan.services {
        service.spec.balancer.settings.clear();
        service.spec.balancer.in_effect.retain(|(key, _)| key != "key");
    }
    let shown = format!("{:?}", Plan { workers: 1, ..plan });
    // The route index has a random seed.
    let (before, rest) = shown.split_once(", hosts: Hosts {").unwrap();
    let (_, after) = rest.split_once("drain_timeout: ").unwrap();
    format!("{before}{after}")
}

#[test]
fn its_defaults_are_those_that_are_taken() {
    let mut held = 0;
    let mut hold = |text: &str, key: &str, value: &str| {
        let without = plan(&text.replace('@', ""));
        assert_eq!(plan(&text.replace('@', &format!("{key}: {value}"))), without, "{key}: {value}");
        held += 1;
    };
    for (path, rows) in documented() {
        for row in &rows {
            let key = named(row, "key");
            match &*path {
                "listeners[].limits" => {
                    for profile in ["internal", "edge"] {
                        let keys = format!("profile: {profile}, limits: {{ @ }}");
                        hold(&valid("listeners[]").replace('@', &keys), key, &row[profile]);
                    }
                }
                // They have files; OpenSSL sees what holds without a key.
                "listeners[].tls"
                | "control.tls"
                | "metrics.tls"
                | "services.*.tls"
                | "services.*.discover.etcd.tls" => {}
                "services.*.limits" => hold(&valid(&path), key, &row["backends"]),
                path => {
                    let words = row.get("default").map(|cell| quoted(cell).collect::<Vec<_>>());
                    if let Some(&[value]) = words.as_deref() {
                        hold(&valid(path), key, value);
                    }
                }
            }
        }
    }
    assert!(held > 90, "{held}");
}
