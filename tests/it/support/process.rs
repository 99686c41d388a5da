//! The gateway as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use super::eventually;

const BINARY: &str = env!("CARGO_BIN_EXE_equipoise");

pub struct Process {
    child: Child,
    pub front: SocketAddr,
    pub control: SocketAddr,
    pub metrics: SocketAddr,
    /// The lines of its log so far.
    log: Arc<Mutex<Vec<Value>>>,
    file: PathBuf,
    /// Kept until the end.
    folder: Option<TempDir>,
}

impl Process {
    /// Runs `equipoise serve` and waits until it is ready.
    pub async fn start(yaml: &str) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        write(&file, yaml);
        let mut process = Process::with(&file).await;
        process.folder = Some(folder);
        process
    }

    /// As `start`, with an existing file, which logs in JSON.
    pub async fn with(file: &Path) -> Process {
        Process::by(Command::new(BINARY), file).await
    }

    /// As `with`, with a variable of the environment.
    pub async fn with_variable(file: &Path, name: &str, value: &Path) -> Process {
        let mut command = Command::new(BINARY);
        command.env(name, value);
        Process::by(command, file).await
    }

    /// Runs `ctl`; its output, or what it says on standard error.
    pub fn ctl(&self, line: &str) -> Result<String, String> {
        let output = Command::new(BINARY)
            .args(["ctl", "--control", &format!("http://{}", self.control)])
            .args(line.split_whitespace())
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }

    /// Kills it, as a crash of the machine would but for the page cache, and waits until it is gone.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// As `start`, with these `ulimit` limits.
    pub async fn limited(yaml: &str, limits: &str) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        write(&file, yaml);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit {limits} && exec \"$0\" \"$@\""), BINARY]);
        let mut process = Process::by(shell, &file).await;
        process.folder = Some(folder);
        process
    }

    async fn by(mut command: Command, file: &Path) -> Process {
        let mut child =
            command.args(["serve", "--config"]).arg(file).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&log);
        // Read to its end, so that the process never blocks on writing.
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                written.lock().unwrap().push(serde_json::from_str(&line).unwrap_or(line.into()));
            }
        });
        let nowhere = SocketAddr::from(([0; 4], 0));
        let (front, control, metrics) = (nowhere, nowhere, nowhere);
        let (file, folder) = (file.to_owned(), None);
        let mut process = Process { child, front, control, metrics, log, file, folder };
        let ready = process.said(|line| line["message"] == "ready").await;
        process.control = address(&ready, "control");
        process.metrics = address(&ready, "metrics");
        process.front = process.listening().first().copied().unwrap_or(nowhere);
        process
    }

    /// Replaces the configuration file atomically.
    pub fn configure(&self, yaml: &str) {
        write(&self.file, yaml);
    }

    /// Every port that it has listened on so far.
    pub fn listening(&self) -> Vec<SocketAddr> {
        let log = self.log.lock().unwrap();
        let lines = log.iter().filter(|line| line["message"] == "listening");
        lines.filter_map(|line| line["address"].as_str()?.parse().ok()).collect()
    }

    /// The number of such log lines.
    pub fn count(&self, wanted: impl Fn(&Value) -> bool) -> usize {
        self.log.lock().unwrap().iter().filter(|line| wanted(line)).count()
    }

    /// Waits for the first such log line.
    pub async fn said(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        eventually("it is in the log", async || {
            found = self.log.lock().unwrap().iter().find(|line| wanted(line)).cloned();
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Sends a signal, named as `kill` takes it.
    pub fn signal(&self, signal: &str) {
        let kill = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        assert!(kill.unwrap().success());
    }

    /// Waits for it to exit.
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

fn address(line: &Value, field: &str) -> SocketAddr {
    line[field].as_str().unwrap().parse().unwrap()
}

/// Writes a configuration with JSON logging atomically.
fn write(file: &Path, yaml: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{yaml}log: {{ format: json }}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}
