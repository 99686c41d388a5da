//! Every `ctl` command in the pages works on a gateway like that of the pages.

use clap::Parser as _;
use equipoise::cli::ctl::{self, Outcome, Screen};
use equipoise::cli::{Cli, Command};

use super::{blocks, pages};
use crate::support::process::Process;

/// The services and routes that the pages mention.
const CONFIGURATION: &str = r#"
workers: 1
listeners: [ { address: 127.0.0.1:0 } ]
control: { address: 127.0.0.1:0 }
metrics: { address: 127.0.0.1:0 }
services:
  orders: { endpoints: [ { address: 127.0.0.1:50051 }, { address: 127.0.0.1:50052 } ] }
  canary: { endpoints: [ { address: 127.0.0.1:50054 } ] }
routes:
  - { name: checkout, match: { grpc: shop.Orders }, split: [ { service: orders }, { service: canary } ] }
"#;

/// The commands in a page's blocks, in order, without those that never end.
fn commands(text: &str) -> Vec<String> {
    let blocks = blocks(text, "sh");
    let lines = blocks.iter().flat_map(|block| block.lines());
    let lines = lines.map(|line| line.split(" #").next().unwrap().trim().replace('\'', ""));
    // What is for another gateway, and what is kept for later.
    let elsewhere = [" --control ", " --context ", " context ", " watch "];
    let is_ctl = |line: &String| {
        line.starts_with("equipoise ctl ") && elsewhere.iter().all(|other| !line.contains(other))
    };
    lines.filter(is_ctl).collect()
}

#[tokio::test]
async fn those_in_the_pages_work_one_after_the_other() {
    let mut ran = 0;
    for (name, text) in pages() {
        let gateway = Process::start(CONFIGURATION).await;
        let control = gateway.control.to_string();
        let run = async |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(String::from).collect();
            let words = words.into_iter().chain(["--control".into(), control.clone()]);
            let cli = Cli::try_parse_from(words).unwrap();
            let Command::Ctl(args) = cli.command else { panic!("{line}") };
            let mut out = Vec::new();
            let screen = Screen { redraws: false, width: || 80 };
            let ended = ctl::execute(*args, &mut out, screen).await;
            let ended = ended.unwrap_or_else(|error| panic!("{name}: `{line}`: {error}"));
            assert_eq!(ended, Outcome::Done, "{name}: `{line}`");
            assert!(!out.is_empty(), "{name}: `{line}`");
        };
        // The pages start at revision 7.
        for weight in 2..9 {
            run(&format!("equipoise ctl set-weight orders 127.0.0.1:50051={weight}")).await;
        }
        for line in commands(&text) {
            run(&line).await;
            ran += 1;
        }
    }
    assert!(ran > 20, "{ran}");
}
