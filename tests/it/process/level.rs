//! Log levels, and changing them at run time.

use serde_json::Value;

use super::run;
use crate::support::backend::Backend;
use crate::support::client::{self, message};
use crate::support::gateway::one_service;
use crate::support::process::Process;

fn is_request(line: &Value) -> bool {
    line["target"] == "equipoise::request"
}

fn ctl(gateway: &Process, arguments: &[&str]) -> (Option<i32>, String) {
    let control = gateway.control.to_string();
    let output = run(&[&["ctl", "--control", &control, "log-level"], arguments].concat(), None);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn it_is_changed_at_run_time_and_shows_requests() {
    let backend = Backend::start().await;
    let mut gateway = Process::start(&one_service(&[backend.address], "")).await;
    let mut client = client::connect(gateway.front).await;
    client.unary(message("unseen")).await.unwrap();
    assert_eq!(ctl(&gateway, &[]), (Some(0), "info\n".into()));

    let (code, text) = ctl(&gateway, &["debug"]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("debug, until the process ends; configured is info"), "{text}");
    let audit = gateway.said(|line| line["now"] == "debug").await;
    assert!(audit["by"].as_str().unwrap().starts_with("127.0.0.1:"), "{audit}");
    client.unary(message("seen")).await.unwrap();
    let line = gateway.said(is_request).await;
    assert_eq!(line["level"], "DEBUG");
    assert_eq!(line["method"], "POST");
    assert!(line["path"].as_str().unwrap().contains("Echo/Unary"), "{line}");
    assert_eq!((&line["service"], &line["code"]), (&"echo".into(), &"OK".into()), "{line}");
    assert_eq!(line["backend"], backend.address.to_string());
    assert!(line["route"].as_str().is_some() && line["seconds"].as_f64().is_some(), "{line}");

    let (code, text) = ctl(&gateway, &["configured", "--output", "json"]);
    assert_eq!(code, Some(0));
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer, serde_json::json!({ "level": "info", "configured": "info" }));
    client.unary(message("unseen")).await.unwrap();
    let (code, _) = ctl(&gateway, &["info,equipoise::reqest=debug"]);
    assert_eq!(code, Some(0));
    let means = |line: &Value| line["doubt"].as_str().is_some_and(|d| d.contains("::request`?"));
    gateway.said(means).await;
    let (code, text) = ctl(&gateway, &["inof"]);
    assert!(code != Some(0) && text.contains("did you mean `info`?"), "{code:?}: {text}");
    gateway.said(|line| line["message"] == "change of the log's level refused").await;
    assert_eq!(gateway.count(is_request), 1, "the others were not wanted");
    gateway.terminate();
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn a_request_that_no_backend_answers_has_its_reason() {
    let mut gateway =
        Process::start(&one_service(&["127.0.0.1:1".parse().unwrap()], "pending_timeout: 1ms"))
            .await;
    assert_eq!(ctl(&gateway, &["off,equipoise::request=debug"]).0, Some(0));
    let mut client = client::connect(gateway.front).await;
    client.unary(message("lost")).await.unwrap_err();
    let line = gateway.said(is_request).await;
    assert_eq!((&line["service"], &line["code"]), (&"echo".into(), &"UNAVAILABLE".into()));
    assert_eq!(line["why"], "no connection to a backend");
    assert_eq!(ctl(&gateway, &["warn"]).0, Some(0));
    gateway.terminate();
    assert!(gateway.ended().await.success());
    assert_eq!(gateway.count(|line| line["message"] == "down"), 0, "it is said at info");
}
