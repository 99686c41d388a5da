//! `${VAR}`: values of environment variables.

use std::process::{Command, Output};

const YAML: &str = "
workers: ${WORKERS:-2}
drain_timeout: \"${DRAIN}\"
listeners: [ { address: \"127.0.0.1:${FRONT_PORT}\" } ]
services:
  orders:
    endpoints:
      - address: ${ORDERS_HOST}:50051
routes:
  - service: orders
    request_headers: { set: { authorization: \"Bearer ${TOKEN}\", x-text: \"$${TOKEN}\" } }
";

const SET: [(&str, &str); 4] =
    [("DRAIN", "7s"), ("FRONT_PORT", "8080"), ("ORDERS_HOST", "orders"), ("TOKEN", "s3cret-t0ken")];

fn check(yaml: &str, change: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, yaml).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_equipoise"));
    for (name, value) in SET.iter().chain(change) {
        command.env(name, value);
    }
    command.args(["check", "--config"]).arg(&file).output().unwrap()
}

#[test]
fn values_come_from_the_environment() {
    let output = check(YAML, &[("WORKERS", "3")]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("workers     3") && shown.contains("127.0.0.1:8080"), "{shown}");
    let output = check(YAML, &[]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("workers     2"));
}

#[test]
fn errors_redact_variables() {
    for (changed, says) in [
        ([("DRAIN", "s3cret-t0ken")], "`${DRAIN}`"),
        ([("WORKERS", "s3cret-t0ken")], "`${WORKERS:-2}` is not a whole number"),
        ([("TOKEN", "s3cret-t0ken\nx: y")], "is not a header's value"),
        ([("ORDERS_HOST", "s3cret-t0ken s3cret-t0ken")], "`${ORDERS_HOST}:50051` has neither"),
        ([("FRONT_PORT", "s3cret-t0ken")], "`127.0.0.1:${FRONT_PORT}` is not an address"),
    ] {
        let output = check(YAML, &changed);
        let shown = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{shown}");
        // Lines are wrapped.
        let words =
            shown.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(words.contains(says), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    let output = check(&YAML.replace("${DRAIN}", "${NONE_SUCH}"), &[]);
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(shown.contains("gateway.yaml:3:16") && shown.contains("`NONE_SUCH`"), "{shown}");
}
