//! `--dry-run`: what would be is what then is, and nothing is until then.

use serde_json::Value;
use tokio::net::TcpListener;
use tonic::Code;

use super::*;
use crate::support::gateway::PORTS;
use crate::support::process::Process;

fn yaml(health: &str) -> String {
    format!(
        "{PORTS}audit: {{ path: audit.jsonl }}\noverrides: {{ journal: {{ path: overrides.jsonl }} }}\n\
         services:\n  orders: {{ endpoints: [ {{ address: 'a:1', weight: 3 }}, 'b:1', 'c:1' ], \
         preconnect: 0, balancer: {{ policy: weighted_random }}{health} }}\n  carts: {{ endpoints: [ 'd:1' ], preconnect: 0 }}\n\
         routes:\n  - name: canary\n    split: [ {{ service: orders, weight: 9 }}, {{ service: carts, weight: 1 }} ]\n"
    )
}

fn json(gateway: &Process, line: &str) -> Value {
    let told = gateway.ctl(&format!("{line} --output json"));
    serde_json::from_str(&told.unwrap_or_else(|error| panic!("{line}: {error}"))).unwrap()
}

/// All that there is to see of services and splits but for what time alone changes.
fn state(gateway: &Process) -> (Value, Value, Value) {
    let mut services = json(gateway, "services");
    services["services"].as_array_mut().unwrap().iter_mut().for_each(|it| {
        it.as_object_mut().unwrap().retain(|key, _| !key.starts_with("recent"));
    });
    (services, json(gateway, "history orders"), json(gateway, "split canary"))
}

/// Address, weight, effective weight and state of each backend.
fn backends(gateway: &Process) -> Vec<(Value, Value, Value, Value)> {
    let shown = json(gateway, "backends orders");
    let one = |it: &Value| {
        let of = |key: &str| it[key].clone();
        (of("address"), of("weight"), of("effective_weight"), of("state"))
    };
    shown["services"][0]["backends"].as_array().unwrap().iter().map(one).collect()
}

/// The same, as a dry run has it.
fn previewed(preview: &Value) -> Vec<(Value, Value, Value, Value)> {
    let shares = preview["preview"]["shares"].as_array().unwrap().iter();
    let there = shares.filter(|share| !share["after"].is_null());
    let one = |it: &Value| {
        let of = |key: &str| it["after"][key].clone();
        (it["name"].clone(), of("weight"), of("effective_weight"), of("state"))
    };
    there.map(one).collect()
}

#[tokio::test]
async fn what_would_be_is_what_then_is_and_nothing_is_changed_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, yaml("") + "log: { format: json }\n").unwrap();
    let gateway = Process::with(&file).await;
    let written = || {
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        (read("audit.jsonl"), read("overrides.jsonl"))
    };
    for line in [
        "set-weight orders a:1=1",
        "set-weight orders b:1=7 --ttl 1h",
        "drain orders b:1",
        "undrain orders b:1",
        "eject orders c:1 --for 1h",
        "heal orders c:1",
        "add orders e:1=5 f:1",
        "remove orders e:1",
        "set-policy orders round_robin",
        "revert orders 2",
        "reset orders b:1",
        "reset orders",
    ] {
        let (before, files) = (state(&gateway), written());
        let preview = json(&gateway, &format!("{line} --dry-run"));
        assert_eq!((state(&gateway), written()), (before, files), "{line}");
        let now = preview["revision"].as_u64().unwrap();
        assert_eq!(preview["preview"]["revision"], now + 1, "{line}");
        let made = json(&gateway, line);
        assert_eq!(made["revision"], now + 1, "{line}");
        assert_eq!(previewed(&preview), backends(&gateway), "{line}");
        let history = json(&gateway, "history orders");
        for key in ["old", "new"] {
            assert_eq!(preview["preview"][key], history["changes"][0][key], "{line}");
        }
    }
    for line in ["set-split canary carts=3", "revert-split canary 2", "reset-split canary"] {
        let (before, files) = (state(&gateway), written());
        let preview = json(&gateway, &format!("{line} --dry-run"));
        assert_eq!((state(&gateway), written()), (before, files), "{line}");
        json(&gateway, line);
        let split = json(&gateway, "split canary");
        let weights = |shares: &Value, of: &dyn Fn(&Value) -> Value| -> Vec<Value> {
            shares.as_array().unwrap().iter().map(of).collect()
        };
        let is = weights(&split["splits"][0]["shares"], &|it| it["weight"].clone());
        let told = weights(&preview["preview"]["shares"], &|it| it["after"]["weight"].clone());
        assert_eq!(told, is, "{line}");
    }
    let level = gateway.ctl("log-level debug --dry-run").unwrap();
    assert_eq!(level, "nothing is changed: it would be debug; configured is info\n");
    assert_eq!(json(&gateway, "log-level")["level"], "info");
}

#[tokio::test]
async fn shares_and_refusals_are_those_of_the_change() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, yaml("") + "log: { format: json }\n").unwrap();
    let gateway = Process::with(&file).await;
    let preview = json(&gateway, "drain orders a:1 --dry-run");
    let share = |at: usize, when: &str, key: &str| {
        preview["preview"]["shares"][at][when][key].as_f64().unwrap()
    };
    assert_eq!((share(0, "before", "share"), share(0, "after", "share")), (0.6, 0.0));
    assert_eq!((share(1, "before", "share"), share(1, "after", "share")), (0.2, 0.5));
    // Picks by chance: within some standard deviations.
    assert!((share(1, "after", "expected_share") - 0.5).abs() < 0.05, "{preview}");
    assert!((share(0, "before", "expected_share") - 0.6).abs() < 0.05, "{preview}");
    let shown = gateway.ctl("set-split canary carts=9 --dry-run").unwrap();
    let shown = shown.replace("\n  ", " ");
    assert!(shown.contains("the split of canary stays at revision 1; it would be 2"), "{shown}");
    assert!(shown.contains("1 -> 9") && shown.contains("10.0 % -> 50.0 %"), "{shown}");
    for line in [
        "set-weight orders a:1=1 --expected-revision 9",
        "set-weight orders x:1=1",
        "set-weight orders a:1=0 b:1=0 c:1=0",
        "drain nowhere a:1",
        "revert orders 77",
        "set-policy orders best",
        "set-split canary carts=3 --expected-revision 9",
        "set-split nowhere carts=3",
        "log-level loud",
    ] {
        let tried = gateway.ctl(&format!("{line} --dry-run")).unwrap_err();
        assert_eq!(tried, gateway.ctl(line).unwrap_err(), "{line}");
    }
    let wrong = gateway.ctl("drain orders a:1 --wait --dry-run").unwrap_err();
    assert!(wrong.contains("cannot be used with"), "{wrong}");
}

#[tokio::test]
async fn a_dry_run_reaches_no_backend_and_resets_no_count() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gateway = Process::start(&yaml(", health: { tcp: {}, interval: 100ms }")).await;
    gateway.ctl(&format!("add orders {address} --dry-run")).unwrap();
    gateway.ctl("add orders name.invalid:1 --dry-run").unwrap();
    let connected = tokio::time::timeout(Duration::from_millis(500), listener.accept()).await;
    assert!(connected.is_err(), "it was only a question");

    let gateway = Gateway::start().await;
    let view = gateway.orders.view();
    let faults = view.backends[1].endpoint.faults();
    faults.record_lost(equipoise::model::Time::from_millis(1));
    let before = faults.consecutive();
    assert!(before > 0);
    let mut client = gateway.client().await;
    let eject = |dry_run| proto::EjectBackendRequest {
        service: "orders".into(),
        backend: "b:1".into(),
        dry_run,
        ..Default::default()
    };
    let answer = client.eject_backend(eject(true)).await.unwrap().into_inner();
    let preview = answer.preview.unwrap();
    assert_eq!((answer.revision, preview.revision, faults.consecutive()), (1, 2, before));
    let after = preview.shares[1].after.clone().unwrap();
    assert_eq!((after.state(), after.effective_weight), (BackendState::Ejected, 0));
    let answer = client.eject_backend(eject(false)).await.unwrap().into_inner();
    assert!(answer.preview.is_none() && answer.revision == 2);
    let stale = proto::SetWeightsRequest {
        dry_run: true,
        expected_revision: Some(1),
        ..weights([("a:1", 2)])
    };
    assert_eq!(client.set_weights(stale).await.unwrap_err().code(), Code::Aborted);
    assert!(client.who_am_i(proto::WhoAmIRequest {}).await.unwrap().into_inner().dry_run);
}
