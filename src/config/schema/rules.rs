//! Schema rules across keys: which keys exclude or require each other.

use serde_json::{Map, Value, json};

use super::{VARIABLE, needs_nothing, variable};
use crate::balance::POLICIES;
use crate::config::keys::{
    BALANCER, CALLER, CLIENT_TLS, CONTROL, DISCOVER, DISCOVER_DNS, DISCOVER_ETCD,
    DISCOVER_KUBERNETES, HEALTH, LISTENER, MATCH, METRICS, REDIRECT, REWRITE, ROUTE, SERVER_TLS,
    SERVICE, VALUE,
};
use crate::discovery::SOURCES;
use crate::text::keys::{Absent, Keys, Section, Short};

/// The mutually exclusive path keys of a match.
const PATHS: [&str; 5] = ["grpc", "grpc_regex", "path", "path_prefix", "path_regex"];

/// The rules of a section.
pub fn of(section: &'static Section) -> Map<String, Value> {
    let is = |keys: &dyn Keys| keys.section().path == section.path;
    let rules = if is(&ROUTE) {
        route()
    } else if is(&MATCH) {
        one_path()
    } else if is(&VALUE) {
        json!({ "minProperties": 1, "maxProperties": 1 })
    } else if is(&CALLER) {
        json!({ "maxProperties": 1 })
    } else if is(&REWRITE) {
        json!({ "not": { "required": ["path", "prefix"] } })
    } else if is(&REDIRECT) {
        json!({
            "not": { "required": ["path", "prefix"] },
            "anyOf": some(&["scheme", "host", "port", "path", "prefix"]),
        })
    } else if is(&LISTENER) {
        json!({ "dependentSchemas": { "mode": of_sockets() } })
    } else if is(&METRICS) {
        let here = json!({ "properties": { "address": loopback() } });
        let tokens = json!({ "anyOf": [here, { "required": ["tls"] }] });
        json!({ "dependentSchemas": { "mode": of_sockets(), "tokens": tokens } })
    } else if is(&CONTROL) {
        json!({
            "anyOf": local_or_asked(),
            "not": { "anyOf": two_sockets_or_none() },
            "dependentSchemas": { "mode": { "properties": { "socket": { "not": { "const": "off" } } } } },
        })
    } else if is(&SERVICE) {
        json!({ "allOf": [named_sockets(), http1_checks()] })
    } else if is(&HEALTH) {
        json!({ "oneOf": some(&["grpc", "http", "tcp"]) })
    } else if is(&DISCOVER_DNS) {
        json!({ "anyOf": some(&["names", "srv"]) })
    } else if is(&DISCOVER) {
        let sources: Vec<&str> = SOURCES.iter().map(|source| source.name).collect();
        json!({ "oneOf": some(&sources) })
    } else if is(&DISCOVER_KUBERNETES) {
        json!({ "dependentRequired": { "context": ["kubeconfig"] } })
    } else if is(&CLIENT_TLS) {
        json!({ "dependentRequired": { "cert": ["key"], "key": ["cert"] } })
    } else if is(&SERVER_TLS) {
        let of_clients =
            ["client_auth", "client_crls", "expired_crls", "missing_crls", "allowed_clients"];
        let mut required = of_clients.map(|key| (key.to_owned(), json!(["client_ca"]))).to_vec();
        required.extend([("cert".into(), json!(["key"])), ("key".into(), json!(["cert"]))]);
        let required: Map<String, Value> = required.into_iter().collect();
        json!({ "anyOf": some(&["cert", "certificates"]), "dependentRequired": required })
    } else if is(&DISCOVER_ETCD) {
        etcd()
    } else if is(&BALANCER) {
        json!({ "allOf": policies() })
    } else if matches!(section.short, Short::Word(_)) {
        request_key() // of the hashing policies
    } else {
        json!({})
    };
    match rules {
        Value::Object(rules) => rules,
        _ => Map::new(),
    }
}

/// The rules of a section's shorthand.
pub fn of_short(section: &Section) -> Option<Value> {
    (section.path == CONTROL.section().path).then(loopback)
}

/// For `anyOf` and `oneOf`: one alternative for each key that may be present.
fn some(keys: &[&str]) -> Vec<Value> {
    keys.iter().map(|key| json!({ "required": [key] })).collect()
}

/// A value that is, or may be, `true`.
fn may_be_true() -> Value {
    json!({ "anyOf": [{ "enum": [true, "true"] }, variable()] })
}

fn route() -> Value {
    let no_prefix = json!({ "not": { "type": "object", "required": ["prefix"] } });
    let no_rewrite = json!({ "properties": { "rewrite": no_prefix } });
    let matches = |keys: &[&str]| json!({ "required": ["match"], "properties": { "match": { "anyOf": some(keys) } } });
    json!({
        "oneOf": some(&["service", "split", "redirect"]),
        "allOf": [
            {
                "if": { "required": ["redirect"] },
                "then": {
                    "propertyNames": { "enum": ["name", "match", "redirect"] },
                    "not": matches(&["grpc", "grpc_regex"]),
                },
            },
            {
                "if": matches(&["grpc", "grpc_regex", "path", "path_regex"]),
                "then": { "properties": {
                    "rewrite": no_prefix,
                    "redirect": no_prefix,
                    "split": { "items": no_rewrite },
                } },
            },
        ],
    })
}

/// At most one path key; and gRPC excludes other methods.
fn one_path() -> Value {
    let later = |index: usize| PATHS.iter().skip(index + 1);
    let pairs = PATHS.iter().enumerate().flat_map(|(index, one)| {
        later(index).map(move |other| json!({ "required": [one, other] }))
    });
    let methods = ["grpc", "grpc_regex"].map(|grpc| json!({ "required": ["method", grpc] }));
    json!({ "not": { "anyOf": pairs.chain(methods).collect::<Vec<_>>() } })
}

/// `mode` requires a Unix socket.
fn of_sockets() -> Value {
    let address = json!({ "pattern": format!("^unix:|{VARIABLE}") });
    json!({ "required": ["address"], "properties": { "address": address } })
}

fn loopback() -> Value {
    let here = r"127\.|\[(?:0*:)*:?0*1\]:|unix:|off$";
    json!({ "pattern": format!("^(?:{here})|{VARIABLE}") })
}

/// A socket is named once, and the control API listens somewhere.
fn two_sockets_or_none() -> Vec<Value> {
    let both = |address: Value, socket: Value| {
        json!({
            "required": ["address", "socket"],
            "properties": { "address": address, "socket": socket },
        })
    };
    vec![
        both(json!({ "pattern": "^unix:" }), json!({})),
        both(json!({ "const": "off" }), json!({ "const": "off" })),
    ]
}

/// A non-loopback address requires TLS, and that callers prove who they are.
fn local_or_asked() -> Vec<Value> {
    let asking = json!({ "required": ["client_ca"] });
    vec![
        json!({ "properties": { "address": loopback() } }),
        json!({ "required": ["tls", "tokens"] }),
        json!({ "required": ["tls"], "properties": { "tls": asking } }),
    ]
}

/// TLS to a Unix socket requires `server_name`.
fn named_sockets() -> Value {
    let socket = json!({ "type": "string", "pattern": "^unix:(?![0-9]+$)" });
    let there =
        json!({ "type": "object", "properties": { "address": socket }, "required": ["address"] });
    let none = json!({ "not": { "anyOf": [socket, there] } });
    json!({
        "if": {
            "required": ["tls"],
            "properties": { "tls": { "not": { "required": ["server_name"] } } },
        },
        "then": { "properties": { "endpoints": { "items": none } } },
    })
}

/// A user has a password, and URLs with https have TLS.
fn etcd() -> Value {
    let https = json!({ "contains": { "type": "string", "pattern": "^https://" } });
    json!({
        "dependentRequired": { "user": ["password"], "password": ["user"] },
        "if": { "required": ["endpoints"], "properties": { "endpoints": https } },
        "then": { "required": ["tls"] },
    })
}

/// HTTP/1.1 backends cannot have gRPC health checks.
fn http1_checks() -> Value {
    let http1 =
        json!({ "required": ["protocol"], "properties": { "protocol": { "const": "http1" } } });
    let no_grpc = json!({ "properties": { "health": { "not": { "required": ["grpc"] } } } });
    json!({ "if": http1, "then": no_grpc })
}

/// Settings depend on the policy, and some are required.
fn policies() -> Vec<Value> {
    let mut rules = Vec::new();
    for policy in POLICIES {
        let sections = policy.settings().map(Keys::section);
        let rows = || sections.into_iter().flat_map(Section::rows);
        let keys: Vec<&str> =
            std::iter::once("policy").chain(rows().map(|row| row.name())).collect();
        let required = rows().filter(|row| matches!(row.absent(), Absent::Required(_)));
        let required: Vec<&str> = required.map(|row| row.name()).collect();
        let named = json!({ "required": ["policy"], "properties": { "policy": { "const": policy.name() } } });
        let chosen = match rules.is_empty() {
            true => json!({ "anyOf": [named, { "not": { "required": ["policy"] } }] }), // default
            false => named,
        };
        let mut then = json!({ "propertyNames": { "enum": keys } });
        if !needs_nothing(policy.name()) {
            then["required"] = json!(required);
        }
        rules.push(json!({ "if": chosen, "then": then }));
    }
    let issued = json!({ "type": "object", "required": ["set"], "properties": { "set": { "enum": [true, "true"] } } });
    let always = json!({ "anyOf": [{ "const": "source_address" }, issued] });
    rules.push(json!({
        "if": { "required": ["key"], "properties": { "key": always } },
        "then": { "not": { "required": ["fallback"] } },
    }));
    rules
}

/// Exactly one key source; the other settings require a cookie that is set.
fn request_key() -> Value {
    let needs_set = json!({ "required": ["set"], "properties": { "set": may_be_true() } });
    json!({
        "oneOf": some(&["header", "cookie", "query", "jwt_claim"]),
        "dependentRequired": { "set": ["cookie"], "ttl": ["cookie"], "path": ["cookie"] },
        "dependentSchemas": { "ttl": needs_set, "path": needs_set },
    })
}
