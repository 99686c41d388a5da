//! What the process gives up before it does anything.

use crate::support::backend::Backend;
use crate::support::gateway::one_service;
use crate::support::process::Process;

#[tokio::test]
async fn it_gains_no_rights_and_leaves_no_image_of_its_memory() {
    let backend = Backend::start().await;
    let process = Process::start(&one_service(&[backend.address], "")).await;
    let of =
        |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", process.id())).unwrap();
    let limits = of("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let soft = core.split_whitespace().nth(4).unwrap();
    assert!(["0", "1"].contains(&soft), "{core}");
    for thread in std::fs::read_dir(format!("/proc/{}/task", process.id())).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
}
