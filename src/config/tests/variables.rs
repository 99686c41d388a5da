use std::env::VarError;

use super::*;

/// A secret that must not occur in any message.
const SECRET: &str = "hunter2-Hunter2";

fn known(name: &str) -> Result<String, VarError> {
    match name {
        "SECRET" => Ok(SECRET.into()),
        "SECRET_LIST" => Ok(format!("[ {SECRET} ]")),
        "SECRET_URL" => Ok(format!("http://{SECRET}:99999/{SECRET}")),
        "SECRET_PATH" => Ok(format!("/{SECRET}")),
        "HOST" => Ok("orders.internal".into()),
        "PORT" => Ok("50051".into()),
        "THREE" => Ok(" 3\n".into()),
        "TIME" => Ok("7s".into()),
        "YES" => Ok("true".into()),
        "EMPTY" => Ok(String::new()),
        "NULL" => Ok("null".into()),
        _ => Err(VarError::NotPresent),
    }
}

fn with(line: &str) -> Result<Plan, Report> {
    let text = format!("{MINIMAL}{line}\n");
    read(&text, Path::new("configuration"), &Files::within(Path::new("")), &known)
}

#[track_caller]
fn said(line: &str) -> String {
    let report = with(line).unwrap_err();
    let all = format!("{report}\n{}", report.pretty());
    assert!(!all.to_lowercase().contains(&SECRET.to_lowercase()), "{all}");
    assert_eq!(report.errors().len(), 1, "{report}");
    report.errors()[0].to_string()
}

#[test]
fn values_are_typed_once_variables_are_put_in() {
    let plan = with(
        "workers: ${THREE}\ndrain_timeout: ${TIME}\nworker_buffer: \"${NONE:-2}MiB\"\ncontrol: { \
         address: \"127.0.0.1:${PORT}\" }\nmetrics:\n  address: \
         '127.0.0.1:${NONE:-1}'",
    );
    let plan = plan.unwrap_or_else(|report| panic!("{}", report.pretty()));
    assert_eq!((plan.workers, plan.drain_timeout), (3, Duration::from_secs(7)));
    assert_eq!(plan.worker_buffer, 2 << 20);
    assert_eq!(plan.control.places.address.unwrap().to_string(), "127.0.0.1:50051");
    assert_eq!(plan.metrics.address.to_string(), "127.0.0.1:1");
}

#[test]
fn variables_are_neither_structure_nor_expanded_twice() {
    let edit = |value: &str| {
        format!(
            "  - match: {{ path: /x }}\n    service: orders\n    request_headers: {{ set: {{ x-a: {value} }} }}"
        )
    };
    let debug = |value: &str| format!("{:?}", with(&edit(value)).unwrap().routes);
    assert!(debug("\"${SECRET_LIST}\"").contains(&format!("\"[ {SECRET} ]\"")));
    assert!(debug("\"$${HOST}\"").contains("\"${HOST}\""));
    assert!(debug("'${EMPTY}'").contains("Set(\"x-a\", \"\")"));
}

#[test]
fn missing_variables_are_refused_at_their_location() {
    for (line, says) in [
        ("workers: ${NONE}", "11:10: the environment has no variable `NONE`; set it, or"),
        ("workers: \"${NONE}\"", "11:10: the environment has no variable `NONE`"),
        ("log: ${NONE}", "no variable `NONE`"),
        ("  - match: { headers: \"${NONE}\" }\n    service: orders", "no variable `NONE`"),
        ("  - match: { headers: { a: \"${NONE}\" } }\n    service: orders", "no variable `NONE`"),
        ("  - ${NONE}", "no variable `NONE`"),
        ("workers: ${THREE", "not closed"),
        ("workers: ${THREE:-${NONE}}", "within another"),
        ("workers: ${EMPTY}", "11:1: `workers` has no value: the variable is empty"),
        ("workers: ${NULL}", "11:1: `workers` has no value: the variable is empty"),
        ("workers: \"${EMPTY}\"", "11:10: `${EMPTY}` is not a whole number"),
        ("${THREE}: 1", "11:1: unknown key"),
        ("log: { level: ${HOST} }", "quote a value that has a variable: \"${NAME}\""),
    ] {
        let errors =
            with(line).unwrap_err().errors().iter().map(Finding::to_string).collect::<Vec<_>>();
        assert!(errors.iter().any(|error| error.contains(says)), "{line}: {errors:?}");
        let most = if line.starts_with('$') { 2 } else { 1 };
        assert!(errors.len() <= most, "{line}: {errors:?}");
    }
    let keyed = with("${THREE}: 1").unwrap_err().to_string();
    assert!(keyed.contains("not into keys"), "{keyed}");
}

#[test]
fn messages_redact_variables() {
    for (line, says) in [
        ("workers: ${SECRET}", "`${SECRET}` is not a whole number"),
        ("workers: 1${SECRET}2", "`1${SECRET}2` is not a whole number"),
        ("drain_timeout: ${SECRET}", "`${SECRET}`"),
        ("worker_buffer: ${SECRET}", "`${SECRET}`"),
        ("log: { level: \"${SECRET}\" }", "`${SECRET}` is not a level of the log"),
        ("metrics: \"${SECRET}\"", "`${SECRET}` is not an address to listen on"),
        ("metrics: \"${SECRET_URL}\"", "${SECRET_URL}"),
        ("  - ${SECRET}", "there is no service `${SECRET}`"),
        ("  - { service: orders, match: { host: \"${SECRET_URL}\" } }", "${SECRET_URL}"),
        ("  - { service: orders, match: { grpc: \"${SECRET_PATH}\" } }", "${SECRET_PATH}"),
        ("  - { service: orders, match: { path: \"${SECRET}\" } }", "`${SECRET}` is not a path"),
        ("  - { service: orders, match: { path_regex: \"(${SECRET}\" } }", "${SECRET}"),
        ("  - { service: orders, match: { method: \"${SECRET}\" } }", "${SECRET}"),
        (
            "  - { service: orders, name: \"a\", match: { path: /x }, request_headers: { set: { x-a: \"${SECRET}\\n\" } } }",
            "${SECRET}",
        ),
    ] {
        let error = said(line);
        assert!(error.contains(says), "{line}: {error}");
    }
    let twice = "  - { service: orders, name: \"${SECRET}\", match: { path: /a } }\n  - { service: orders, \
                 name: \"${SECRET}\", match: { path: /b } }";
    assert!(said(twice).contains("`${SECRET}`"), "{}", said(twice));
    let listed =
        MINIMAL.replace("127.0.0.1:50051", "${SECRET}:1").replace("127.0.0.1:50052", "${SECRET}:1");
    let files = Files::within(Path::new(""));
    let report = read(&listed, Path::new("configuration"), &files, &known).unwrap_err();
    assert!(report.to_string().contains("`${SECRET}:1` is listed twice"), "{report}");
}
