//! Reloads of the real process, by file changes and signals.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::backend::Backend;
use crate::support::client::{self, message};
use crate::support::eventually;
use crate::support::gateway::{one_service, scrape};
use crate::support::process::Process;

/// Waits until new connections' requests go to `backend` only.
async fn goes_to(gateway: &Process, backend: &Backend) {
    eventually("requests go to the other backend", async || {
        let mut client = client::connect(gateway.front).await;
        client::backend(&client.unary(message("x")).await.unwrap()) == backend.address
    })
    .await;
}

async fn reloads(gateway: &Process, result: &str) -> f64 {
    let page = scrape(gateway.metrics).await;
    page.value("equipoise_config_reloads_total", &[("result", result)])
}

fn to(backend: &Backend) -> String {
    one_service(&[backend.address], "")
}

#[tokio::test]
async fn sighup_has_the_file_read_again() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let gateway = Process::start(&to(&a)).await;
    goes_to(&gateway, &a).await;
    gateway.configure(&to(&b));
    gateway.hang_up();
    goes_to(&gateway, &b).await;
    let page = scrape(gateway.metrics).await;
    let loaded = page.value("equipoise_config_last_reload_success_timestamp_seconds", &[]);
    assert!(loaded >= page.value("process_start_time_seconds", &[]), "{loaded}");
    // SIGHUP reloads even an unchanged file.
    let before = reloads(&gateway, "success").await;
    gateway.hang_up();
    eventually("it is counted", async || reloads(&gateway, "success").await > before).await;
}

#[tokio::test]
async fn a_change_of_the_file_is_enough_and_a_touch_is_nothing() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let gateway = Process::start(&to(&a)).await;
    gateway.configure(&to(&a));
    gateway.configure(&to(&b));
    goes_to(&gateway, &b).await;
    assert_eq!(reloads(&gateway, "success").await, 1.0);
    // The same content again: it would be a second reload, before the third change's.
    gateway.configure(&to(&b));
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    gateway.configure(&to(&a));
    goes_to(&gateway, &a).await;
    assert_eq!(reloads(&gateway, "success").await, 2.0);
}

/// A ConfigMap volume as the kubelet updates it: the files are links into `..data`, a link to a
/// folder of this state, replaced atomically.
fn publish(volume: &Path, state: &str, yaml: &str) {
    let folder = volume.join(state);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("gateway.yaml"), format!("{yaml}log: {{ format: json }}\n"))
        .unwrap();
    symlink(state, volume.join("..data_tmp")).unwrap();
    std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

#[tokio::test]
async fn a_volume_of_kubernetes_is_followed_from_state_to_state() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let volume = tempfile::tempdir().unwrap();
    publish(volume.path(), "..1", &to(&a));
    symlink("..data/gateway.yaml", volume.path().join("gateway.yaml")).unwrap();
    let gateway = Process::with(&volume.path().join("gateway.yaml")).await;
    for (state, before, backend) in [("..2", "..1", &b), ("..3", "..2", &a), ("..4", "..3", &b)] {
        publish(volume.path(), state, &to(backend));
        std::fs::remove_dir_all(volume.path().join(before)).unwrap();
        goes_to(&gateway, backend).await;
    }
}

#[tokio::test]
async fn an_invalid_file_changes_nothing_and_every_error_is_named() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let gateway = Process::start(&to(&a)).await;
    let mut client = client::connect(gateway.front).await;
    let wrong = one_service(&[b.address], "balancer: { policy: nope }");
    let wrong = wrong.replace("endpoints:", "endpoint:").replace("workers: 2", "workers: two");
    gateway.configure(&wrong);
    gateway.said(|line| line["level"] == "ERROR" && line["errors"] == 3).await;
    for part in ["yaml:1:10: `two`", "yaml:7:25: unknown policy", "yaml:11:5: unknown key"] {
        let named = |line: &serde_json::Value| {
            line["error"].as_str().is_some_and(|error| error.contains(part))
        };
        assert_eq!(gateway.count(named), 1, "{part}");
    }
    assert_eq!(reloads(&gateway, "error").await, 1.0);
    assert_eq!(reloads(&gateway, "success").await, 0.0);
    let answer = client.unary(message("x")).await.unwrap();
    assert_eq!(client::backend(&answer), a.address);

    gateway.configure(&to(&b));
    goes_to(&gateway, &b).await;
    client.unary(message("the same connection")).await.unwrap();
}

#[tokio::test]
async fn what_needs_a_restart_is_named() {
    let backend = Backend::start().await;
    let gateway = Process::start(&to(&backend)).await;
    let other = to(&backend)
        .replace("workers: 2", "workers: 3\nworker_buffer: 1GiB\nflow_pause: 0ms")
        + "dns: { servers: [ 127.0.0.1 ] }\n";
    gateway.configure(&other);
    for key in ["workers", "worker_buffer", "flow_pause", "dns"] {
        gateway.said(|line| line["level"] == "WARN" && line["key"] == key).await;
    }
    eventually("the rest is applied", async || reloads(&gateway, "success").await == 1.0).await;
    assert_eq!(gateway.count(|line| line["key"] == "control"), 0);
}

#[tokio::test]
async fn the_log_names_the_routes_that_are_not_what_they_were() {
    let yaml = |routes: &str| {
        format!(
            "workers: 1\nlisteners: [ {{ address: 127.0.0.1:0 }} ]\n\
             control: {{ address: 127.0.0.1:0 }}\nmetrics: {{ address: 127.0.0.1:0 }}\n\
             services: {{ orders: {{ endpoints: [ {{ address: 127.0.0.1:1 }} ] }} }}\n\
             routes: [ {routes} ]\n"
        )
    };
    let route = |asked: &str| format!("{{ {asked}, service: orders }}");
    let [a, b, c, all] = ["path: /a", "path: /b", "path: /c", ""]
        .map(|asked| route(&format!("match: {{ {asked} }}")));
    let pinned = |path: &str| route(&format!("name: pinned, match: {{ path_prefix: {path} }}"));
    let before = [&*a, &*b, &*pinned("/x"), &*all].join(", ");
    let gateway = Process::start(&yaml(&before)).await;
    gateway.configure(&yaml(&[&*all, &*c, &*pinned("/y"), &*b].join(", ")));
    for (what, names) in [
        ("routes added", "`orders:/c`"),
        ("routes changed", "`pinned`"),
        ("routes removed", "`orders:/a`"),
    ] {
        let line = gateway.said(|line| line["message"] == what).await;
        assert_eq!((&line["routes"], &line["count"]), (&names.into(), &1.into()), "{line}");
    }
}
