//! `equipoise demo`: what it prints is true, and the commands that it suggests work.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// A running demo; killed when a test fails.
struct Demo(Child);

impl Demo {
    fn start(arguments: &[&str]) -> (Demo, impl Iterator<Item = String> + use<>) {
        let mut child = demo(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines: std::io::Lines<BufReader<ChildStdout>> = lines;
        (Demo(child), lines.map(Result::unwrap))
    }

    fn interrupt(&self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_equipoise"));
    command.args(["demo", "--control-port", "0", "--metrics-port", "0", "--rate", "100"]);
    command.args(arguments);
    command
}

fn shell(command: &str) -> String {
    let Output { status, stdout, stderr } =
        Command::new("sh").args(["-c", command]).output().unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(status.success(), "{command}: {stderr}");
    stdout
}

#[test]
fn every_command_that_it_prints_works() {
    let (mut demo, mut lines) = Demo::start(&["--port", "0"]);
    let introduction: Vec<_> = lines.by_ref().take_while(|line| !line.contains("Ctrl-C")).collect();
    let commands = introduction.iter().filter_map(|line| line.strip_prefix("    "));
    let [backends, drain, set_weight, metrics, call] = commands.collect::<Vec<_>>()[..] else {
        panic!("not five commands: {introduction:#?}");
    };

    // The first requests may still wait for the slower backends.
    assert!((0..100).any(|_| shell(backends).matches("READY").count() == 6));
    assert!(shell(drain).contains("echo is now at revision 2"));
    assert!(shell(set_weight).contains("echo is now at revision 3"));
    let metrics = shell(metrics);
    assert_eq!(metrics.matches("equipoise_backend_weight{").count(), 6, "{metrics}");
    assert!(metrics.contains("} 10\n"), "{metrics}");
    let answer = shell(call);
    assert!(answer.starts_with("hello from ") && answer.contains(" at 127.0.0.1:"), "{answer:?}");

    // The third backend is drained, so it gets no requests, and
    assert!(lines.any(|line| line.contains("tardy 0 %") && line.contains("0 failed")));
    demo.interrupt();
    let end = lines.last().unwrap();
    assert!(end.starts_with("Ended after ") && end.ends_with(" and 0 that failed."), "{end}");
    assert_eq!(demo.0.wait().unwrap().code(), Some(0));
}

#[test]
fn traffic_leaves_the_backend_that_becomes_slow_and_comes_back() {
    let (_demo, lines) = Demo::start(&["--port", "0"]);
    let mut shares = lines.filter_map(|line| Some((share(&line, 0)?, share(&line, 1)?)));
    assert!(shares.any(|(swift, beside)| swift > 40 && beside < swift), "it is the fastest");
    assert!(shares.any(|(swift, beside)| swift < 20 && beside > swift), "it becomes slow");
    assert!(shares.any(|(swift, _)| swift > 25), "it is fast again");
}

/// The first backend's percentage in a line of numbers, for one policy.
fn share(line: &str, policy: usize) -> Option<u32> {
    let (percent, _) = line.split(": swift ").nth(policy + 1)?.split_once(" %")?;
    percent.parse().ok()
}

#[test]
fn it_ends_by_itself_after_its_duration() {
    let (mut demo, lines) = Demo::start(&["--port", "0", "--duration", "10ms"]);
    assert!(lines.last().unwrap().starts_with("Ended after "));
    assert_eq!(demo.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = demo(&["--port", &address.port().to_string()]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains(&format!("cannot listen on {address} for clients")), "{error}");
}
