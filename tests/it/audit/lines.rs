//! What has which line, and what happens where none can be written.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::support::gateway::scrape;

#[tokio::test]
async fn each_change_and_each_refusal_has_its_line() {
    let site = Site::new(true);
    let gateway = site.start().await;
    assert_eq!(fs::metadata(site.audit()).unwrap().mode() & 0o777, 0o600);
    gateway.ctl("set-weight echo a:1=7 --by ann --reason slow").unwrap();
    let told = site.lines();
    let [start, intent, done] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&start["event"], &intent["event"]), (&"opened".into(), &"intent".into()));
    assert_eq!(done["event"], "done");
    for line in [intent, done] {
        assert_eq!(line["sequence"], intent["sequence"], "{line}");
        assert!(line["at"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(line["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert!(line.get("who").is_none(), "nobody had to prove anything: {line}");
        for (key, value) in [
            ("claimed", "ann"),
            ("reason", "slow"),
            ("method", "SetWeights"),
            ("service", "echo"),
            ("change", "set weights `a:1=7`"),
            ("old", "`a:1=1`"),
            ("new", "`a:1=7`"),
        ] {
            assert_eq!(line[key], value, "{line}");
        }
        assert_eq!(line["revision"], 2);
    }
    for (command, part) in [
        ("set-weight echo a:1=8 --expected-revision 9", "not at the expected 9"),
        ("set-weight echo x:1=8", "has no backend `x:1`"),
        ("drain nowhere a:1", "there is no service `nowhere`"),
        ("set-weight echo a:1=0 b:1=0 c:1=0", "no backend to take requests"),
        ("set-split nowhere a=1", "nowhere"),
        ("log-level loud", "loud"),
    ] {
        let before = site.lines().len();
        gateway.ctl(command).unwrap_err();
        eventually("it is in the audit", async || site.lines().len() > before).await;
        let told = site.lines();
        assert_eq!(told.len(), before + 1, "{command}: one line, and no more");
        let line = &told[before];
        assert_eq!(line["event"], "refused", "{command}: {line}");
        assert!(line["error"].as_str().unwrap().contains(part), "{command}: {line}");
        assert!(line["method"].is_string(), "{command}: {line}");
    }
    gateway.ctl("log-level debug").unwrap();
    let line = site.told("done").await;
    assert_eq!((&line["method"], &line["new"]), (&"SetLogLevel".into(), &"debug".into()));
    gateway.ctl("set-weight echo b:1=9 --ttl 50ms").unwrap();
    let line = site.told("ended").await;
    assert!(line["old"].as_str().unwrap().contains("the weight of `b:1`"), "{line}");
    site.configure(true, "");
    gateway.hang_up();
    site.told("reload").await;
    let before = site.lines().len();
    gateway.ctl("backends").unwrap();
    gateway.ctl("history echo").unwrap();
    gateway.ctl("backends nowhere").unwrap_err();
    assert_eq!(site.lines().len(), before, "who only looks has no line");
}

#[tokio::test]
async fn in_strict_mode_what_cannot_be_written_is_not_done() {
    let site = Site::new(true);
    let gateway = site.start().await;
    gateway.ctl("set-weight echo a:1=7").unwrap();
    fs::remove_file(site.audit()).unwrap();
    fs::create_dir(site.audit()).unwrap();
    for command in ["set-weight echo a:1=8", "set-split main echo=5", "log-level debug"] {
        let refused = gateway.ctl(command).unwrap_err();
        assert!(refused.contains("not in effect: the audit, which is strict"), "{refused}");
        assert!(refused.contains("(UNAVAILABLE)"), "{refused}");
    }
    let now = gateway.ctl("backends echo --output json").unwrap();
    let now: Value = serde_json::from_str(&now).unwrap();
    let service = &now["services"][0];
    assert_eq!((&service["revision"], &service["backends"][0]["weight"]), (&2.into(), &7.into()));
    let page = scrape(gateway.metrics).await;
    assert_eq!(page.value("equipoise_audit_up", &[]), 0.0);
    assert!(page.value("equipoise_audit_failures_total", &[("reason", "write")]) >= 3.0);
    fs::remove_dir(site.audit()).unwrap();
    // What was refused has its lines as soon as there can be some.
    eventually("it is told", async || {
        site.lines().iter().filter(|line| line["event"] == "failed").count() == 3
    })
    .await;
    gateway.ctl("set-weight echo a:1=9").unwrap();
    assert_eq!(scrape(gateway.metrics).await.value("equipoise_audit_up", &[]), 1.0);
    assert_eq!(site.told("done").await["revision"], 3);
}

#[tokio::test]
async fn without_strict_changes_are_made_and_told_later() {
    let site = Site::new(false);
    let gateway = site.start().await;
    fs::remove_file(site.audit()).unwrap();
    fs::create_dir(site.audit()).unwrap();
    gateway.ctl("set-weight echo a:1=8").unwrap();
    assert_eq!(scrape(gateway.metrics).await.value("equipoise_audit_up", &[]), 0.0);
    gateway
        .said(|line| {
            line["message"].as_str().is_some_and(|it| it.contains("audit cannot be written"))
        })
        .await;
    fs::remove_dir(site.audit()).unwrap();
    assert_eq!(site.told("done").await["new"], "`a:1=8`");
}

#[tokio::test]
async fn a_renamed_file_is_followed_by_a_new_one() {
    let site = Site::new(true);
    let gateway = site.start().await;
    let old = site.folder.path().join("audit.1");
    gateway.ctl("set-weight echo a:1=7").unwrap();
    fs::rename(site.audit(), &old).unwrap();
    gateway.ctl("set-weight echo a:1=8").unwrap();
    let events = |path| {
        let events = lines(path).into_iter().map(|line| line["event"].as_str().unwrap().to_owned());
        events.collect::<Vec<_>>()
    };
    assert_eq!(events(&old), ["opened", "intent", "done"]);
    assert_eq!(events(&site.audit()), ["opened", "intent", "done"]);
    // Nobody else writes there meanwhile, and what cannot be written is told at the start.
    let serve = || {
        let mut serve = Command::new(env!("CARGO_BIN_EXE_equipoise"));
        let output = serve.args(["serve", "--config"]).arg(site.file()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    fs::remove_file(site.folder.path().join("overrides.jsonl.lock")).unwrap();
    let refused = serve();
    assert!(refused.contains("another gateway writes it"), "{refused}");
    gateway.kill();
    fs::remove_file(site.audit()).unwrap();
    fs::create_dir(site.audit()).unwrap();
    let refused = serve();
    assert!(refused.contains("is a folder"), "{refused}");
}
