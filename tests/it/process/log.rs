//! A log that cannot be written, or is not read, never blocks the gateway.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::process::{Command, Stdio};

use super::{Gateway, file, run};
use crate::support::eventually;

#[tokio::test]
async fn a_full_disk_ends_nothing() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut gateway = Gateway::start("level: debug", full).await;
    gateway.works().await;
    gateway.reload().await;
    gateway.works().await;
    assert!(gateway.dropped("unwritable").await > 0.0);
    assert_eq!(gateway.metric("equipoise_panics_total").await, 0.0);
    gateway.signal("TERM");
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn a_reader_that_is_gone_ends_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut gateway = Gateway::start("format: json", writer).await;
    drop(reader);
    gateway.works().await;
    gateway.reload().await;
    gateway.works().await;
    assert!(gateway.dropped("unwritable").await > 0.0);
    gateway.signal("TERM");
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn a_reader_that_does_not_read_stops_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut gateway = Gateway::start("buffer: 64KiB", writer).await;
    // Each line is over 100 bytes; the pipe holds 64 KiB, and so does the queue.
    gateway.change_weights(1000).await;
    gateway.change_weights(1000).await;
    assert!(gateway.dropped("full").await > 0.0);
    gateway.works().await;
    gateway.reload().await;
    gateway.signal("TERM");
    assert!(gateway.ended().await.success(), "the last lines hold up the end for a while alone");
    drop(reader);
}

#[tokio::test]
async fn it_is_written_again_when_there_is_room_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = OpenOptions::new().append(true).create(true).open(&path).unwrap();
    let mut shell = Command::new("sh");
    // 8 blocks of 512 bytes, or of 1024: beyond, writing fails and SIGXFSZ would end the process.
    let script = "ulimit -f 8; exec \"$@\"";
    shell.args(["-c", script, "sh", env!("CARGO_BIN_EXE_equipoise")]).stderr(log);
    let mut gateway = Gateway::spawn(shell, "format: json");
    eventually("it is ready", async || gateway.is_ready().await).await;
    gateway.change_weights(200).await;
    eventually("lines are dropped", async || gateway.dropped("unwritable").await > 0.0).await;
    let lost = gateway.dropped("unwritable").await;
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    gateway.change_weights(1).await;
    let mut text = String::new();
    eventually("it says how many lines are missing", async || {
        text = std::fs::read_to_string(&path).unwrap();
        text.contains("were dropped before this one")
    })
    .await;
    let lines: Vec<serde_json::Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told: f64 = lines.iter().filter_map(|line| line["lines"].as_f64()).sum();
    assert!(told >= lost, "{told} of {lost}: {text}");
    gateway.signal("TERM");
    assert!(gateway.ended().await.success());
}

const RIGHT: &str = "listeners: [ { address: '127.0.0.1:0' } ]\nroutes: [ { service: a } ]\n\
                     services: { a: { endpoints: [ { address: 'b:1' } ] } }\n";

/// Runs the command with this output; returns its exit status.
fn with_output(arguments: &[&str], out: impl Into<Stdio>, err: impl Into<Stdio>) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_equipoise"));
    command.args(arguments).stdout(out).stderr(err).status().unwrap().code()
}

#[test]
fn commands_print_where_nobody_reads_and_where_nothing_fits() {
    let (_folder, right) = file(RIGHT);
    let (_other, wrong) = file("listeners: 1\n");
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let gone = || std::io::pipe().unwrap().1;
    let nobody = "http://127.0.0.1:1";
    let check = |path: &str| ["check".to_owned(), "--config".to_owned(), path.to_owned()];
    let (right, wrong) = (check(&right), check(&wrong));
    let words = |of: &[String; 3]| of.clone();
    let right = words(&right);
    let right: Vec<&str> = right.iter().map(String::as_str).collect();
    let wrong = words(&wrong);
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    assert_eq!(with_output(&right, gone(), Stdio::inherit()), Some(0), "as with `| head`");
    assert_eq!(with_output(&right, full(), full()), Some(1));
    assert_eq!(with_output(&wrong, Stdio::null(), gone()), Some(1));
    assert_eq!(with_output(&wrong, Stdio::null(), full()), Some(1));
    let serve = ["serve", wrong[1], wrong[2]];
    assert_eq!(with_output(&serve, Stdio::null(), full()), Some(1));
    let services = ["ctl", "services", "--control", nobody];
    let told = run(&services, None).status.code();
    assert_eq!(with_output(&services, full(), full()), told);
    assert_eq!(with_output(&services, gone(), gone()), told);
    for outputs in [["demo", "--port", "0"].as_slice(), &["demo", "--duration", "1s"]] {
        let code = with_output(outputs, gone(), gone());
        assert!(code == Some(0) || code == Some(1), "{outputs:?}: {code:?}");
    }
}

#[test]
fn what_is_left_of_a_reader_gets_all_that_was_logged() {
    let (_folder, right) = file(&format!("{RIGHT}control: {{ address: '192.0.2.1:1' }}\n"));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let code = with_output(&["serve", "--config", &right], Stdio::null(), writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(code, Some(1));
    assert!(!text.is_empty());
}
