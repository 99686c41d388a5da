//! Errors at start, and the log lines after it.

use std::process::Command;

use serde_json::Value;

use super::{file, run};

const ADDRESS: &str = "listeners: [ { address: '192.0.2.1:1' } ]\n";
const REST: &str = "control: { address: '127.0.0.1:0' }\nmetrics: { address: '127.0.0.1:0' }\n\
                    routes: [ { service: a } ]\n\
                    services: { a: { endpoints: [ { address: 'b:1' } ] } }\n";

/// Its log lines, once it has failed.
fn lines(yaml: &str, variable: Option<&str>) -> Vec<String> {
    let (_folder, path) = file(yaml);
    let output = run(&["serve", "--config", &path], variable);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect()
}

fn objects(yaml: &str, variable: Option<&str>) -> Vec<Value> {
    let object = |line: String| serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
    lines(yaml, variable).into_iter().map(object).collect()
}

#[test]
fn errors_of_the_configuration_are_in_the_form_of_the_log() {
    let two = "log: { format: json }\nworkers: none\ndrain_timeout: 3 parsecs\n";
    let errors = objects(&format!("{two}{ADDRESS}{REST}"), None);
    let places: Vec<_> = errors.iter().map(|e| (&e["line"], &e["column"], &e["level"])).collect();
    let expected =
        [(2, 10), (3, 16)].map(|(l, c)| (Value::from(l), Value::from(c), "ERROR".into()));
    assert_eq!(places, expected.each_ref().map(|(l, c, level)| (l, c, level)), "{errors:?}");
    assert!(errors[0]["error"].as_str().unwrap().contains("`none` is not a whole number"));
    assert!(errors[0]["file"].as_str().unwrap().ends_with("gateway.yaml"));
    // Not YAML, but the intention is clear.
    let broken = objects("log:\n  format: json\nlisteners: [ }\n", None);
    assert_eq!(broken[0]["line"], 3, "{broken:?}");
    let text = lines("log: { format: text }\nlisteners: [ }\n", None).join("\n");
    assert!(text.contains("gateway.yaml:2:"), "{text}");
}

#[test]
fn other_errors_are_too() {
    let errors = objects(&format!("log: {{ format: json }}\n{ADDRESS}{REST}"), None);
    let error = errors.last().unwrap();
    assert_eq!(error["level"], "ERROR");
    assert!(error["error"].as_str().unwrap().contains("cannot listen on 192.0.2.1:1"), "{error}");
    let text = lines(&format!("{ADDRESS}{REST}"), None).join("\n");
    assert!(text.contains("cannot listen on 192.0.2.1:1"), "{text}");
}

#[test]
fn a_level_that_is_none_is_an_error_and_no_silence() {
    for form in ["text", "json"] {
        let yaml = format!("log: {{ format: {form} }}\n{ADDRESS}{REST}");
        for (value, said) in [
            ("inof", "EQUIPOISE_LOG=inof: `inof` is not a level of the log: did you mean `info`?"),
            ("info,equipoise::proxy=loud", "`loud` is not a level"),
            ("eqiupoise::proxy=debug", "did you mean `equipoise`?"),
            ("trace", "write debug"),
        ] {
            let text = lines(&yaml, Some(value)).join("\n");
            assert!(text.contains(said), "{value}: {text}");
            assert!(!text.contains('\u{1b}'), "{text}");
        }
    }
    let (_folder, path) = file(&format!("{ADDRESS}{REST}"));
    for output in ["text", "json"] {
        let checked = run(&["check", "--output", output, &path], Some("inof"));
        let said = String::from_utf8(checked.stderr).unwrap();
        assert!(!checked.status.success() && said.contains("did you mean `info`?"), "{said}");
    }
    for level in ["inof", "trace", "loud"] {
        let text = lines(&format!("log: {{ level: {level} }}\n{ADDRESS}{REST}"), None).join("\n");
        assert!(text.contains(&format!("`{level}`")) && text.contains("debug"), "{text}");
    }
}

/// Its output with this limit of descriptors.
fn at_most(descriptors: u32, workers: u32) -> String {
    let yaml = format!("workers: {workers}\nlisteners: [ {{ address: '127.0.0.1:0' }} ]\n{REST}");
    let (_folder, path) = file(&yaml);
    let script = format!("ulimit -n {descriptors} && exec \"$0\" serve --config \"$1\"");
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", &script, env!("CARGO_BIN_EXE_equipoise"), &path]);
    let output = shell.env_remove("EQUIPOISE_LOG").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{descriptors}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn without_descriptors_for_a_few_clients_it_does_not_start() {
    for (descriptors, workers) in [(40, 3), (64, 8), (64, 16), (128, 16), (128, 64)] {
        let text = at_most(descriptors, workers);
        assert!(text.contains("ulimit -n") && text.contains("workers"), "{descriptors}: {text}");
    }
    let text = at_most(64, 8);
    assert!(text.contains("64 may be open") && text.contains("room for 0 clients"), "{text}");
    for descriptors in 14..32 {
        let text = at_most(descriptors, 2);
        assert!(!text.is_empty() && !text.contains(" ready "), "{descriptors}: {text}");
        assert!(!text.contains("panicked"), "{descriptors}: {text}");
    }
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    for empty in ["", " "] {
        let text = lines(&format!("{ADDRESS}{REST}"), Some(empty)).join("\n");
        assert!(text.contains("cannot listen on"), "{text}");
    }
    let text = lines(&format!("{ADDRESS}{REST}"), Some("OFF")).join("\n");
    assert_eq!(text, "", "as one who wants it that way has it");
}
