//! Rules for the source tree: layering, file length, injected time and randomness.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The parts that each part of the crate may import. Parts on one tier do not see each other, and
/// nothing sees a tier above its own.
const LAYERS: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("stats", &[]),
    ("http", &[]),
    ("grpc", &[]),
    ("tasks", &[]),
    ("dns", &[]),
    ("model", &["text", "stats"]),
    ("access", &["text"]),
    ("admission", &["stats", "model"]),
    ("route", &["text", "model", "admission"]),
    ("http1", &["http"]),
    ("http2", &["http"]),
    ("clock", &["model"]),
    ("balance", &["text", "model"]),
    ("net", &["stats", "http", "grpc", "tasks", "model", "http1", "http2", "clock"]),
    ("telemetry", &["text", "access", "stats", "tasks", "model", "clock"]),
    ("overrides", &["text", "model", "clock"]),
    ("audit", &["model", "clock", "overrides"]),
    ("upstream", &["text", "http", "tasks", "dns", "model", "net"]),
    ("discovery", &["text", "tasks", "dns", "model", "clock"]),
    ("health", &["tasks", "model", "clock", "upstream"]),
    (
        "service",
        &[
            "text",
            "admission",
            "stats",
            "tasks",
            "model",
            "route",
            "clock",
            "balance",
            "overrides",
            "upstream",
            "discovery",
            "health",
        ],
    ),
    (
        "proxy",
        &[
            "admission",
            "stats",
            "http",
            "grpc",
            "tasks",
            "model",
            "route",
            "balance",
            "net",
            "telemetry",
            "upstream",
            "service",
        ],
    ),
    (
        "config",
        &[
            "text",
            "access",
            "admission",
            "stats",
            "http",
            "model",
            "route",
            "clock",
            "balance",
            "net",
            "telemetry",
            "upstream",
            "discovery",
            "health",
            "service",
        ],
    ),
    (
        "control",
        &[
            "text",
            "access",
            "audit",
            "stats",
            "model",
            "route",
            "clock",
            "telemetry",
            "overrides",
            "discovery",
            "service",
        ],
    ),
    ("app", &ALL),
    ("cli", &ALL),
];

const ALL: [&str; 26] = [
    "audit",
    "text",
    "access",
    "stats",
    "http",
    "grpc",
    "tasks",
    "dns",
    "model",
    "route",
    "http1",
    "http2",
    "clock",
    "balance",
    "net",
    "telemetry",
    "overrides",
    "upstream",
    "discovery",
    "health",
    "service",
    "proxy",
    "config",
    "control",
    "app",
    "cli",
];

/// Parts to which time and random numbers are injected, so that simulations of them are
/// deterministic.
const ABOVE: [&str; 4] = ["app", "cli", "main", "lib"];

/// What they must not use, and the files that may: wall-clock dates for people, tokio's timers, and
/// hashers with secret seeds whose order is not used.
const GIVEN: &[(&str, &[&str])] = &[
    ("std::time::Instant", &[]),
    ("SystemTime::now", &["clock.rs"]),
    ("Instant::now", &["clock.rs", "tasks.rs", "control/watch.rs", "dns/", "upstream/resolver/"]),
    ("Clock::start", &[]),
    (
        "clock::wall",
        &[
            "audit/",
            "overrides/",
            "discovery/follower.rs",
            "discovery/names/follower.rs",
            "control/sources.rs",
            "control/door.rs",
            "telemetry/http.rs",
        ],
    ),
    (
        "clock::unix_seconds",
        &["config/pem.rs", "telemetry/certificates.rs", "telemetry/reloads.rs"],
    ),
    ("Rng::new()", &[]),
    ("fastrand::u", &[]),
    ("fastrand::f64", &[]),
    ("fastrand::seed", &[]),
    (
        "RandomState",
        &["route/hosts.rs", "route/index.rs", "route/table.rs", "proxy/streaming_methods.rs"],
    ),
];

/// Parts whose `select!` must be biased: branches in a fixed order, not a random one.
const ORDERED: [&str; 7] = ["net", "upstream", "discovery", "health", "service", "proxy", "tasks"];

/// Limit of a file's lines without its tests. (Clippy limits functions.)
const MAX_LINES: usize = 330;

struct Source {
    /// Relative to `src/`.
    path: String,
    /// Without comments and tests.
    code: String,
    lines: usize,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    let mut folders = vec![root()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                sources.extend(source(relative, &std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(sources.len() > 50, "the tree was not found");
    sources
}

/// The file without its tests; a test file is kept whole.
fn source(path: String, text: &str) -> Option<Source> {
    let parts: BTreeSet<&str> = path.trim_end_matches(".rs").split('/').collect();
    if parts.contains("tests") {
        return None;
    }
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let product = product.split("#[cfg(test)]\n#[").next().unwrap_or_default();
    let code = product.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = code.collect::<Vec<_>>().join("\n");
    Some(Source { code, lines: product.lines().count(), path })
}

/// The part of the crate that contains `path`.
fn part(path: &str) -> &str {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

/// The parts that `code` imports: `crate::x`, `crate::{x, y::z}`.
fn imports(code: &str) -> BTreeSet<String> {
    let paths = code.match_indices("crate::").map(|(at, start)| &code[at + start.len()..]);
    paths.flat_map(heads).collect()
}

/// The first segments of the path, or of each path in braces, at the start of `rest`.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    let Some(list) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut depth = 0;
    let mut heads = vec![name(list.trim_start())];
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(name(list[at + 1..].trim_start())),
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// Retries are possible until a response is committed, so only one file commits.
#[test]
fn one_place_of_the_data_path_sends_heads_to_clients() {
    let sends =
        |source: &Source| part(&source.path) == "proxy" && source.code.contains("front.send_head(");
    let senders: Vec<_> = sources().into_iter().filter(sends).map(|source| source.path).collect();
    assert_eq!(senders, ["proxy/exchange/commit.rs"]);
}

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for Source { path, code, .. } in sources() {
        let own = part(&path);
        if path == "lib.rs" || path == "main.rs" {
            continue;
        }
        let (_, allowed) = LAYERS.iter().find(|(name, _)| *name == own).unwrap_or_else(|| {
            panic!("src/{path}: `{own}` has no row in the table of layers");
        });
        for import in imports(&code) {
            if import != own && !allowed.contains(&import.as_str()) {
                wrong.push(format!("src/{path} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_import_that_is_allowed_is_made() {
    let mut made = BTreeMap::<String, BTreeSet<String>>::new();
    for Source { path, code, .. } in sources() {
        made.entry(part(&path).into()).or_default().extend(imports(&code));
    }
    let rows = LAYERS.iter().filter(|(_, allowed)| *allowed != ALL);
    let edges = rows.flat_map(|(name, allowed)| allowed.iter().map(move |other| (name, other)));
    let idle: Vec<_> = edges.filter(|(name, other)| !made[**name].contains(**other)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}

#[test]
fn time_and_random_numbers_are_given() {
    let below = |source: &Source| !ABOVE.contains(&part(&source.path));
    let mut wrong = Vec::new();
    for Source { path, code, .. } in sources().into_iter().filter(below) {
        for (name, allowed) in GIVEN {
            if code.contains(name) && !allowed.iter().any(|file| path.starts_with(file)) {
                wrong.push(format!("src/{path}: {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_waited_for_has_an_order() {
    let ordered = |source: &Source| {
        ORDERED.contains(&part(&source.path)) && !source.path.starts_with("upstream/resolver/")
    };
    let mut wrong = Vec::new();
    for Source { path, code, .. } in sources().into_iter().filter(ordered) {
        let selects = code.split("select! {").skip(1);
        if selects.into_iter().any(|branches| !branches.trim_start().starts_with("biased;")) {
            wrong.push(format!("src/{path}: `select!` without `biased`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_of_layers_has_no_circle() {
    let mut below = BTreeSet::new();
    for (name, allowed) in LAYERS.iter().filter(|(_, allowed)| *allowed != ALL) {
        let above: Vec<_> = allowed.iter().filter(|import| !below.contains(*import)).collect();
        assert!(above.is_empty(), "{name} may import {above:?} from above or beside it");
        below.insert(name);
    }
}

#[test]
fn every_form_of_import_is_seen() {
    let code = "use crate::model::{A, b::C}; use crate::{net, http2::{X, Y}, clock}; \
                fn f() { crate::cli::run(crate::app::Z) }";
    let seen: Vec<_> = imports(code).into_iter().collect();
    assert_eq!(seen, ["app", "cli", "clock", "http2", "model", "net"]);
}

#[test]
fn files_are_short() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.lines > MAX_LINES)
        .map(|source| (source.path, source.lines))
        .collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines: {long:?}");
}
