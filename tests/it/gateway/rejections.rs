//! Every request that no backend has answered is counted: by its service and route, where it has
//! any, and by the reason.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use equipoise::control::proto;
use equipoise::model::RejectReason;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::support::backend::Backend;
use crate::support::client::{self, held, message};
use crate::support::frames::{self, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM};
use crate::support::gateway::{Gateway, PORTS};
use crate::support::{eventually, http1, soon};
use crate::telemetry::page::Page;

const CANCEL: [u8; 4] = 8u32.to_be_bytes();
const REFUSED_STREAM: [u8; 4] = 7u32.to_be_bytes();
/// MAX_HEADER_LIST_SIZE and MAX_CONCURRENT_STREAMS among the SETTINGS.
const HEADER_LIST: u16 = 6;
const STREAMS: u16 = 3;

/// Service, route and reason.
type Labels = [String; 3];

fn labels(labels: [&str; 3]) -> Labels {
    labels.map(str::to_owned)
}

/// What is not 0 of the counters.
fn rejected(page: &Page) -> BTreeMap<Labels, u64> {
    let samples = page.samples("equipoise_rejected_total").iter();
    let counted = samples.filter(|sample| sample.value > 0.0).map(|sample| {
        let labels = ["service", "route", "reason"].map(|label| sample.labels[label].clone());
        (labels, sample.value as u64)
    });
    counted.collect()
}

/// An address that nobody listens at.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_canary_whose_backends_are_dead_is_seen_to_fail() {
    let backend = Backend::start().await;
    let yaml = format!(
        "{PORTS}services:\n  \
           stable: {{ endpoints: [ {{ address: {} }} ] }}\n  \
           canary: {{ endpoints: [ {{ address: {} }}, {{ address: {} }} ] }}\n\
         routes:\n  - name: shop\n    \
           split: [ {{ service: stable, weight: 90 }}, {{ service: canary, weight: 10 }} ]\n",
        backend.address,
        nobody().await,
        nobody().await,
    );
    let gateway = Gateway::start(&yaml).await;
    let mut client = gateway.client().await;
    let mut failed = 0;
    while failed < 7 {
        failed += u64::from(client.unary(message("x")).await.is_err());
    }
    let page = gateway.metrics().await;
    assert_eq!(rejected(&page), [(labels(["canary", "shop", "connect"]), failed)].into());

    let mut control = gateway.control().await.0;
    let mut seen = None;
    eventually("the ratio is that of the canary", async || {
        let request = proto::ListServicesRequest {};
        let services = control.list_services(request).await.unwrap().into_inner().services;
        let [canary, stable] = services.try_into().unwrap();
        let request = proto::GetServiceRequest { service: "canary".into(), since_revision: None };
        seen = Some(control.get_service(request).await.unwrap().into_inner());
        let ratios = (canary.success_ratio, stable.success_ratio);
        ratios == (Some(0.0), Some(1.0)) && canary.recent_rejected == failed
    })
    .await;
    let canary = seen.unwrap();
    let expected =
        proto::Rejection { route: "shop".into(), reason: "connect".into(), count: failed };
    assert_eq!(canary.rejections, [expected]);
    let recent = (canary.recent_requests, canary.recent_rejected, canary.success_ratio);
    assert_eq!(recent, (failed, failed, Some(0.0)));
}

/// A backend whose first SETTINGS are these, and that answers nothing. It tells of each request.
async fn with_setting(name: u16, value: u32, tell: &Arc<Notify>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tell = Arc::clone(tell);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let tell = Arc::clone(&tell);
            let mut frames = Frames { socket };
            let payload = [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
            frames.send(frames::SETTINGS, 0, 0, &payload).await;
            tokio::spawn(async move {
                let mut preface = [0; 24];
                frames.socket.read_exact(&mut preface).await.unwrap();
                while let Some(frame) = frames.next().await {
                    if frame.kind == HEADERS {
                        tell.notify_one();
                    }
                }
            });
        }
    });
    address
}

/// Backends that do not do what a request needs, each in its own way.
struct Backends {
    narrow: SocketAddr,
    one_at_a_time: SocketAddr,
    /// It has a request.
    taken: Arc<Notify>,
    silent: SocketAddr,
    refusing: SocketAddr,
    /// A request has come to the one that refuses.
    asked: Arc<Notify>,
    /// It may refuse now.
    refuse: Arc<Notify>,
}

impl Backends {
    async fn start() -> Backends {
        let (asked, refuse) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (Arc::clone(&asked), Arc::clone(&refuse));
        let refusing = frames::backend(move |mut frames| {
            let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
            async move {
                while let Some(frame) = frames.next().await {
                    if frame.kind == HEADERS {
                        tell.notify_one();
                        wait.notified().await;
                        frames.send(RST_STREAM, 0, frame.stream, &REFUSED_STREAM).await;
                    }
                }
            }
        });
        // Connections are made, and nothing is ever said on them.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((socket, _)) = silent.accept().await {
                open.push(socket);
            }
        });
        let taken = Arc::default();
        Backends {
            narrow: with_setting(HEADER_LIST, 100, &Arc::default()).await,
            one_at_a_time: with_setting(STREAMS, 1, &taken).await,
            taken,
            silent: address,
            refusing: refusing.await,
            asked,
            refuse,
        }
    }

    /// A route by path to each of them, and to services that have none.
    async fn yaml(&self, second_listener: &str) -> String {
        let listeners = format!(
            "listeners: [ {{ address: 127.0.0.1:0, paths: strict, underscores: refuse }}{second_listener} ]"
        );
        let Backends { narrow, one_at_a_time, silent, refusing, .. } = self;
        let mut yaml = PORTS.replace("listeners: [ { address: 127.0.0.1:0 } ]", &listeners);
        // One worker, so that what is full for one request is so for the next.
        yaml = yaml.replace("workers: 2", "workers: 1");
        let dead = nobody().await;
        let services = [
            ("dead", dead, ""),
            ("drained", dead, "weight: 0"),
            ("old", dead, ""),
            ("narrow", *narrow, ""),
            ("full", *one_at_a_time, ""),
            ("silent", *silent, ""),
            ("refusing", *refusing, ""),
            ("guarded", dead, ""),
            ("crowded", *silent, ""),
            ("metered", dead, ""),
        ];
        yaml += "services:\n";
        for (name, address, weight) in services {
            let settings = match name {
                "dead" | "metered" => "connect_timeout: 60s, ",
                "old" => "protocol: http1, ",
                "full" => "max_connections: 1, max_pending: 1, pending_timeout: 600s, ",
                "silent" => "connect_timeout: 600s, pending_timeout: 600s, ",
                "crowded" => {
                    "connect_timeout: 600s, pending_timeout: 600s, \
                     concurrency: { max_requests: 1, queue: 0 }, "
                }
                _ => "connect_timeout: 60s, pending_timeout: 60s, ",
            };
            let endpoint = format!("{{ address: '{address}', {weight} }}");
            yaml += &format!("  {name}: {{ {settings} endpoints: [ {endpoint} ] }}\n");
        }
        yaml += "routes:\n";
        for (name, ..) in services {
            let clients = match name {
                "guarded" => ", allowed_clients: [ a.test ]",
                "metered" => ", rate_limit: { per_second: 1, burst: 1 }",
                _ => "",
            };
            yaml += &format!(
                "  - {{ name: to-{name}, match: {{ path_prefix: /{name} }}, service: {name}{clients} }}\n"
            );
        }
        yaml + "  - { name: moved, match: { path_prefix: /moved }, redirect: { path: /dead } }\n"
    }
}

/// One way to be refused, and what it counts as.
struct Case {
    what: &'static str,
    counts: [&'static str; 3],
}

const fn case(what: &'static str, counts: [&'static str; 3]) -> Case {
    Case { what, counts }
}

/// gRPC to a path, by its first segment.
const CALLS: [Case; 8] = [
    case("/nowhere", ["", "", "no_route"]),
    case("/moved", ["", "moved", "no_route"]),
    case("/dead", ["dead", "to-dead", "connect"]),
    case("/drained", ["drained", "to-drained", "no_backend"]),
    case("/old", ["old", "to-old", "http_version"]),
    case("/narrow", ["narrow", "to-narrow", "too_large"]),
    case("/full", ["full", "to-full", "overloaded"]),
    case("/guarded", ["guarded", "to-guarded", "forbidden"]),
];

/// A body that breaks the rules, before there is a connection to a backend.
const fn chunked(text: &'static str) -> Case {
    case(text, ["silent", "to-silent", "malformed"])
}

/// HTTP/1.1 up to the end of the connection.
const TEXTS: [Case; 15] = [
    case("GET /dead HTTP/1.1\r\n\r\n", ["", "", "malformed"]),
    case("GET /dead HTTP/9.1\r\nhost: a\r\n\r\n", ["", "", "malformed"]),
    case("GET /dead HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", ["", "", "malformed"]),
    case(
        "POST /dead HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
        ["", "", "malformed"],
    ),
    case("\u{1}\u{2}\u{3} what is this\r\n\r\n", ["", "", "malformed"]),
    case("GET /a/../dead HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", ["", "", "path"]),
    case(
        "GET /dead HTTP/1.1\r\nhost: a\r\nx_real_ip: b\r\nconnection: close\r\n\r\n",
        ["", "", "underscores"],
    ),
    case("GET /moved HTTP/1.0\r\n\r\n", ["", "moved", "malformed"]),
    chunked("POST /silent HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
    chunked("POST /silent HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n"),
    chunked(
        "POST /silent HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
    ),
    chunked("POST /silent HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabXX"),
    case(
        "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n",
        ["", "", "connect_method"],
    ),
    case(
        "POST /dead HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\nte: trailers\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n",
        ["", "", "http_version"],
    ),
    case(
        "GET /drained HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        ["drained", "to-drained", "no_backend"],
    ),
];

/// What has been counted of all reasons, and what the last request has added to it.
struct Ledger {
    counted: BTreeMap<Labels, u64>,
}

impl Ledger {
    /// Waits for the counter that the request has moved, which is this one alone.
    async fn expect(&mut self, gateway: &Gateway, what: &str, counts: [&str; 3]) {
        *self.counted.entry(labels(counts)).or_default() += 1;
        let mut now = BTreeMap::new();
        let moved = async {
            while now != self.counted {
                now = rejected(&gateway.metrics().await);
                let known = |(labels, n): (&Labels, &u64)| {
                    self.counted.get(labels).is_some_and(|most| n <= most)
                };
                assert!(now.iter().all(known), "{what}: {now:?}, not {:?}", self.counted);
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        soon(&format!("{what} counts as {counts:?}"), moved).await;
    }
}

/// Takes the one stream that a backend has, and the one place in its queue.
async fn fill(
    gateway: &Gateway,
    backends: &Backends,
    client: &mut Frames,
    ids: &mut impl Iterator<Item = u32>,
) {
    client.grpc(ids.next().unwrap(), 0, "/full/Hold", &[]).await;
    soon("the stream is taken", backends.taken.notified()).await;
    client.grpc(ids.next().unwrap(), 0, "/full/Wait", &[]).await;
    eventually("the next one waits", async || {
        let page = gateway.metrics().await;
        page.find("equipoise_backend_in_flight", &[("service", "full")]) == Some(2.0)
    })
    .await;
}

async fn refuse_texts(gateway: &Gateway, ledger: &mut Ledger, front: SocketAddr) {
    for Case { what, counts } in TEXTS {
        let answer = http1::exchange(front, what.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 "), "{what}: {answer}");
        ledger.expect(gateway, what, counts).await;
    }
}

/// More than may be in flight, and more than may come at once.
async fn refuse_more(
    gateway: &Gateway,
    ledger: &mut Ledger,
    frames: &mut Frames,
    ids: &mut impl Iterator<Item = u32>,
) {
    frames.grpc(ids.next().unwrap(), END_STREAM, "/crowded/Hold", &[]).await;
    let id = ids.next().unwrap();
    frames.grpc(id, END_STREAM, "/crowded/Get", &[]).await;
    frames.find(|frame| frame.stream == id && frame.is(HEADERS, END_STREAM)).await;
    ledger.expect(gateway, "a second call", ["crowded", "to-crowded", "limited"]).await;
    let both = [ids.next().unwrap(), ids.next().unwrap()];
    for id in both {
        frames.grpc(id, END_STREAM, "/metered/Get", &[]).await;
    }
    let mut left = both.len();
    while left > 0 {
        frames.find(|frame| both.contains(&frame.stream) && frame.is(HEADERS, END_STREAM)).await;
        left -= 1;
    }
    *ledger.counted.entry(labels(["metered", "to-metered", "connect"])).or_default() += 1;
    ledger.expect(gateway, "a burst", ["metered", "to-metered", "rate_limited"]).await;
}

#[tokio::test]
async fn every_refusal_moves_one_counter() {
    let backends = Backends::start().await;
    let second = ", { address: 127.0.0.1:0, limits: { max_streams: 1, header_size: 1KiB } }";
    let mut gateway = Gateway::start(&backends.yaml(second).await).await;
    let [front, small] = gateway.fronts().try_into().unwrap();
    let mut ledger = Ledger { counted: BTreeMap::new() };

    let mut frames = Frames::connect(front, &[]).await;
    let mut ids = (1..).step_by(2);
    fill(&gateway, &backends, &mut frames, &mut ids).await;
    for Case { what, counts } in CALLS {
        let id = ids.next().unwrap();
        frames.grpc(id, END_STREAM, &format!("{what}/Get"), &[]).await;
        frames.find(|frame| frame.stream == id && frame.is(HEADERS, END_STREAM)).await;
        ledger.expect(&gateway, what, counts).await;
    }
    for (timeout, reason) in [("0m", "deadline"), ("soon", "malformed")] {
        let id = ids.next().unwrap();
        frames.grpc(id, END_STREAM, "/dead/Get", &[("grpc-timeout", timeout)]).await;
        frames.find(|frame| frame.stream == id && frame.is(HEADERS, END_STREAM)).await;
        ledger.expect(&gateway, timeout, ["dead", "to-dead", reason]).await;
    }
    refuse_texts(&gateway, &mut ledger, front).await;
    let long = format!("GET /dead HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(2000));
    let answer = http1::exchange(small, long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    ledger.expect(&gateway, "a long head of HTTP/1.1", ["", "", "too_large"]).await;

    // What HTTP/2 forbids, and what its client may not have.
    let id = ids.next().unwrap();
    frames.grpc(id, END_STREAM, "/dead/Get", &[("Upper", "case")]).await;
    frames.find(|frame| frame.stream == id && frame.kind == RST_STREAM).await;
    ledger.expect(&gateway, "a name in upper case", ["", "", "malformed"]).await;

    let id = ids.next().unwrap();
    frames.grpc(id, END_STREAM, "/dead/Get", &[("content-length", "7")]).await;
    frames.find(|frame| frame.stream == id && frame.kind == RST_STREAM).await;
    ledger.expect(&gateway, "a length without a body", ["", "", "malformed"]).await;

    let mut few = Frames::connect(small, &[]).await;
    few.grpc(1, END_STREAM, "/dead/Get", &[("x", &"y".repeat(2000))]).await;
    few.find(|frame| frame.stream == 1 && frame.is(HEADERS, END_STREAM)).await;
    ledger.expect(&gateway, "a long head of HTTP/2", ["", "", "too_large"]).await;
    few.grpc(3, 0, "/silent/Hold", &[]).await;
    few.grpc(5, END_STREAM, "/dead/Get", &[]).await;
    let refused = few.find(|frame| frame.stream == 5 && frame.kind == RST_STREAM).await;
    assert_eq!(refused.payload, REFUSED_STREAM);
    ledger.expect(&gateway, "a second stream", ["", "", "too_many_streams"]).await;

    refuse_more(&gateway, &mut ledger, &mut frames, &mut ids).await;

    // A client that gives up before there is a connection.
    let id = ids.next().unwrap();
    frames.grpc(id, END_STREAM, "/silent/Get", &[]).await;
    frames.send(RST_STREAM, 0, id, &CANCEL).await;
    let counts = ["silent", "to-silent", "cancelled"];
    ledger.expect(&gateway, "a client without patience", counts).await;

    // A backend that gives a request back, when there is none left to send it to.
    let id = ids.next().unwrap();
    frames.grpc(id, END_STREAM, "/refusing/Get", &[]).await;
    soon("the request is there", backends.asked.notified()).await;
    let mut control = gateway.control().await.0;
    let request = proto::DrainBackendRequest {
        service: "refusing".into(),
        backend: backends.refusing.to_string(),
        allow_empty: true,
        ..Default::default()
    };
    control.drain_backend(request).await.unwrap();
    backends.refuse.notify_one();
    frames.find(|frame| frame.stream == id && frame.is(HEADERS, END_STREAM)).await;
    let counts = ["refusing", "to-refusing", "refused"];
    ledger.expect(&gateway, "a request that is given back", counts).await;

    // A stream that comes after the last word on streams.
    assert!(gateway.reload(&backends.yaml("").await).await);
    few.find(|frame| frame.kind == GOAWAY && frame.word() == 5).await;
    few.grpc(7, END_STREAM, "/dead/Get", &[]).await;
    ledger.expect(&gateway, "a late stream", ["", "", "shutting_down"]).await;

    assert_complete(&ledger);
}

fn assert_complete(ledger: &Ledger) {
    let reasons: Vec<&str> = ledger.counted.keys().map(|[.., reason]| &**reason).collect();
    for reason in RejectReason::ALL {
        assert!(reasons.contains(&reason.name()), "nothing here is {}", reason.name());
    }
}

#[tokio::test]
async fn what_was_counted_stays_when_routes_change() {
    let dead = nobody().await;
    let yaml = |route: &str| {
        format!(
            "{PORTS}services: {{ echo: {{ endpoints: [ {{ address: {dead} }} ] }} }}\n\
             routes: [ {{ name: {route}, service: echo }} ]\n"
        )
    };
    let mut gateway = Gateway::start(&yaml("old")).await;
    let mut client = client::connect(gateway.front()).await;
    let mut expected = BTreeMap::new();
    for route in ["old", "new", "old"] {
        assert!(gateway.reload(&yaml(route)).await);
        client.unary(held()).await.unwrap_err();
        *expected.entry(labels(["echo", route, "connect"])).or_default() += 1;
        assert_eq!(rejected(&gateway.metrics().await), expected);
    }
}
