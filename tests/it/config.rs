//! `equipoise check` on valid and invalid files.

mod doubts;
mod empty;
mod input;
mod listening;
mod schema;
mod short;
mod variables;

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use equipoise::config;

/// The errors of a configuration, with location and hint.
fn errors(text: &str) -> Vec<String> {
    let Err(report) = config::parse(text, Path::new("")) else { return Vec::new() };
    report.errors().iter().map(ToString::to_string).collect()
}

/// The warnings of a valid configuration, with location and hint.
#[track_caller]
fn warnings(text: &str) -> Vec<String> {
    let plan = config::parse(text, Path::new(""));
    let plan = plan.unwrap_or_else(|report| panic!("{text}\n{}", report.pretty()));
    plan.warnings.iter().map(ToString::to_string).collect()
}

fn check(file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_equipoise"))
        .args(["check", "--config"])
        .arg(file)
        .output()
        .unwrap()
}

fn example(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples").join(name)
}

/// A folder with the examples and their certificates.
fn examples_with_certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["minimal", "full", "tls", "edge"] {
        let name = format!("{name}.yaml");
        std::fs::copy(example(&name), folder.path().join(name)).unwrap();
    }
    for name in ["ca", "server", "client"] {
        let mut params = rcgen::CertificateParams::new(vec![format!("{name}.internal")]).unwrap();
        if name == "ca" {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let at = |ending: &str| folder.path().join(format!("{name}.{ending}"));
        std::fs::write(at("pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(at("key"), key.serialize_pem()).unwrap();
    }
    std::fs::write(folder.path().join("tokens.txt"), "# none yet\n").unwrap();
    folder
}

#[test]
fn the_examples_pass() {
    let folder = examples_with_certificates();
    for (name, says) in [
        ("minimal", "1 service, 2 endpoints"),
        ("full", "127.0.0.1:9900"),
        ("tls", "0.0.0.0:8443 (TLS)"),
        ("edge", "3 routes"),
    ] {
        let file = folder.path().join(format!("{name}.yaml"));
        let output = check(&file);
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {:?}", output.stderr);
        assert!(shown.contains(says), "{name}: {shown}");
        assert!(!shown.contains("warning"), "{name}: {shown}");
    }
}

/// The command in the head comment of an example that creates the files it needs.
fn command(yaml: &str) -> Option<String> {
    let lines = yaml.lines().skip_while(|line| !line.starts_with("#   openssl"));
    let lines: Vec<&str> = lines.map_while(|line| line.strip_prefix("#   ")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[test]
fn the_examples_pass_once_their_own_command_was_run() {
    for name in ["minimal", "full", "tls", "edge"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        std::fs::copy(example(&format!("{name}.yaml")), &file).unwrap();
        let before = check(&file).status.code();
        let command = command(&std::fs::read_to_string(&file).unwrap());
        assert_eq!(before, Some(i32::from(command.is_some())), "{name}");
        if let Some(command) = command {
            let made = Command::new("sh").args(["-c", &command]).current_dir(&folder).output();
            assert!(made.as_ref().is_ok_and(|made| made.status.success()), "{name}: {made:?}");
        }
        let output = check(&file);
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
    }
}

#[test]
fn every_error_is_shown_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.yaml");
    let text = "listners: []\nservices: { a: { endpoints: 1 } }\nroutes: [ { service: b } ]\n";
    std::fs::write(&file, text).unwrap();
    let output = check(&file);
    let shown = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    for part in [
        "broken.yaml:1:1",
        "did you mean `listeners`?",
        "broken.yaml:2:29",
        "a list is wanted for `endpoints`",
        "broken.yaml:3:22",
        "there is no service `b`",
        "has 3 errors",
    ] {
        assert!(shown.contains(part), "`{part}` is not in: {shown}");
    }
}

#[test]
fn certificates_that_are_not_there_are_errors() {
    let output = check(&example("tls.yaml"));
    let shown = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(shown.contains("server.pem: No such file"), "{shown}");
    assert!(shown.contains("has 6 errors"), "{shown}");
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let output = check(Path::new("/nowhere/gateway.yaml"));
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(shown.contains("cannot read the configuration"), "{shown}");
}

#[test]
fn thousands_of_routes_and_of_errors_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.yaml");
    let mut text = std::fs::read_to_string(example("minimal.yaml")).unwrap();
    for number in 0..10_000 {
        let _ =
            writeln!(text, "  - match: {{ grpc: shop.Service{number}/Get }}\n    service: orders");
    }
    std::fs::write(&file, &text).unwrap();
    let output = check(&file);
    assert_eq!(output.status.code(), Some(0));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("10001 routes"), "{shown}");

    std::fs::write(&file, text.replace("service: orders", "service: order")).unwrap();
    let output = check(&file);
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(shown.contains("has 10001 errors and 1 warning"));
}
