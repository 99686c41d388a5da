//! The demo's introduction: addresses, and commands to try.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::backend::Backend;
use super::echo;
use super::start::{SERVICE, Stage};
use crate::cli::text::align;

/// The default address of `ctl --control`.
const DEFAULT_CONTROL: &str = "127.0.0.1:9900";

/// The introduction.
pub fn text(stage: &Stage, backends: &[Backend], rate: u32) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "The gateway is running, with three gRPC backends and {rate} requests a second to each policy.\n"
    );
    for port in &stage.taken {
        let _ = writeln!(text, "  Port {port} is taken, so a free one is used instead.");
    }
    let mut places = vec![
        row("gateway", &format!("http://{}", stage.listener), "gRPC over HTTP/2, clear text"),
        row("control", &format!("http://{}", control(stage)), "what `ctl` speaks to"),
        row("metrics", &format!("http://{}/metrics", stage.gateway.metrics()), "for Prometheus"),
    ];
    for backend in backends {
        let delay = format!("takes {:?} for an answer", backend.delay());
        places.push(row(backend.name(), &backend.address().to_string(), &delay));
    }
    let _ = writeln!(text, "{}", indent(&align(&places, 3)));
    text.push_str("Try in another terminal:\n\n");
    for (what, command) in commands(stage, backends) {
        let _ = writeln!(text, "  {what}\n    {command}");
    }
    text.push_str("\nCtrl-C ends the demo. Where requests went in the last second:\n\n");
    text
}

/// The control API over TCP, which every tool speaks.
fn control(stage: &Stage) -> String {
    stage.gateway.control().first().map(ToString::to_string).unwrap_or_default()
}

fn row(name: &str, place: &str, note: &str) -> [String; 3] {
    [name, place, note].map(String::from)
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Five commands to try, each with a title.
fn commands(stage: &Stage, backends: &[Backend]) -> Vec<(String, String)> {
    let ctl = ctl(&control(stage));
    let [first, .., last] = backends else { return Vec::new() };
    let (listener, metrics) = (stage.listener, stage.gateway.metrics());
    vec![
        ("See how each backend does".into(), format!("{ctl} backends")),
        (
            format!("Send {} no more requests; nothing in flight is lost", last.name()),
            format!("{ctl} drain {SERVICE} {}", last.address()),
        ),
        (
            format!("Give {} ten times its weight", first.name()),
            format!("{ctl} set-weight {SERVICE} {}=10", first.address()),
        ),
        (
            "Read what Prometheus reads".into(),
            format!("curl -s http://{metrics}/metrics | grep ^equipoise_backend_"),
        ),
        (
            "Call a backend through the gateway, with curl as the gRPC client".into(),
            format!(
                "printf '\\0\\0\\0\\0\\0' | curl -s --http2-prior-knowledge --data-binary @- \
                 -H content-type:application/grpc http://{listener}{} | tail -c +8; echo",
                echo::PATH
            ),
        ),
    ]
}

/// A `ctl` command of this executable for the control API at `control`.
fn ctl(control: &str) -> String {
    let executable = quoted(&executable());
    match control {
        DEFAULT_CONTROL => format!("{executable} ctl"),
        control => format!("{executable} ctl --control {control}"),
    }
}

/// The path of this executable, relative to the working directory if it is below it.
fn executable() -> PathBuf {
    let Ok(executable) = std::env::current_exe() else { return "equipoise".into() };
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| Some(executable.strip_prefix(here).ok()?.to_owned()));
    match below {
        Some(below) if below.components().count() > 1 => below,
        Some(below) => Path::new(".").join(below),
        None => executable,
    }
}

/// Quotes a path for a shell.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        assert_eq!(quoted(Path::new("target/release/equipoise")), "target/release/equipoise");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    #[test]
    fn ctl_gets_an_address_unless_it_is_the_default() {
        assert!(ctl("127.0.0.1:9900").ends_with(" ctl"));
        assert!(ctl("127.0.0.1:1").ends_with(" ctl --control 127.0.0.1:1"));
    }
}
