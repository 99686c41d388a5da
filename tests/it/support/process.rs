//! The gateway as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use tempfile::TempDir;

use super::eventually;

pub struct Process {
    child: Child,
    pub front: SocketAddr,
    pub metrics: SocketAddr,
    _folder: TempDir,
}

impl Process {
    /// Runs `equipoise serve` and waits until it is ready.
    pub fn start(yaml: &str) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        std::fs::write(&file, format!("{yaml}log: {{ format: json }}\n")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_equipoise"))
            .args(["serve", "--config"])
            .arg(file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // Read to its end, so that the process is never kept from writing.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let (mut front, mut metrics) = (None, None);
        while metrics.is_none() {
            let line = lines.recv().expect("it becomes ready");
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            let field = |name: &str| {
                let value = line.get(name).or_else(|| line.get("fields")?.get(name))?;
                value.as_str()?.parse().ok()
            };
            front = front.or_else(|| field("address"));
            metrics = field("metrics");
        }
        Process { child, front: front.unwrap(), metrics: metrics.unwrap(), _folder: folder }
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(kill.success());
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the process ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
