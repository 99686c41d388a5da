//! Signals, from start to exit.

use std::process::{Child, Command, Stdio};

use crate::support::backend::{self, Backend};
use crate::support::client::{self, held};
use crate::support::eventually;
use crate::support::gateway::one_service;
use crate::support::process::Process;

use super::{ended, file, signal};

#[tokio::test]
async fn those_that_rotate_logs_are_logged_and_ignored() {
    let mut gateway = Process::start(&one_service(&["127.0.0.1:1".parse().unwrap()], "")).await;
    for name in ["USR1", "USR2"] {
        gateway.signal(&format!("-{name}"));
        let ignored = format!("SIG{name} is ignored");
        gateway.said(|line| line["message"].as_str().unwrap_or("").starts_with(&ignored)).await;
    }
    gateway.signal("-QUIT");
    let line = gateway.said(|line| line["signal"] == "SIGQUIT").await;
    assert!(line["message"].as_str().unwrap().starts_with("going down"), "{line}");
    assert!(gateway.ended().await.success(), "as SIGTERM does");
}

#[tokio::test]
async fn a_second_one_ends_it_at_once() {
    let backend = Backend::with(backend::Options::default()).await;
    let mut gateway = Process::start(&one_service(&[backend.address], "")).await;
    let mut client = client::connect(gateway.front).await;
    let call = tokio::spawn(async move { client.unary(held()).await });
    eventually("the call is there", async || backend.seen.active() == 1).await;
    gateway.terminate();
    gateway.said(|line| line["signal"] == "SIGTERM").await;
    gateway.hang_up();
    gateway.said(|line| line["message"].as_str().unwrap_or("").contains("SIGHUP is ignored")).await;
    gateway.signal("-INT");
    gateway.said(|line| line["message"].as_str().unwrap_or("").starts_with("ended at once")).await;
    assert!(gateway.ended().await.success());
    call.await.unwrap().unwrap_err();
}

/// A gateway that is still reading its configuration, which takes long.
async fn loading(path: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_equipoise"));
    let child = command.args(["serve", "--config", path]).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    // The text that it has read shows in its memory, beside the one or two MiB at start. Signals
    // before its own first lines are handled by the system.
    eventually("the file is in memory", async || {
        let status = std::fs::read_to_string(&status).unwrap();
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let kilobytes = field("RssAnon:").and_then(|rest| rest.strip_suffix(" kB"));
        let read = kilobytes
            .is_some_and(|number| number.trim().parse::<u64>().unwrap() > LARGE as u64 / 1024);
        let caught = field("SigCgt:").map(|mask| u64::from_str_radix(mask, 16).unwrap());
        read && caught.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
    })
    .await;
    child
}

const SIGHUP: u32 = 1;

const LARGE: usize = 8 << 20;

/// A configuration of that size, mostly comments.
fn large() -> String {
    let comment = format!("# {}\n", "x".repeat(1021));
    let services = one_service(&["127.0.0.1:1".parse().unwrap()], "");
    services + "log: { format: json }\n" + &comment.repeat(LARGE / 1024)
}

#[tokio::test]
async fn one_for_a_reload_waits_until_it_has_started() {
    let (_folder, path) = file(&large());
    let mut child = loading(&path).await;
    signal(&child, "HUP");
    let log = std::io::BufReader::new(child.stderr.take().unwrap());
    let lines = std::io::BufRead::lines(log).map_while(Result::ok);
    let said = tokio::task::spawn_blocking(move || {
        let mut lines = lines.filter(|line| line.contains("ready") || line.contains("reloaded"));
        (lines.next(), lines.next())
    });
    let (first, second) = said.await.unwrap();
    assert!(first.unwrap().contains("\"ready\""));
    assert!(second.unwrap().contains("configuration reloaded"), "once");
    signal(&child, "TERM");
    assert!(ended(&mut child).await.success());
}

#[tokio::test]
async fn one_that_ends_it_does_not_wait_for_that() {
    let (_folder, path) = file(&large());
    let mut child = loading(&path).await;
    signal(&child, "TERM");
    assert!(ended(&mut child).await.success());
}
