//! Unix sockets at which operators come, and no request of a client.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::listeners::exchange;
use crate::support::gateway::Gateway;
use crate::support::http1;

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

type Link = fn(PathBuf, PathBuf) -> std::io::Result<()>;

/// A gateway whose control and metrics are at sockets of a folder, and its service's endpoint too.
async fn start(endpoint: &str) -> (tempfile::TempDir, Gateway) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    let yaml = format!(
        "workers: 1\nlisteners: [ 127.0.0.1:0 ]\ncontrol: unix:{at}/control.sock\n\
         metrics: {{ address: \"unix:{at}/metrics.sock\", mode: 0666 }}\n\
         services: {{ own: {{ protocol: http1, endpoints: [ \"unix:{at}/{endpoint}\" ] }} }}\n\
         routes: [ own ]\n"
    );
    let gateway = Gateway::start(&yaml).await;
    (folder, gateway)
}

#[tokio::test]
async fn operators_come_by_sockets() {
    let (folder, gateway) = start("nobody.sock").await;
    let control = folder.path().join("control.sock");
    let metrics = folder.path().join("metrics.sock");
    let mode = |path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&control), mode(&metrics)), (0o600, 0o666));
    let page = exchange(&metrics, GET).await;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("equipoise_"), "{page}");
    let address = format!("unix:{}", control.display());
    let ctl = tokio::task::spawn_blocking(move || {
        let mut ctl = Command::new(env!("CARGO_BIN_EXE_equipoise"));
        ctl.args(["ctl", "--control", &address, "--by", "me", "backends"]).output().unwrap()
    });
    let told = ctl.await.unwrap();
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success() && text.contains("nobody.sock"), "{told:?}");
    gateway.shutdown().await;
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "both are removed");
}

#[tokio::test]
async fn no_request_of_a_client_comes_to_them() {
    for (endpoint, link) in [
        ("metrics.sock", None),
        ("control.sock", None),
        (".//./metrics.sock", None),
        ("soft.sock", Some(symlink as Link)),
        ("hard.sock", Some(fs::hard_link as Link)),
    ] {
        let (folder, gateway) = start(endpoint).await;
        if let Some(link) = link {
            let (own, name) = (folder.path().join("metrics.sock"), folder.path().join(endpoint));
            link(own, name).unwrap();
        }
        let answer = http1::exchange(gateway.front(), GET.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{endpoint}: {answer}");
        if link.is_some() {
            // One whose first name is gone is known by who listens there.
            let moved = folder.path().join("moved.sock");
            fs::rename(folder.path().join("metrics.sock"), &moved).unwrap();
            if endpoint == "soft.sock" {
                fs::remove_file(folder.path().join(endpoint)).unwrap();
                symlink(moved, folder.path().join(endpoint)).unwrap();
            }
            let answer = http1::exchange(gateway.front(), GET.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 503 "), "{endpoint}: {answer}");
        }
    }
}

#[test]
fn an_endpoint_that_is_one_of_them_is_warned_of() {
    let yaml = "listeners: [ 127.0.0.1:0 ]\ncontrol: unix:/run/c.sock\n\
        services: { own: { endpoints: [ \"unix:/run//c.sock\" ] } }\nroutes: [ own ]\n";
    let plan = equipoise::config::parse(yaml, Path::new("")).unwrap();
    assert!(plan.warnings[0].to_string().contains("this gateway's own"), "{:?}", plan.warnings);
    let twice = yaml.replace("127.0.0.1:0", "unix:/run/../run/c.sock");
    let report = equipoise::config::parse(&twice, Path::new("")).unwrap_err();
    assert!(report.pretty().contains("are one file"), "{}", report.pretty());
}
