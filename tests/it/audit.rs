//! The audit: what was asked for, by whom, and what became of it, in a file.

mod kills;
mod lines;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gateway::PORTS;
use crate::support::process::Process;

/// A folder with a configuration, its journal and its audit.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new(strict: bool) -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        site.configure(strict, "");
        site
    }

    /// A service, a route and whatever else.
    fn configure(&self, strict: bool, more: &str) {
        let yaml = format!(
            "{PORTS}log: {{ format: json }}\noverrides: {{ journal: {{ path: overrides.jsonl }} }}\n\
             audit: {{ path: audit.jsonl, strict: {strict} }}\n\
             services:\n  echo: {{ endpoints: [ 'a:1', 'b:1', 'c:1' ], preconnect: 0 }}\n{more}\
             routes:\n  - {{ name: main, service: echo }}\n"
        );
        std::fs::write(self.file(), yaml).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.yaml")
    }

    fn audit(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    async fn start(&self) -> Process {
        Process::with(&self.file()).await
    }

    /// The lines of the audit.
    fn lines(&self) -> Vec<Value> {
        lines(&self.audit())
    }

    /// Waits for the last line of this event.
    async fn told(&self, event: &str) -> Value {
        let mut found = None;
        eventually("it is in the audit", async || {
            found = self.lines().into_iter().rfind(|line| line["event"] == event);
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

/// The lines of an audit, each of which is whole.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
