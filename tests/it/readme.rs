//! The README is correct. (Its Rust examples are doctests; `docs.rs` checks its configurations and
//! links.)

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use clap::Parser;
use equipoise::balance::POLICIES;
use equipoise::cli::Cli;
use equipoise::telemetry::names::METRICS;

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The fenced blocks in `language`.
fn blocks(language: &str) -> Vec<String> {
    let readme = readme();
    let parts = readme.split("\n```").skip(1).step_by(2);
    let blocks = parts.filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n'));
    let blocks: Vec<_> = blocks.map(str::to_owned).collect();
    assert!(!blocks.is_empty(), "no {language}");
    blocks
}

/// The words in backticks, outside of blocks.
fn quoted() -> BTreeSet<String> {
    let readme = readme();
    let prose = readme.split("\n```").step_by(2);
    prose.flat_map(|text| text.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn its_commands_exist() {
    let blocks = blocks("sh");
    let commands = blocks.iter().flat_map(|block| block.lines());
    for command in commands.map(|line| line.split('#').next().unwrap().trim()) {
        let words: Vec<_> = command.split_whitespace().collect();
        match words[..] {
            ["cargo", "run", "--release", "--", ref rest @ ..] | ["equipoise", ref rest @ ..] => {
                let words = ["equipoise"].iter().chain(rest);
                let parsed = Cli::try_parse_from(words);
                assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
                let files = rest.iter().filter(|word| word.ends_with(".yaml"));
                files.for_each(|file| assert!(root().join(file).is_file(), "{command}"));
            }
            [script] if script.contains('/') => assert_executable(script),
            ["cargo", "install", "--path", ".", "--locked"] => {}
            ["curl", "-s", url] => {
                let path = url.strip_prefix("http://127.0.0.1:9901").unwrap();
                assert!(["/metrics", "/healthz", "/readyz"].contains(&path), "{command}");
            }
            _ => panic!("how to check `{command}`?"),
        }
    }
    for script in quoted().iter().filter(|word| word.contains("/run")) {
        assert_executable(script.split(' ').next().unwrap());
    }
}

fn assert_executable(script: &str) {
    let metadata = std::fs::metadata(root().join(script)).unwrap();
    assert!(metadata.permissions().mode() & 0o111 != 0, "{script}");
}

#[test]
fn its_metrics_are_those_that_are_exported() {
    let told: BTreeSet<_> =
        quoted().into_iter().filter(|word| word.starts_with("equipoise_")).collect();
    let ours = METRICS.iter().map(|metric| metric.name.to_owned());
    let ours: BTreeSet<_> = ours.filter(|name| name.starts_with("equipoise_")).collect();
    assert_eq!(told, ours);
    for line in readme().lines().filter(|line| line.starts_with("| `equipoise_")) {
        let labels = line.trim_matches('|').rsplit('|').next().unwrap().trim();
        let names = line.split('`').skip(1).step_by(2);
        for metric in names.map(|name| METRICS.iter().find(|metric| metric.name == name).unwrap()) {
            let told = if labels == "none" { "" } else { labels };
            assert_eq!(metric.labels.join(", "), told, "{}", metric.name);
        }
    }
}

#[test]
fn its_policies_are_those_of_the_table() {
    let readme = readme();
    let rows = readme.split("| policy | how it picks |\n|---|---|\n").nth(1).unwrap();
    let rows = rows.lines().map_while(|line| line.strip_prefix("| `")?.split('`').next());
    let policies = POLICIES.iter().map(|policy| policy.name());
    assert_eq!(rows.collect::<Vec<_>>(), policies.collect::<Vec<_>>());
}

#[test]
fn its_calls_are_those_of_the_control_api() {
    let path = root().join("proto/equipoise/control/v1/control.proto");
    let proto = std::fs::read_to_string(path).unwrap();
    let calls =
        proto.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next());
    let missing: Vec<_> = calls.filter(|call| !quoted().contains(*call)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
