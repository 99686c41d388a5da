//! The journal of overrides with the real binary: what was answered outlives kill -9.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use equipoise::control::proto::{self, OverrideKind};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gateway::{Control, PORTS, scrape};
use crate::support::process::Process;

const ENDPOINTS: &str = "endpoints: [ 'a:1', 'b:1', 'c:1', 'd:1' ]";

/// A folder with a configuration whose journal is beside it.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new() -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        site.configure(ENDPOINTS, "");
        site
    }

    fn configure(&self, endpoints: &str, more: &str) {
        let yaml = format!(
            "{PORTS}log: {{ format: json }}\noverrides: {{ journal: {{ path: overrides.jsonl }} }}\n\
             services:\n  echo: {{ {endpoints}, preconnect: 0 }}\n  other: {{ endpoints: [ 'x:1' ] }}\n{more}\
             routes:\n  - name: canary\n    split: [ {{ service: echo, weight: 9 }}, {{ service: other, \
             weight: 1 }} ]\n"
        );
        std::fs::write(self.file(), yaml).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.yaml")
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("overrides.jsonl")
    }

    async fn start(&self) -> Process {
        Process::with(&self.file()).await
    }

    /// How `serve` fails.
    fn refused(&self) -> String {
        let serve = Command::new(env!("CARGO_BIN_EXE_equipoise"))
            .args(["serve", "--config"])
            .arg(self.file())
            .output()
            .unwrap();
        assert_eq!(serve.status.code(), Some(1));
        String::from_utf8(serve.stderr).unwrap()
    }
}

async fn service(gateway: &Process) -> proto::Service {
    let mut control = Control::connect(gateway.control).await;
    let request = proto::GetServiceRequest { service: "echo".into(), since_revision: None };
    control.0.get_service(request).await.unwrap().into_inner()
}

fn weights(service: &proto::Service) -> BTreeMap<String, u32> {
    let weight = |backend: &proto::Backend| (backend.address.clone(), backend.weight);
    service.backends.iter().map(weight).collect()
}

#[tokio::test]
async fn exactly_the_answered_changes_are_there_after_a_kill() {
    let site = Site::new();
    let mut rng = fastrand::Rng::with_seed(17);
    let names = ["a:1", "b:1", "c:1", "d:1"];
    let mut expected: BTreeMap<String, u32> = names.map(|name| (name.into(), 1)).into();
    let (mut revision, mut pending) = (1, None::<(String, u32)>);
    let (mut made, mut lives) = (0, 0);
    while made < 200 {
        lives += 1;
        let gateway = site.start().await;
        let now = service(&gateway).await;
        // One that was asked for and not answered may have been made.
        if let Some((name, weight)) = pending.take()
            && now.revision == revision + 1
        {
            revision += 1;
            expected.insert(name, weight);
        }
        assert_eq!((now.revision, weights(&now)), (revision, expected.clone()), "life {lives}");
        let mut control = Control::connect(gateway.control).await;
        let life = Duration::from_micros(rng.u64(1000..60_000));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(life);
            gateway.kill();
        });
        loop {
            let (name, weight) = (names[rng.usize(..4)].to_owned(), rng.u32(1..1000));
            let request = proto::SetWeightsRequest {
                service: "echo".into(),
                weights: [(name.clone(), weight)].into(),
                ..Default::default()
            };
            match control.0.set_weights(request).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    revision += 1;
                    assert_eq!((answer.revision, answer.durable), (revision, true));
                    expected.insert(name, weight);
                    made += 1;
                }
                Err(_) => {
                    pending = Some((name, weight));
                    break;
                }
            }
        }
        killer.join().unwrap();
    }
    assert!(lives > 2, "{lives}");
}

#[tokio::test]
async fn every_kind_of_override_and_the_history_outlive_a_restart() {
    let site = Site::new();
    let gateway = site.start().await;
    for line in [
        "set-weight echo a:1=80 --by ann --reason big",
        "set-weight echo a:1=5 --ttl 1h",
        "drain echo b:1",
        "remove echo c:1",
        "eject echo d:1 --for 1h",
        "add echo e:1=7",
        "set-policy echo maglev key.header=x-user",
        "set-split canary other=4 --reason canary",
    ] {
        let told = gateway.ctl(line).unwrap();
        assert!(!told.contains("lost"), "{told}");
    }
    gateway.kill();
    let gateway = site.start().await;
    let now = service(&gateway).await;
    assert_eq!((now.revision, &*now.policy), (8, "maglev"));
    use OverrideKind::{Add, Drain, Eject, Policy, Remove, Weight};
    let kinds: Vec<_> = now.overrides.iter().map(|one| (one.kind(), &*one.backend)).collect();
    let expected = [
        (Policy, ""),
        (Weight, "a:1"),
        (Drain, "b:1"),
        (Remove, "c:1"),
        (Eject, "d:1"),
        (Add, "e:1"),
    ];
    assert_eq!(kinds, expected);
    assert!(now.overrides[1].until.is_some() && now.overrides[4].until.is_some());
    let ejected = now.backends.iter().find(|backend| backend.address == "d:1").unwrap();
    assert!(ejected.state_left_seconds > Some(3000.0), "{ejected:?}");
    let split = gateway.ctl("split canary --output json").unwrap();
    let split: Value = serde_json::from_str(&split).unwrap();
    assert_eq!(split["splits"][0]["shares"][1]["weight"], 4);
    // What was done before the restart is undone after it.
    let history = gateway.ctl("history echo --output json").unwrap();
    let history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history["changes"].as_array().unwrap().len(), 7);
    let first = &history["changes"][6];
    assert_eq!((&first["actor"], &first["reason"]), (&"ann".into(), &"big".into()));
    assert!(gateway.ctl("revert echo 2").unwrap_err().contains("(ABORTED)"));
    for revision in 3..=8 {
        gateway.ctl(&format!("revert echo {revision} --allow-empty")).unwrap();
    }
    assert!(gateway.ctl("revert echo 2").unwrap_err().contains("revision 9"));
    gateway.ctl("revert-split canary 2").unwrap();
    let now = service(&gateway).await;
    let expected = [("a:1", 80), ("b:1", 1), ("c:1", 1), ("d:1", 1)];
    assert_eq!(weights(&now), expected.map(|(name, weight)| (name.to_owned(), weight)).into());
    assert_eq!(now.overrides.len(), 1);
    gateway.kill();
    let gateway = site.start().await;
    assert_eq!(weights(&service(&gateway).await)["a:1"], 80);
    let split = gateway.ctl("split canary --output json").unwrap();
    assert!(split.contains("\"weight\": 1,"), "{split}");
}

#[tokio::test]
async fn a_time_goes_on_while_the_gateway_is_down() {
    let site = Site::new();
    let gateway = site.start().await;
    gateway.ctl("set-weight echo a:1=80").unwrap();
    gateway.ctl("set-weight echo a:1=5 b:1=6 --ttl 2s").unwrap();
    gateway.ctl("set-weight echo c:1=7 --ttl 1h").unwrap();
    gateway.kill();
    let mut gateway = site.start().await;
    eventually("it is over", async || {
        let now = weights(&service(&gateway).await);
        (now["a:1"], now["b:1"], now["c:1"]) == (80, 1, 7)
    })
    .await;
    gateway.ctl("set-weight echo d:1=9 --ttl 1ms").unwrap();
    gateway.terminate();
    gateway.ended().await;
    let gateway = site.start().await;
    assert_eq!(weights(&service(&gateway).await)["d:1"], 1, "it was over before the start");
}

#[tokio::test]
async fn what_is_no_longer_configured_has_ended_and_does_not_come_back() {
    let site = Site::new();
    let gateway = site.start().await;
    for line in
        ["set-weight echo a:1=80 d:1=8", "set-weight other x:1=9", "set-split canary other=4"]
    {
        gateway.ctl(line).unwrap();
    }
    gateway.kill();
    let text = std::fs::read_to_string(site.file()).unwrap();
    let text = text.replace(", 'd:1' ]", " ]").replace("  other: { endpoints: [ 'x:1' ] }\n", "");
    let (services, _) = text.split_once("routes:").unwrap();
    std::fs::write(site.file(), format!("{services}routes: [ echo ]\n")).unwrap();
    let gateway = site.start().await;
    let ended = |line: &Value| {
        let told = line["message"].as_str().unwrap_or_default();
        told.starts_with("what operators wanted has ended").then(|| line["service"].clone())
    };
    for service in ["echo", "other"] {
        gateway.said(|line| ended(line) == Some(service.into())).await;
    }
    assert_eq!(service(&gateway).await.overrides.len(), 1);
    let (mut gateway, before) = (gateway, service_revision(&site));
    gateway.terminate();
    gateway.ended().await;
    site.configure(ENDPOINTS, "");
    let gateway = site.start().await;
    let now = service(&gateway).await;
    assert_eq!((now.revision, weights(&now)["a:1"], weights(&now)["d:1"]), (2, 80, 1));
    let listed = gateway.ctl("services --output json").unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let other = &listed["services"][1];
    assert_eq!((&other["name"], &other["overrides"]), (&"other".into(), &0.into()));
    assert!(other["revision"].as_u64() > Some(2), "it repeats no revision: {other}, {before}");
    let history = gateway.ctl("history echo").unwrap();
    assert!(history.contains("no longer configured, and so ended"), "{history}");
}

/// The lines of the journal that tell of the end of a service.
fn service_revision(site: &Site) -> usize {
    let text = std::fs::read_to_string(site.journal()).unwrap();
    text.lines().filter(|line| line.contains("\"kind\":\"gone\"")).count()
}

#[tokio::test]
async fn a_journal_that_is_torn_damaged_or_in_use_is_told() {
    let site = Site::new();
    let gateway = site.start().await;
    gateway.ctl("set-weight echo a:1=80").unwrap();
    gateway.ctl("set-weight echo b:1=70").unwrap();
    let refused = site.refused();
    assert!(refused.contains("another gateway has the journal of overrides"), "{refused}");
    gateway.kill();

    let content = std::fs::read(site.journal()).unwrap();
    std::fs::write(site.journal(), &content[..content.len() - 5]).unwrap();
    let gateway = site.start().await;
    gateway.said(|line| said(line, "not written to its end")).await;
    let now = weights(&service(&gateway).await);
    assert_eq!((now["a:1"], now["b:1"]), (80, 1));
    let page = scrape(gateway.metrics).await;
    let failures =
        |reason| page.value("equipoise_overrides_journal_failures_total", &[("reason", reason)]);
    assert_eq!((failures("torn"), failures("corrupt")), (1.0, 0.0));
    assert_eq!(page.value("equipoise_overrides_journal_up", &[]), 1.0);
    gateway.ctl("set-weight echo b:1=70").unwrap();
    gateway.kill();

    let text = std::fs::read_to_string(site.journal()).unwrap();
    assert!(text.contains("\"revision\":2"), "{text}");
    std::fs::write(site.journal(), text.replacen("\"weight\":80", "\"weight\":81", 1)).unwrap();
    let gateway = site.start().await;
    let line = gateway.said(|line| said(line, "is damaged")).await;
    assert_eq!(line["count"], 1, "{line}");
    assert!(Path::new(line["aside"].as_str().unwrap()).exists(), "{line}");
    let now = service(&gateway).await;
    assert_eq!((now.revision, weights(&now)["a:1"], weights(&now)["b:1"]), (3, 1, 70));
    gateway.kill();

    std::fs::write(site.journal(), "something: else\n").unwrap();
    let refused = site.refused();
    assert!(refused.contains("is not a journal of overrides: move it away"), "{refused}");
    assert_eq!(std::fs::read_to_string(site.journal()).unwrap(), "something: else\n");
}

fn said(line: &Value, part: &str) -> bool {
    line["message"].as_str().is_some_and(|text| text.contains(part))
}
