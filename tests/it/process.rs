//! The gateway as a process: its log, signals and start.

mod hardening;
mod level;
mod log;
mod signals;
mod start;

use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

use crate::support::gateway::{self, Control};
use crate::support::{eventually, http1};

/// A gateway whose addresses are fixed, so that its log need not be read.
struct Gateway {
    child: Child,
    front: SocketAddr,
    control: SocketAddr,
    metrics: SocketAddr,
    /// Kept until the end: reloads read it.
    _folder: TempDir,
}

/// A free port outside of the ephemeral range, locked against other tests until dropped.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if let Ok(free) = TcpListener::bind(("127.0.0.1", port)) {
            return free.local_addr().unwrap();
        }
    }
}

impl Gateway {
    /// Starts it with this standard error, and waits until it is ready.
    async fn start(log: &str, stderr: impl Into<Stdio>) -> Gateway {
        let mut command = Command::new(env!("CARGO_BIN_EXE_equipoise"));
        command.stderr(stderr);
        let gateway = Gateway::spawn(command, log);
        eventually("it is ready", async || gateway.is_ready().await).await;
        gateway
    }

    /// Starts it as `command`, adding the arguments.
    fn spawn(mut command: Command, log: &str) -> Gateway {
        let free = [free_port(), free_port(), free_port()];
        let folder = tempfile::tempdir().unwrap();
        let [front, control, metrics] = free;
        let file = folder.path().join("gateway.yaml");
        let yaml = format!(
            "listeners: [ {{ address: '{front}' }} ]\ncontrol: {{ address: '{control}' }}\n\
             metrics: {{ address: '{metrics}' }}\nlog: {{ {log} }}\nroutes: [ {{ service: echo }} ]\n\
             services: {{ echo: {{ endpoints: [ {{ address: '127.0.0.1:1' }} ] }} }}\n"
        );
        std::fs::write(&file, yaml).unwrap();
        let child = command.args(["serve", "--config"]).arg(file).spawn().unwrap();
        Gateway { child, front, control, metrics, _folder: folder }
    }

    async fn answers(&self, path: &str) -> bool {
        let Ok(_) = tokio::net::TcpStream::connect(self.metrics).await else { return false };
        let request = format!("GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n");
        http1::exchange(self.metrics, request.as_bytes()).await.starts_with("HTTP/1.1 200 ")
    }

    async fn is_ready(&self) -> bool {
        self.answers("/readyz").await
    }

    /// Checks that it serves requests and changes.
    async fn works(&self) {
        assert!(self.answers("/healthz").await && self.is_ready().await);
        let answer = http1::exchange(
            self.front,
            b"GET / HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n",
        );
        let answer = answer.await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        self.change_weights(2).await;
    }

    /// Makes changes, each of which logs a line.
    async fn change_weights(&self, times: u32) {
        let mut control = Control::connect(self.control).await;
        for weight in 1..=times {
            control.set_weights(&[("127.0.0.1:1".parse().unwrap(), weight)]).await;
        }
    }

    async fn metric(&self, line: &str) -> f64 {
        gateway::scrape(self.metrics).await.value(line, &[])
    }

    async fn dropped(&self, reason: &str) -> f64 {
        let page = gateway::scrape(self.metrics).await;
        page.value("equipoise_log_lines_dropped_total", &[("reason", reason)])
    }

    async fn reload(&self) {
        let reloads = async || {
            let page = gateway::scrape(self.metrics).await;
            page.value("equipoise_config_reloads_total", &[("result", "success")])
        };
        let before = reloads().await;
        self.signal("HUP");
        eventually("it has reloaded", async || reloads().await > before).await;
    }

    fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    async fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill").args(["-s", name]).arg(child.id().to_string()).status();
    assert!(kill.unwrap().success());
}

async fn ended(child: &mut Child) -> ExitStatus {
    let mut status = None;
    eventually("the process ends", async || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    status.unwrap()
}

/// The command's output and exit status.
fn run(arguments: &[&str], variable: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_equipoise"));
    command.args(arguments).env_remove("EQUIPOISE_LOG");
    if let Some(value) = variable {
        command.env("EQUIPOISE_LOG", value);
    }
    command.output().unwrap()
}

/// A file with this content, and its folder.
fn file(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}
