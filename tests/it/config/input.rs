//! Input from files and standard input, and the JSON output of `check`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const RIGHT: &str = "listeners: [ { address: 127.0.0.1:1 } ]\nservices: { a: { endpoints: [ { address: b:1 } ] } }\nroutes: [ { service: a } ]\n";

fn run(arguments: &[&str], folder: &Path, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_equipoise"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()); // it may close its input early
    child.wait_with_output().unwrap()
}

#[test]
fn it_reads_the_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["check", "-"][..], &["check", "--config", "-"], &["check", "-c", "-"]] {
        let output = run(arguments, folder.path(), RIGHT);
        assert_eq!(output.status.code(), Some(0), "{arguments:?} {output:?}");
        let output = run(arguments, folder.path(), &RIGHT.replace("service: a", "service: b"));
        assert_eq!(output.status.code(), Some(1), "{arguments:?} {output:?}");
        let shown = String::from_utf8(output.stderr).unwrap();
        assert!(shown.contains("<stdin>:3:22"), "{shown}");
    }
    // Relative paths are resolved against the configuration's folder.
    let pair = rcgen::generate_simple_self_signed(vec!["a".into()]).unwrap();
    std::fs::write(folder.path().join("cert.pem"), pair.cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    let text = RIGHT
        .replace(":1 } ]\nservices", ":1, tls: { cert: cert.pem, key: key.pem } } ]\nservices");
    let output = run(&["check", "-"], folder.path(), &text);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = run(&["check", "-"], folder.path(), &"#".repeat((16 << 20) + 1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("larger than"));
}

#[test]
fn a_file_is_named_with_and_without_its_option() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), RIGHT).unwrap();
    for (arguments, code) in [
        (&["check", "a.yaml"][..], 0),
        (&["check", "--config", "a.yaml"], 0),
        (&["check"], 2),
        (&["check", "a.yaml", "--config", "a.yaml"], 2),
        (&["serve", "-"], 2),
        (&["check", "none.yaml"], 1),
    ] {
        let output = run(arguments, folder.path(), RIGHT);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {output:?}");
    }
}

#[test]
fn programs_get_json() {
    let folder = tempfile::tempdir().unwrap();
    let find = |text: &str, code: i32| -> Value {
        let output = run(&["check", "--output", "json", "-"], folder.path(), text);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let right =
        json!({ "file": "<stdin>", "valid": true, "errors": 0, "warnings": 0, "findings": [] });
    assert_eq!(find(RIGHT, 0), right);

    let odd = find(&RIGHT.replace("[ { address: b:1 } ]", "[]"), 0);
    assert_eq!((&odd["valid"], &odd["warnings"]), (&json!(true), &json!(1)));
    assert_eq!(odd["findings"][0]["severity"], "warning");

    let wrong = RIGHT
        .replace("service: a", "service: \"é\", servce: a")
        .replace("address: b:1", "address: b:1, weight: 0");
    let wrong = find(&wrong, 1);
    assert_eq!((&wrong["valid"], &wrong["errors"]), (&json!(false), &json!(2)));
    let findings = wrong["findings"].as_array().unwrap();
    assert_eq!(
        findings[0],
        json!({
            "severity": "error",
            "file": "<stdin>",
            "line": 3,
            "column": 22,
            "end_line": 3,
            "end_column": 25,
            "message": "route 1: there is no service `é`",
            "help": "add it under `services`",
        })
    );
    assert_eq!(findings[1]["column"], 27);
    assert!(findings.iter().any(|finding| finding["severity"] == "warning"), "{wrong}");

    let none = run(&["check", "--output", "json", "none.yaml"], folder.path(), "");
    let none: Value = serde_json::from_slice(&none.stdout).unwrap();
    assert_eq!((&none["valid"], &none["findings"][0]["end_line"]), (&json!(false), &Value::Null));
}

#[test]
fn warnings_are_shown_beside_errors() {
    let folder = tempfile::tempdir().unwrap();
    let odd =
        "routes: [ { match: { grpc: shop.Orders.Get }, service: a }, { service: a, wait: 1s } ]";
    let text = RIGHT.replace("routes: [ { service: a } ]", odd);
    let output = run(&["check", "-"], folder.path(), &text);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let shown = String::from_utf8(output.stderr).unwrap();
    for (said, line) in [("unknown key `wait`", "<stdin>:3:"), ("shop.Orders/Get", "<stdin>:3:")] {
        assert!(shown.contains(said) && shown.contains(line), "{said}: {shown}");
    }
    assert!(shown.contains("<stdin> has 1 error and 1 warning"), "{shown}");
    let place = |mark| shown.find(mark).unwrap_or_else(|| panic!("{mark}: {shown}"));
    assert!(place("wait") < place("shop.Orders/Get"), "errors are first: {shown}");
}
