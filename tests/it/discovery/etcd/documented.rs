//! What the page says is so.

use std::process::{Command, Stdio};

use super::has_exactly;
use crate::support::etcd::{Etcd, programs};
use crate::support::gateway::{Gateway, PORTS};

/// The block in `language` of the page's section about etcd.
fn block(language: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/discovery.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, section) = page.split_once("\n## etcd\n").unwrap();
    let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[tokio::test]
async fn a_service_of_kitex_is_found_in_five_commands() {
    let commands = block("sh");
    let commands: Vec<&str> = commands.lines().collect();
    assert!(commands.len() == 5 && commands[0] == "etcd", "{commands:?}");
    let etcd = Etcd::start().await;
    let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
    let put = Command::new("sh")
        .args(["-c", commands[1]])
        .envs([("PATH", path), ("ETCDCTL_ENDPOINTS", etcd.address.to_string())])
        .stdout(Stdio::null())
        .status();
    assert!(put.unwrap().success(), "{}", commands[1]);
    let yaml = block("yaml").replace("127.0.0.1:2379", &etcd.address.to_string());
    let (first, rest) = yaml.split_once('\n').unwrap();
    assert!(first.starts_with("listeners: "), "{first}");
    let rest = rest.replace("orders:\n", "echo:\n").replace("service: orders", "service: echo");
    let gateway = Gateway::start(&format!("{PORTS}{rest}")).await;
    let found = "127.0.0.1:50051".parse().unwrap();
    has_exactly(&mut gateway.control().await, &[found]).await;
}
