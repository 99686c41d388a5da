//! Exit codes of `ctl`.

use std::process::Command;

use serde_json::Value;

use super::*;

/// Exit code, standard output and standard error of `equipoise ctl`.
async fn ctl(control: &str, line: &str) -> (i32, String, String) {
    let line = format!("ctl --control {control} {line}");
    let run = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_equipoise"));
        command.args(line.split_whitespace()).env_remove("EQUIPOISE_CONTROL");
        command.output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// An address without a listener.
async fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn every_kind_of_failure_has_its_code_and_is_json_on_demand() {
    let gateway = Gateway::start().await;
    let nowhere = nowhere().await;
    let cases = [
        (&*gateway.address, "backends carts", 3, "not_found", "NOT_FOUND"),
        (&gateway.address, "drain carts a:1", 3, "not_found", "NOT_FOUND"),
        (&gateway.address, "drain orders a:1 --expected-revision 9", 4, "refused", "ABORTED"),
        (&gateway.address, "remove orders a:1 b:1", 4, "refused", "FAILED_PRECONDITION"),
        (&gateway.address, "drain orders z:1", 4, "refused", "INVALID_ARGUMENT"),
        (&gateway.address, "set-weight orders a:1=1001", 4, "refused", "INVALID_ARGUMENT"),
        (&gateway.address, "backends orders --since 9", 4, "refused", "OUT_OF_RANGE"),
        (&nowhere, "services", 5, "unreachable", ""),
        (&gateway.address, "set-weight orders a:1=many", 2, "usage", ""),
        (&gateway.address, "set-weight orders a:1=1 a:1=2", 2, "usage", ""),
        (&gateway.address, "wach orders", 2, "usage", ""),
        ("https://127.0.0.1:1", "services", 2, "usage", ""),
    ];
    for (control, line, code, kind, status) in cases {
        let (exit, out, error) = ctl(control, line).await;
        assert_eq!((exit, &*out), (code, ""), "{line}: {error}");
        assert!(error.starts_with("error: "), "{line}: {error}");
        for json in ["--output json", "--output=json"] {
            let (exit, out, error) = ctl(control, &format!("{line} {json}")).await;
            assert_eq!((exit, &*out), (code, ""), "{line}: {error}");
            assert_eq!(error.lines().count(), 1, "{line}: {error}");
            let error: Value = serde_json::from_str(&error).unwrap();
            assert_eq!((&error["error"], &error["exit_code"]), (&kind.into(), &code.into()));
            assert_eq!(error["code"].as_str().unwrap_or_default(), status, "{line}");
            assert!(!error["message"].as_str().unwrap().is_empty(), "{line}");
        }
    }
}

#[tokio::test]
async fn help_and_version_are_no_failures() {
    let gateway = Gateway::start().await;
    for line in ["services", "services --output json", "drain orders a:1", "--help", "--version"] {
        let (exit, out, error) = ctl(&gateway.address, line).await;
        assert_eq!((exit, &*error), (0, ""), "{line}");
        assert!(!out.is_empty(), "{line}");
    }
}

#[tokio::test]
async fn without_a_route_it_ends_with_one() {
    let gateway = Gateway::start().await;
    let (exit, out, error) = ctl(&gateway.address, "route --path /nowhere").await;
    assert_eq!((exit, &*out, &*error), (1, "no route takes this request\n", ""));
    let (exit, out, error) = ctl(&gateway.address, "route --path /nowhere --output json").await;
    assert_eq!((exit, &*error), (1, ""));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["route"], Value::Null);
}

#[tokio::test]
async fn in_a_pipe_tables_are_80_columns_wide() {
    let gateway = Gateway::with(&[("203.0.113.200:50051", 1000), ("b:1", 1)]).await;
    gateway.record(0, 0, GrpcCode::Ok, 12_345);
    gateway.observed(12_345).await;
    for line in ["drain orders 203.0.113.200:50051", "set-policy orders weighted_random"] {
        assert_eq!(ctl(&gateway.address, line).await.0, 0, "{line}");
    }
    for line in ["backends", "backends orders --since 1", "services"] {
        let (exit, out, _) = ctl(&gateway.address, line).await;
        assert_eq!(exit, 0);
        assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
        assert!(out.contains("orders"), "{out}");
    }
}
