//! File changes without notification, failing reloads, and the metrics of both.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use crate::support::backend::Backend;
use crate::support::client::{self, message};
use crate::support::eventually;
use crate::support::gateway::{one_service, scrape};
use crate::support::process::Process;

async fn goes_to(gateway: &Process, backend: &Backend) {
    eventually("requests go to the other backend", async || {
        let mut client = client::connect(gateway.front).await;
        client::backend(&client.unary(message("x")).await.unwrap()) == backend.address
    })
    .await;
}

async fn gauge(gateway: &Process, name: &str) -> f64 {
    scrape(gateway.metrics).await.value(&format!("equipoise_config_{name}"), &[])
}

/// A folder with a configuration in it, whose log is in JSON.
fn release(folder: &Path, backend: &Backend) {
    std::fs::create_dir_all(folder).unwrap();
    let yaml = one_service(&[backend.address], "") + "log: { format: json }\n";
    std::fs::write(folder.join("gateway.yaml"), yaml).unwrap();
}

#[tokio::test]
async fn a_link_in_the_middle_of_the_path_is_swapped() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    release(&at("r1/etc"), &a);
    release(&at("r2/etc"), &b);
    symlink("r1", at("current")).unwrap();
    symlink("current/etc", at("etc")).unwrap();
    let gateway = Process::with(&at("etc/gateway.yaml")).await;
    goes_to(&gateway, &a).await;
    symlink("r2", at("next")).unwrap();
    std::fs::rename(at("next"), at("current")).unwrap();
    goes_to(&gateway, &b).await;
}

#[tokio::test]
async fn a_folder_is_away_for_a_while() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let root = tempfile::tempdir().unwrap();
    let etc = root.path().join("etc");
    release(&etc, &a);
    let gateway = Process::with(&etc.join("gateway.yaml")).await;
    std::fs::remove_dir_all(&etc).unwrap();
    eventually("it is missed", async || gauge(&gateway, "in_sync").await == 0.0).await;
    goes_to(&gateway, &a).await;
    release(&etc, &b);
    goes_to(&gateway, &b).await;
    assert_eq!(gauge(&gateway, "in_sync").await, 1.0);
}

fn with_listener(yaml: &str, address: &str) -> String {
    let one = "listeners: [ { address: 127.0.0.1:0 } ]";
    yaml.replace(one, &one.replace(" ]", &format!(", {{ address: {address} }} ]")))
}

#[tokio::test]
async fn what_was_in_the_way_may_pass() {
    let backend = Backend::start().await;
    let yaml = one_service(&[backend.address], "");
    let gateway = Process::start(&yaml).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let refused =
        |line: &Value| line["error"].as_str().is_some_and(|e| e.contains("cannot listen"));
    gateway.configure(&with_listener(&yaml, &address.to_string()));
    gateway.said(refused).await;
    assert_eq!(gauge(&gateway, "in_sync").await, 0.0);
    eventually("it is tried again", async || {
        let page = scrape(gateway.metrics).await;
        page.value("equipoise_config_reloads_total", &[("result", "error")]) > 1.0
    })
    .await;
    assert_eq!(gateway.count(refused), 1, "said once");
    drop(taken);
    eventually("it takes", async || gauge(&gateway, "in_sync").await == 1.0).await;
    client::connect(address).await.unary(message("x")).await.unwrap();
}

#[tokio::test]
async fn metrics_say_that_file_and_process_differ() {
    let backend = Backend::start().await;
    let yaml = one_service(&[backend.address], "");
    let gateway = Process::start(&yaml).await;
    let now = async || (gauge(&gateway, "in_sync").await, gauge(&gateway, "restart_needed").await);
    assert_eq!(now().await, (1.0, 0.0));
    gateway.configure("listeners: wrong\n");
    eventually("it is refused", async || now().await == (0.0, 0.0)).await;
    // The running configuration, byte for byte.
    gateway.configure(&yaml);
    eventually("it is mended", async || now().await == (1.0, 0.0)).await;
    gateway.configure(&yaml.replace("workers: 2", "workers: 3"));
    eventually("it waits for a restart", async || now().await == (1.0, 1.0)).await;
    gateway.configure("listeners: wrong\n");
    eventually("it is refused", async || now().await == (0.0, 1.0)).await;
    gateway.configure(&yaml);
    eventually("nothing differs", async || now().await == (1.0, 0.0)).await;
}
