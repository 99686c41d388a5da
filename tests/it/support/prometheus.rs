//! A Prometheus server that scrapes and evaluates twice a second.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub struct Prometheus {
    child: Child,
    pub address: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes `target` as the job `equipoise` and loads the rules of `rules`.
    pub fn start(target: SocketAddr, rules: &Path) -> Prometheus {
        Prometheus::with(target, rules, &[])
    }

    /// As `start`, with more arguments.
    pub fn with(target: SocketAddr, rules: &Path, arguments: &[&str]) -> Prometheus {
        let configuration = format!(
            "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }}\n\
             rule_files: [ '{}/*.yml' ]\n\
             scrape_configs:\n  - job_name: equipoise\n    \
             static_configs: [ {{ targets: [ '{target}' ] }} ]\n",
            rules.display()
        );
        Prometheus::configured(&configuration, tempfile::tempdir().unwrap(), arguments)
    }

    /// With this configuration, whose files are in `folder`.
    pub fn configured(configuration: &str, folder: TempDir, arguments: &[&str]) -> Prometheus {
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, configuration).unwrap();
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .expect("Debian's package prometheus is there: tests/harness/debian prometheus");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let _ = writeln!(said, "{line}");
            let line: Value = serde_json::from_str(&line).ok()?;
            if line["msg"] == "Listening on" {
                line["address"].as_str()?.parse().ok()
            } else {
                None
            }
        });
        // Read to its end, so that it never blocks on writing.
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.unwrap_or_else(|| panic!("it does not start: {said}"));
        Prometheus { child, address, _folder: folder }
    }

    /// The data of an API response; `None` while it is not ready.
    pub async fn get(&self, path: &str, query: &str) -> Option<Value> {
        let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        let request = format!("GET /api/v1/{path}{query} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        if head.contains(" 503 ") {
            return None;
        }
        let mut answer: Value = serde_json::from_str(body).unwrap();
        assert_eq!(answer["status"], "success", "{path}{query}: {answer}");
        Some(answer["data"].take())
    }

    /// The present numeric values of a query.
    pub async fn query(&self, query: &str) -> Vec<f64> {
        let data = self.get("query?query=", query).await.unwrap_or_default();
        let result = data["result"].as_array().cloned().unwrap_or_default();
        let values = result.iter().filter_map(|series| series["value"][1].as_str()?.parse().ok());
        values.filter(|value: &f64| value.is_finite()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
