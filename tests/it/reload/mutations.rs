//! Reloads of mutated files: never a panic, never half a change.

use std::fmt::Write as _;
use std::path::Path;

use equipoise::app::{Gateway, Reloaded};
use equipoise::config::{self, Plan};

use crate::support::certificates::Authority;

const MUTATIONS: u64 = 500;

/// The example with every key, on ports that the system chooses.
fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/full.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    // Its socket is in a folder of the system.
    let text = text.replace("socket: /run/equipoise/control.sock", "socket: off");
    let text = text.replace("  mode: \"0660\"", "  #");
    let mut lines = String::new();
    for line in text.lines() {
        let (before, host) = match line.split_once("address: ") {
            Some((before, rest)) if line.contains("0.0.0.0:") || line.contains("127.0.0.1:99") => {
                (before, rest.split(':').next())
            }
            _ => (line, None),
        };
        let _ = match host {
            Some(_) => writeln!(lines, "{before}address: 127.0.0.1:0"),
            None => writeln!(lines, "{line}"),
        };
    }
    lines
}

/// One of many random mutations of a file.
fn mutate(text: &str, rng: &mut fastrand::Rng) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..rng.usize(1..4) {
        let (at, other) = (rng.usize(..lines.len()), rng.usize(..lines.len()));
        match rng.u32(..8) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(other, lines[at].clone()),
            2 => lines.swap(at, other),
            3 => lines[at] = lines[at].replacen("  ", "", 1),
            4 => lines[at].insert_str(0, "  "),
            5 => lines[at] = digits(&lines[at], rng),
            6 => lines[at] = character(&lines[at], rng),
            _ => lines.truncate(at.max(1)),
        }
        if lines.is_empty() {
            lines.push(String::new());
        }
    }
    lines.join("\n") + "\n"
}

fn digits(line: &str, rng: &mut fastrand::Rng) -> String {
    line.chars().map(|c| if c.is_ascii_digit() { rng.digit(10) } else { c }).collect()
}

fn character(line: &str, rng: &mut fastrand::Rng) -> String {
    const ODD: &[char] = &['{', '}', '[', ']', ':', '-', '"', '\'', '&', '*', '#', '\t', 'ü', '\0'];
    let mut chars: Vec<char> = line.chars().collect();
    let at = rng.usize(..=chars.len());
    chars.insert(at, ODD[rng.usize(..ODD.len())]);
    chars.into_iter().collect()
}

/// The visible state: services with policies, backends and weights, and the number of routes and
/// listeners.
fn shape(plan: &Plan) -> String {
    let mut services: Vec<_> = plan.services.iter().collect();
    services.sort_unstable_by(|a, b| a.spec.name.cmp(&b.spec.name));
    let mut text = format!("{} listeners, {} routes", plan.listeners.len(), plan.routes.len());
    for service in services {
        let endpoints: Vec<_> =
            service.members.iter().map(|(at, it)| (at.to_string(), it.weight.unwrap())).collect();
        let _ =
            write!(text, "\n{} {} {endpoints:?}", service.spec.name, service.spec.balancer.policy);
    }
    text
}

fn running(gateway: &Gateway) -> String {
    let routes = gateway.services().routing().routes.len();
    let mut text = format!("{} listeners, {routes} routes", gateway.listeners().len());
    for service in gateway.services().list() {
        let view = service.view();
        let backend = |b: &equipoise::service::BackendView| {
            (b.endpoint.address().to_owned(), b.intent.weight)
        };
        // What sources have found is not in the file.
        let configured = view.backends.iter().filter(|b| b.registered.is_none());
        let backends: Vec<_> = configured.map(backend).collect();
        let policy = view.spec.balancer.policy;
        let _ = write!(text, "\n{} {policy} {backends:?}", service.name());
    }
    text
}

#[tokio::test]
async fn whatever_stands_in_the_file_it_is_all_or_nothing() {
    let authority = Authority::new();
    for name in ["server", "client"] {
        authority.issue(name, "gateway.test");
    }
    let folder = authority.folder();
    std::fs::write(folder.join("tokens.txt"), "").unwrap();
    let whole = example();
    let plan = config::parse(&whole, folder).unwrap_or_else(|r| panic!("{}\n{whole}", r.pretty()));
    let mut expected = shape(&plan);
    let mut gateway = Gateway::start(plan).await.unwrap();
    assert_eq!(running(&gateway), expected);
    let mut taken = 0;
    for seed in 0..MUTATIONS {
        let text = mutate(&whole, &mut fastrand::Rng::with_seed(seed));
        let loaded = config::parse(&text, folder);
        let next = loaded.as_ref().ok().map(shape);
        let reloaded = gateway.reload(loaded).await;
        if reloaded == Reloaded::Done {
            expected = next.unwrap();
            taken += 1;
        }
        assert_eq!(running(&gateway), expected, "seed {seed}:\n{text}");
    }
    // Some mutations are still valid, and some are not.
    assert!((50..450).contains(&taken), "{taken}");
    gateway.shutdown().await;
}
