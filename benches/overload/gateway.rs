//! The gateway as a process of its own.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

pub struct Gateway {
    pub address: SocketAddr,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Gateway {
    pub async fn start(binary: &str, backends: &[SocketAddr], limits: &str) -> Gateway {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let concurrency = match limits {
            "hand" => {
                "concurrency: { max_requests: 12, per_endpoint: 4, key: { header: x-tenant } }"
            }
            "none" => "",
            other => &format!("concurrency: {other}"),
        };
        let backends: Vec<String> = backends.iter().map(ToString::to_string).collect();
        let yaml = format!(
            "workers: 2\nlisteners: [ \"{address}\" ]\nmetrics: \"127.0.0.1:0\"\ncontrol: {{ address: \"127.0.0.1:0\" }}\n\
             routes: [ {{ match: {{}}, service: held }} ]\n\
             services:\n  held:\n    endpoints: [ {} ]\n    {concurrency}\n",
            backends.join(", ")
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        std::fs::write(&file, yaml).unwrap();
        let mut command = Command::new(binary);
        command.args(["serve", "--config"]).arg(&file).stdout(Stdio::null());
        if std::env::var_os("SHOW_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        let process = command.spawn().unwrap();
        for _ in 0..500 {
            if TcpStream::connect(address).await.is_ok() {
                return Gateway { address, process, _folder: folder };
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the gateway does not listen: try with SHOW_LOG=1");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
