//! `equipoise ctl`: output and usage errors.

use std::io::{self, Write};

use clap::Parser;
use equipoise::cli::ctl::{self, Screen};
use equipoise::model::{EwmaParams, RejectReason};
use serde_json::json;

use super::*;
use crate::support::backend::Backend;
use crate::support::{eventually, gateway};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: ctl::Args,
}

const SCREEN: Screen = Screen { redraws: false, width: || 80 };

fn args(gateway: &Gateway, line: &str) -> ctl::Args {
    let words = ["ctl", "--control", &gateway.address].into_iter();
    Cli::try_parse_from(words.chain(line.split_whitespace())).unwrap().args
}

pub(super) async fn run(gateway: &Gateway, line: &str) -> Result<String, ctl::Error> {
    let mut out = Vec::new();
    ctl::execute(args(gateway, line), &mut out, SCREEN).await?;
    Ok(String::from_utf8(out).unwrap())
}

/// The error for an invalid command line.
pub(super) fn refused(words: &[&str]) -> String {
    let words = ["ctl"].iter().chain(words);
    Cli::try_parse_from(words).map(|_| ()).unwrap_err().to_string()
}

#[tokio::test]
async fn backends_are_a_table_for_people() {
    let gateway = Gateway::with(&[("10.0.0.1:50051", 3), ("b:1", 1)]).await;
    gateway.record(0, 0, GrpcCode::Ok, 1999);
    gateway.record(0, 0, GrpcCode::Internal, 1);
    gateway.observed(2000).await;
    run(&gateway, "drain orders b:1").await.unwrap();
    let shown = run(&gateway, "backends").await.unwrap();
    let (table, changed) = shown.split_once("\norders: changed over").unwrap();
    assert!(changed.contains("b:1 drained, configured weight 1; by 127.0.0.1:"), "{changed}");
    let expected = "\
orders: first, revision 2, generation 2; shares, success, latency of 30 s
BACKEND         STATE        WEIGHT    SHARE  SUCCESS      P99  IN FLIGHT
10.0.0.1:50051  IDLE              3  100.0 %  99.95 %  10.0 ms          0
b:1             DRAINING  0 (set 1)    0.0 %        -        -          0
total                                                                   0
";
    assert_eq!(table, expected);
}

#[tokio::test]
async fn ejections_by_hand_are_listed_and_healed() {
    let gateway = Gateway::with(&[("a:1", 1), ("b:1", 1)]).await;
    let told = run(&gateway, "eject orders a:1 --for 90s").await.unwrap();
    assert_eq!(told, "orders is now at revision 2, for 90s; it is lost when the gateway ends\n");
    let shown = run(&gateway, "backends").await.unwrap();
    assert!(shown.contains("a:1 ejected until 20"), "{shown}");
    assert!(shown.contains("Z, configured weight 1; by"), "{shown}");
    let told = run(&gateway, "eject orders b:1").await.unwrap();
    assert!(told.contains("the gateway ends\nwarning: panic: less than 50% of"), "{told}");
    run(&gateway, "heal orders a:1").await.unwrap();
    let json = run(&gateway, "eject orders a:1 --output json").await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["warning"].as_str().unwrap().starts_with("panic"), "{json}");
    run(&gateway, "reset orders").await.unwrap();
    assert!(!run(&gateway, "backends").await.unwrap().contains("EJECTED"));
}

#[tokio::test]
async fn narrow_terminals_drop_less_important_columns() {
    let gateway = Gateway::with(&[("10.0.0.1:50051", 3), ("b:1", 1)]).await;
    gateway.record(0, 0, GrpcCode::Ok, 2000);
    gateway.observed(2000).await;
    let shown = async |width: fn() -> usize| {
        let mut out = Vec::new();
        let screen = Screen { redraws: false, width };
        ctl::execute(args(&gateway, "backends orders"), &mut out, screen).await.unwrap();
        String::from_utf8(out).unwrap()
    };
    let wide = shown(|| 160).await;
    for column in ["P90", "P99.9", "REQUESTS", "FOR  REASON", "s  unused"] {
        assert!(wide.contains(column), "{wide}");
    }
    let narrow = shown(|| 45).await;
    let expected = "\
orders: first, revision 1, generation 1;
  shares, success, latency of 30 s
BACKEND         STATE  WEIGHT  IN FLIGHT
10.0.0.1:50051  IDLE        3          0
b:1             IDLE        1          0
total                                  0
";
    assert_eq!(narrow, expected);
}

#[tokio::test]
async fn services_are_a_table_too() {
    let gateway = Gateway::start().await;
    let carts = service("carts", &[("c:1", 0)]);
    publish(&gateway.registry, [&gateway.orders, &carts]).await;
    let expected = "\
SERVICE  POLICY  REVISION  BACKENDS  ELIGIBLE  DRAINING  SUCCESS  OVERRIDES
carts    first          1         1         0         0        -          0
orders   first          1         2         2         0        -          0
";
    assert_eq!(run(&gateway, "services").await.unwrap(), expected);
}

#[tokio::test]
async fn rejected_requests_are_shown() {
    let gateway = Gateway::start().await;
    gateway.record(0, 0, GrpcCode::Ok, 3);
    for (route, reason) in [
        ("all", RejectReason::Connect),
        ("cart", RejectReason::Connect),
        ("all", RejectReason::TooLarge),
    ] {
        gateway.orders.rejections().of(route).increment(reason, 0);
    }
    eventually("all is in the window", async || {
        run(&gateway, "services").await.unwrap().contains("66.66 %")
    })
    .await;
    let text = run(&gateway, "backends orders").await.unwrap();
    let told = "answered by no backend: 3 in the last 30 s, 3 in all (connect 2, too_large 1)\n";
    assert!(text.contains(told), "{text}");
    let text = run(&gateway, "backends orders --output json").await.unwrap();
    let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rejection = |route, reason| json!({ "route": route, "reason": reason, "count": 1 });
    let expected = json!([
        rejection("all", "connect"),
        rejection("all", "too_large"),
        rejection("cart", "connect")
    ]);
    assert_eq!(seen["services"][0]["rejections"], expected);
    assert_eq!(seen["services"][0]["recent_requests"], 6);
}

#[tokio::test]
async fn methods_have_success_ratio_and_latency() {
    let gateway = Gateway::start().await;
    let shown = run(&gateway, "methods orders").await.unwrap();
    assert_eq!(shown, "No gRPC method of orders was called yet.\n");
    let methods = gateway.orders.methods();
    let call = |name: &str, worker: usize, code: GrpcCode, calls: usize| {
        let stats = methods.learn(name).unwrap();
        (0..calls).for_each(|_| stats.record_call(worker, code, Duration::from_millis(10)));
    };
    call("shop.Orders/Get", 0, GrpcCode::Ok, 3);
    call("shop.Orders/Put", 0, GrpcCode::Ok, 6);
    call("shop.Orders/Put", 1, GrpcCode::Internal, 2);
    methods.learn("shop.Orders/Watch").unwrap().record_stream(1, GrpcCode::Ok);
    methods.other().record_stream(0, GrpcCode::Cancelled);
    let expected = "\
orders: methods, since the start
METHOD             REQUESTS  FAILURES   SUCCESS     P50     P99  STREAMS
shop.Orders/Put           8         2   75.00 %  9.5 ms  9.5 ms        0
shop.Orders/Get           3         0  100.00 %  9.5 ms  9.5 ms        0
shop.Orders/Watch         1         0  100.00 %       -       -        1
other                     1         0         -       -       -        1
";
    assert_eq!(run(&gateway, "methods orders").await.unwrap(), expected);
    let json = run(&gateway, "methods orders --output json").await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["service"], "orders");
    assert_eq!(json["methods"][0]["name"], "shop.Orders/Put");
    let code = json!({ "protocol": "grpc", "code": "INTERNAL", "count": 2 });
    assert_eq!(json["methods"][0]["codes"][1], code);
    assert_eq!(json["methods"][3]["success_ratio"], json!(null));
    let unknown = run(&gateway, "methods order").await.unwrap_err();
    assert!(unknown.to_string().contains("did you mean `orders`"), "{unknown}");
}

#[tokio::test]
async fn shares_are_explained() {
    let gateway = Gateway::with(&[("a:1", 1), ("b:1", 1), ("c:1", 2)]).await;
    run(&gateway, "set-policy orders weighted_random").await.unwrap();
    run(&gateway, "drain orders c:1").await.unwrap();
    gateway.record(0, 0, GrpcCode::Ok, 30);
    gateway.record(1, 0, GrpcCode::Ok, 10);
    gateway.observed(40).await;
    let explained = run(&gateway, "explain orders --output json").await.unwrap();
    let explained: serde_json::Value = serde_json::from_str(&explained).unwrap();
    let of = |index: usize, key: &str| explained["backends"][index][key].clone();
    let share = |index| of(index, "expected_share").as_f64().unwrap();
    assert!((share(0) - 0.5).abs() < 0.05 && share(2) == 0.0, "{explained}");
    assert_eq!((of(0, "weight_share"), of(2, "weight_share")), (json!(0.5), json!(0.0)));
    assert_eq!((of(0, "recent_share"), of(1, "recent_share")), (json!(0.75), json!(0.25)));
    assert_eq!((of(0, "why"), of(0, "terms")), (json!("as its weight says"), json!({})));
    assert_eq!(of(2, "why"), "draining: drained");

    run(&gateway, "set-policy orders p2c_ewma").await.unwrap();
    let load = |index: usize| gateway.orders.view().backends[index].endpoint.clone();
    let (params, now) = (EwmaParams::default(), gateway.orders.view().now());
    for _ in 0..50 {
        load(0).load().observe(Duration::from_millis(200), now, &params);
        load(1).load().observe(Duration::from_millis(10), now, &params);
    }
    let explained = run(&gateway, "explain orders").await.unwrap();
    let lines =
        ["a:1: latency ", " times the median: a trial now and then\nb:1: as its weight says\n"];
    assert!(lines.iter().all(|line| explained.contains(line)), "{explained}");
    let unknown = run(&gateway, "explain order").await.unwrap_err();
    assert!(unknown.to_string().contains("did you mean `orders`"), "{unknown}");
}

#[tokio::test]
async fn json_is_for_programs() {
    let gateway = Gateway::start().await;
    gateway.record(0, 0, GrpcCode::Ok, 4);
    gateway.observed(4).await;
    let changed = run(&gateway, "set-weight orders b:1=0 --output json").await.unwrap();
    let changed: serde_json::Value = serde_json::from_str(&changed).unwrap();
    assert_eq!(changed, json!({"service": "orders", "revision": 2, "durable": false}));

    let text = run(&gateway, "backends orders --output json").await.unwrap();
    let mut seen: serde_json::Value = serde_json::from_str(&text).unwrap();
    for backend in seen["services"][0]["backends"].as_array_mut().unwrap() {
        assert!(backend["state_seconds"].take().as_f64().unwrap() < 600.0);
        for measured in
            ["ewma_seconds", "p50_seconds", "p90_seconds", "p99_seconds", "p999_seconds"]
        {
            let value = backend[measured].take();
            assert!(value.is_f64() || value.is_null(), "{measured}: {value}");
        }
    }
    for known in ["by", "at"] {
        assert!(seen["services"][0]["overrides"][0][known].take().is_string());
    }
    let backend = |address, weight, requests, share, success| {
        json!({
            "address": address, "resolved_address": null, "state": "IDLE", "state_reason": "unused", "state_seconds": null,
            "state_left_seconds": null, "ramp": null, "weight": weight, "effective_weight": weight,
            "in_flight": 0, "ewma_seconds": null, "requests": requests,
            "recent_requests": requests, "recent_share": share, "success_ratio": success,
            "p50_seconds": null, "p90_seconds": null, "p99_seconds": null,
            "p999_seconds": null, "open_streams": 0, "mean_stream_age_seconds": null,
            "streams_opened_per_second": 0.0, "streams_ended_per_second": 0.0,
            "stream_messages_per_second": 0.0, "streams_opened": 0,
            "since": { "revision": 2, "requests": 0, "failures": 0, "codes": [] },
        })
    };
    let expected = json!({"services": [{
        "name": "orders", "policy": "first", "revision": 2, "generation": 2,
        "backends": [
            backend("a:1", 3, 4, Some(1.0), Some(1.0)),
            backend("b:1", 0, 0, Some(0.0), None),
        ],
        "overrides": [{
            "kind": "WEIGHT", "backend": "b:1", "configured_weight": 1, "weight": 0,
            "configured_policy": null, "policy": null, "by": null, "reason": null, "at": null,
            "until": null,
        }],
        "policy_settings": {},
        "recent_requests": 4, "recent_rejected": 0, "success_ratio": 1.0, "rejections": [],
    }]});
    assert_eq!(seen, expected);

    let text = run(&gateway, "services --output json").await.unwrap();
    let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = json!({"services": [{
        "name": "orders", "policy": "first", "revision": 2, "generation": 2,
        "backends": 2, "eligible_backends": 1, "draining_backends": 0, "overrides": 1,
        "policy_settings": {},
        "recent_requests": 4, "recent_rejected": 0, "success_ratio": 1.0,
    }]});
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn changes_are_made_under_conditions() {
    let gateway = Gateway::start().await;
    let answer = run(&gateway, "set-weight orders a:1=20 b:1=80").await.unwrap();
    assert_eq!(answer, "orders is now at revision 2; it is lost when the gateway ends\n");
    assert_eq!(members(&gateway.orders), [("a:1".into(), 20), ("b:1".into(), 80)]);
    let stale = run(&gateway, "drain orders a:1 --expected-revision 1").await;
    let stale = stale.unwrap_err();
    assert!(stale.to_string().ends_with("(ABORTED)"), "{stale}");
    assert_eq!(stale.exit_code(), 4);
    run(&gateway, "drain orders a:1 --expected-revision 2").await.unwrap();
    assert!(run(&gateway, "drain orders b:1").await.is_err());
    run(&gateway, "drain orders b:1 --allow-empty").await.unwrap();
    assert_eq!(members(&gateway.orders), []);
    run(&gateway, "undrain orders a:1").await.unwrap();
    assert_eq!(members(&gateway.orders), [("a:1".into(), 20)]);
}

#[tokio::test]
async fn backends_and_policies_change_at_run_time() {
    let gateway = Gateway::start().await;
    let answer = run(&gateway, "add orders c:1 [::1]:80=7 --expected-revision 1").await.unwrap();
    assert_eq!(answer, "orders is now at revision 2; it is lost when the gateway ends\n");
    run(&gateway, "remove orders a:1 b:1").await.unwrap();
    assert_eq!(members(&gateway.orders), [("c:1".into(), 1), ("[::1]:80".into(), 7)]);
    let answer = run(&gateway, "set-policy orders round_robin --output json").await.unwrap();
    assert_eq!(answer, "{\"service\":\"orders\",\"revision\":4,\"durable\":false}\n");
    run(&gateway, "set-policy orders consistent_hash key.header=x-user replicas=9").await.unwrap();
    assert_eq!(gateway.orders.view().spec.balancer.policy, "consistent_hash");
    let error = run(&gateway, "remove orders c:1 [::1]:80").await.unwrap_err().to_string();
    assert!(error.contains("set --allow-empty"), "{error}");
    run(&gateway, "remove orders c:1 [::1]:80 --allow-empty").await.unwrap();
    assert_eq!(members(&gateway.orders), []);
    let error = run(&gateway, "set-policy orders p2c_ewma decai=1s").await.unwrap_err().to_string();
    assert!(error.contains("did you mean `decay`?"), "{error}");
}

/// Fails like a closed pipe, after some lines.
struct Pipe {
    text: Vec<u8>,
    lines: usize,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let lines = self.text.iter().filter(|byte| **byte == b'\n').count();
        if lines < self.lines { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }
}

#[tokio::test]
async fn watch_prints_one_json_document_a_line() {
    let gateway = Gateway::start().await;
    let mut pipe = Pipe { text: Vec::new(), lines: 3 };
    let args = args(&gateway, "watch orders --interval 100ms --output json");
    let ended = ctl::execute(args, &mut pipe, Screen { redraws: true, ..SCREEN }).await;
    assert!(matches!(ended, Err(ctl::Error::Output(_))), "{ended:?}");
    let text = String::from_utf8(pipe.text).unwrap();
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        let seen: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(seen["name"], "orders");
    }
}

#[tokio::test]
async fn watch_paints_over_the_last_table_on_a_terminal_alone() {
    let gateway = Gateway::start().await;
    for (redraws, clears) in [(true, 2), (false, 0)] {
        let mut pipe = Pipe { text: Vec::new(), lines: 10 };
        let args = args(&gateway, "watch orders --interval 100ms");
        let _ = ctl::execute(args, &mut pipe, Screen { redraws, ..SCREEN }).await;
        let text = String::from_utf8(pipe.text).unwrap();
        assert_eq!(text.matches("\x1b[").count(), clears * 2, "{text}");
        assert_eq!(text.matches("orders: first, revision 1").count(), 2, "{text}");
    }
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let gateway = Gateway::start().await;
    let missing = run(&gateway, "backends carts").await.unwrap_err();
    assert!(missing.to_string().contains("carts"), "{missing}");
    assert_eq!(missing.exit_code(), 3);
    let twice = run(&gateway, "set-weight orders a:1=1 a:1=2").await.unwrap_err();
    assert!(twice.to_string().contains("a:1"), "{twice}");
    assert_eq!(twice.exit_code(), 2);

    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nowhere.local_addr().unwrap();
    drop(nowhere);
    let unreachable = run(&gateway, &format!("services --control {address}")).await;
    let unreachable = unreachable.unwrap_err().to_string();
    for part in [&address.to_string()[..], "refused", "running", "--control"] {
        assert!(unreachable.contains(part), "{unreachable}");
    }
    for wrong in ["https://127.0.0.1:1", "http://", "no address"] {
        let cli = Cli::try_parse_from(["ctl", "services", "--control", wrong]).unwrap();
        let error = ctl::execute(cli.args, &mut Vec::new(), SCREEN).await.unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
    }
}

#[tokio::test]
async fn a_wrong_port_is_recognized_as_no_control_api() {
    let backend = Backend::start().await;
    let gateway = gateway::Gateway::to(&[backend.address]).await;
    let lost = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closes = lost.local_addr().unwrap();
    tokio::spawn(async move { while lost.accept().await.is_ok() {} });
    for other in [gateway.front(), gateway.metrics_address(), closes] {
        let line = ["ctl", "services", "--control", &other.to_string()].map(String::from);
        let args = Cli::try_parse_from(line).unwrap().args;
        let error = ctl::execute(args, &mut Vec::new(), SCREEN).await.unwrap_err().to_string();
        for part in ["no control API answers", &other.to_string(), "--control", "TLS"] {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_forever() {
    let gateway = Gateway::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let line = format!("services --timeout 100ms --control {}", silent.local_addr().unwrap());
    let error = run(&gateway, &line).await.unwrap_err();
    assert!(matches!(error, ctl::Error::Timeout { .. }), "{error}");
}

#[test]
fn wrong_command_lines_are_refused_with_an_example() {
    for wrong in ["a:1", "a:1=", "a:1=-1", "a:1=many"] {
        let parsed = Cli::try_parse_from(["ctl", "set-weight", "orders", wrong]);
        let error = parsed.map(|_| ()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("127.0.0.1:50051=20"), "{error}");
    }
    assert!(Cli::try_parse_from(["ctl", "set-weight", "orders"]).is_err());
    assert!(Cli::try_parse_from(["ctl", "watch", "orders", "--interval", "5"]).is_err());
}
