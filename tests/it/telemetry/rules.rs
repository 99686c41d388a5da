//! The rules by Prometheus' own tool.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::dashboard::{folder, rules};
use super::{Gateway, backend, service, stats};
use equipoise::model::{Code, GrpcCode};

/// Runs `promtool` in the folder of the pictures, with this on its standard input.
fn promtool(args: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(args)
        .current_dir(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there; Debian's package prometheus has it: tests/harness/debian prometheus");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(output.status.success(), "promtool {args:?}: {text}");
    text
}

#[test]
fn prometheus_takes_the_configuration_and_the_rules() {
    let said = promtool(&["check", "config", "prometheus.yml"], "");
    let found = rules().lines().filter(|line| line.contains("expr: ")).count();
    let counts = said.lines().filter_map(|line| line.strip_suffix(" rules found"));
    let counts = counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap());
    assert_eq!(counts.sum::<usize>(), found, "{said}");
    promtool(&["check", "config", "--syntax-only", "prometheus-tls.yml"], "");
    promtool(&["check", "rules", "rules/recording.yml", "rules/alerts.yml"], "");
}

#[test]
fn alerts_fire_when_they_should_and_else_do_not() {
    promtool(&["test", "rules", "rules/tests/recording.yml", "rules/tests/alerts.yml"], "");
}

#[test]
fn no_alert_is_without_a_test_of_both() {
    let tests = std::fs::read_to_string(folder().join("rules/tests/alerts.yml")).unwrap();
    let cases: Vec<&str> = tests.split("alertname: ").skip(1).collect();
    let of = |alert: &str| {
        let mine = move |case: &&&str| case.split([',', '\n']).next() == Some(alert);
        cases.iter().filter(mine).map(|case| case.contains("exp_labels")).collect::<Vec<_>>()
    };
    let rules = rules();
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: Vec<_> = alerts.collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        assert!(of(alert).contains(&true), "{alert}: no test in which it fires");
        assert!(of(alert).contains(&false), "{alert}: no test in which it does not");
    }
}

#[tokio::test]
async fn the_page_is_as_prometheus_wants_metrics_to_be() {
    let backend = backend("127.0.0.1:50051");
    stats(&backend).record_call(Code::Grpc(GrpcCode::Ok), std::time::Duration::from_millis(2));
    let gateway = Gateway::start(vec![service("orders", vec![backend])]).await;
    let response = gateway.request("GET /metrics HTTP/1.1").await;
    let (_, page) = response.split_once("\r\n\r\n").unwrap();
    assert_eq!(promtool(&["check", "metrics"], page), "");
}
