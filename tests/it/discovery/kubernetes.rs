//! Backends from a stub of Kubernetes' API, and a real kubectl that finds the same in it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use equipoise::control::proto::{BackendState, ListSourcesRequest, Source};
use http::StatusCode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::{JoinHandle, spawn_blocking};

use super::discovered;
use crate::support::backend::Backend;
use crate::support::certificates::Authority;
use crate::support::client::{Client, message};
use crate::support::eventually;
use crate::support::gateway::{Control, Gateway};
use crate::support::kubernetes::{ApiServer, NAMESPACE, line, ready, slice, terminating};

const SETTINGS: &str = "balancer: round_robin\npreconnect: 0";

/// A gateway that finds its backends at `server`.
async fn gateway(server: &ApiServer, keys: &str) -> (Gateway, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    server.kubeconfig(folder.path(), "", "");
    (gateway_in(&folder, keys, "").await, folder)
}

/// The same with the kubeconfig of a folder, and `more` keys of `discover`.
async fn gateway_in(folder: &TempDir, keys: &str, more: &str) -> Gateway {
    let kubeconfig = folder.path().join("kubeconfig");
    let source = format!(
        "{{ kubernetes: {{ service: orders, kubeconfig: {}{keys} }}{more} }}",
        kubeconfig.display()
    );
    Gateway::start(&discovered(&source, SETTINGS)).await
}

/// A slice with this backend alone, as each has a port of its own.
fn alone(name: &str, backend: SocketAddr) -> Value {
    slice(name, backend.port(), [ready(&backend.ip().to_string())])
}

async fn members(control: &mut Control) -> Vec<String> {
    control.backends().await.into_iter().map(|backend| backend.address).collect()
}

fn texts(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

async fn source(control: &mut Control) -> Source {
    let request = ListSourcesRequest { service: "echo".into() };
    control.0.list_sources(request).await.unwrap().into_inner().sources.remove(0)
}

async fn watched(server: &ApiServer) {
    eventually("it watches", async || server.watches() > 0).await;
}

/// Requests all the time, of which none may fail.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl Load {
    fn start(mut client: Client) -> Load {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let running = tokio::spawn(async move {
            while !stopped.load(SeqCst) {
                client.unary(message("x")).await.unwrap();
                counted.fetch_add(1, SeqCst);
            }
        });
        Load { stop, sent, running }
    }

    async fn end(self) {
        self.stop.store(true, SeqCst);
        self.running.await.unwrap();
        assert!(self.sent.load(SeqCst) > 0);
    }
}

#[tokio::test]
async fn slices_are_listed_and_their_changes_followed() {
    let [a, b, c] = [Backend::start().await, Backend::start().await, Backend::start().await];
    let server = ApiServer::start().await;
    server.put(alone("orders-a", a.address));
    server.put(alone("orders-b", b.address));
    let mut other = alone("users-1", c.address);
    other["metadata"]["labels"]["kubernetes.io/service-name"] = "users".into();
    server.put(other);
    let (gateway, _folder) = gateway(&server, "").await;
    let mut control = gateway.control().await;
    assert_eq!(members(&mut control).await, texts(&[a.address, b.address]));
    let load = Load::start(gateway.client().await);

    server.put(alone("orders-c", c.address));
    eventually("c has come", async || c.seen.requests() > 0).await;
    server.put(slice("orders-a", a.address.port(), [terminating("127.0.0.1")]));
    let drains = |backends: &[equipoise::control::proto::Backend]| {
        let state = |backend: &equipoise::control::proto::Backend| backend.state();
        let draining = backends.iter().filter(|it| state(it) == BackendState::Draining);
        draining.map(|it| it.address.clone()).collect::<Vec<_>>() == texts(&[a.address])
    };
    control.backends_once("a drains", drains).await;
    server.delete("orders-a");
    let expected = texts(&[b.address, c.address]);
    eventually("a has gone", async || members(&mut control).await == expected).await;
    // In two slices for a moment, and out of one of them.
    server.put(alone("orders-x", b.address));
    server.delete("orders-b");
    let mut last = alone("orders-x", b.address);
    last["endpoints"][0]["zone"] = "east".into();
    last["endpoints"][0]["targetRef"] = json!({ "kind": "Pod", "name": "pod-b", "uid": "uid-b" });
    server.put(last);
    let known = |backends: &[equipoise::control::proto::Backend]| {
        let found = backends.iter().find(|it| it.address == b.address.to_string());
        found.is_some_and(|it| (&*it.zone, &*it.instance) == ("east", "uid-b"))
            && backends.len() == 2
    };
    let backends = control.backends_once("what is known of b is shown", known).await;
    let found = backends.iter().find(|it| it.address == b.address.to_string()).unwrap();
    assert_eq!(found.metadata["pod"], "pod-b");
    load.end().await;
    let told = source(&mut control).await;
    assert_eq!((told.up, told.errors, &*told.place), (true, 0, "orders"));
    let age = async |control: &mut Control| source(control).await.last_success_seconds.unwrap();
    eventually("time goes on", async || age(&mut control).await > 0.2).await;
    eventually("a bookmark is an answer", async || {
        server.bookmark();
        age(&mut control).await < 0.2
    })
    .await;
    assert_eq!(source(&mut control).await.updates, told.updates);
    gateway.idle().await;
}

#[tokio::test]
async fn lists_come_in_pages_which_may_expire() {
    let server = ApiServer::start().await;
    for number in 0..7 {
        server.put(slice(&format!("s{number}"), 80, [ready(&format!("10.0.0.{}", number + 1))]));
    }
    server.page(2, 1);
    let (gateway, _folder) = gateway(&server, "").await;
    let mut control = gateway.control().await;
    assert_eq!(members(&mut control).await.len(), 7);
    let asked = server.asked();
    let lists = asked.iter().filter(|path| !path.contains("watch=1")).count();
    assert_eq!(lists, 2 + 4, "the second page has expired once: {asked:?}");
    assert!(asked[0].contains("limit=50"), "{asked:?}");
    watched(&server).await;
    let watch = server.asked().pop().unwrap();
    for part in ["allowWatchBookmarks=true", "timeoutSeconds=", "resourceVersion=1007"] {
        assert!(watch.contains(part), "{watch}");
    }

    server.page(2, usize::MAX);
    server.end_watches();
    eventually("it is said", async || {
        source(&mut control).await.last_error.contains("expire before they are read")
    })
    .await;
    assert_eq!(members(&mut control).await.len(), 7, "who failed removes nobody");
}

/// What ends a watch.
type End<'a> = &'a dyn Fn(&ApiServer);

#[tokio::test]
async fn whatever_ends_a_watch_everything_is_listed_again() {
    let backend = Backend::start().await;
    let expired = json!({ "kind": "Status", "code": 410, "reason": "Expired" });
    let failed = json!({ "kind": "Status", "code": 500, "message": "etcd\nis away" });
    let late = alone("late", "10.9.9.9:80".parse().unwrap());
    let half = line("ADDED", &late)[..60].to_owned();
    let ends: [(&str, u64, End<'_>); 8] = [
        ("its time", 0, &ApiServer::end_watches),
        ("410 in a line", 0, &|server| server.send(line("ERROR", &expired))),
        ("an end in a line", 0, &|server| {
            server.send(half.clone());
            server.end_watches();
        }),
        ("a broken connection", 1, &ApiServer::cut_watches),
        ("a cut in a line", 1, &|server| {
            server.send(half.clone());
            server.cut_watches();
        }),
        ("another error", 1, &|server| server.send(line("ERROR", &failed))),
        ("an event of another kind", 1, &|server| server.send(line("NEWS", &late))),
        ("what is no event", 1, &|server| server.send("{ \"type\": 5 }\n")),
    ];
    for (what, errors, end) in ends {
        let server = ApiServer::start().await;
        server.put(alone("a", backend.address));
        server.put(slice("b", 80, [terminating("10.0.0.1")]));
        let (gateway, _folder) = gateway(&server, "").await;
        let mut control = gateway.control().await;
        let load = Load::start(gateway.client().await);
        watched(&server).await;
        // What has changed meanwhile, told to nobody.
        server.behind_their_backs([slice("c", 80, [terminating("10.0.0.2")])], &["b"]);
        end(&server);
        let expected = [backend.address.to_string(), "10.0.0.2:80".into()];
        eventually(what, async || members(&mut control).await == expected).await;
        load.end().await;
        let source = source(&mut control).await;
        assert_eq!((source.up, source.errors), (true, errors), "{what}: {source:?}");
        assert!(!source.last_error.contains(char::is_control), "{what}: {source:?}");
    }
}

#[tokio::test]
async fn a_watch_that_begins_too_late_is_answered_410_and_listed_again() {
    let backend = Backend::start().await;
    let server = ApiServer::start().await;
    server.put(alone("a", backend.address));
    server.page(usize::MAX, 0);
    let (gateway, _folder) = gateway(&server, "").await;
    let mut control = gateway.control().await;
    watched(&server).await;
    server.compact_before_watches(3);
    server.end_watches();
    eventually("three were too late", async || server.too_late() == 3).await;
    watched(&server).await;
    server.put(slice("b", 80, [terminating("10.0.0.1")]));
    eventually("it follows", async || members(&mut control).await.len() == 2).await;
    let source = source(&mut control).await;
    assert_eq!((source.up, source.errors), (true, 0), "this is nobody's fault");
}

#[tokio::test]
async fn a_server_that_is_away_or_refuses_changes_nothing() {
    let backend = Backend::start().await;
    let server = ApiServer::start().await;
    server.put(alone("a", backend.address));
    let (gateway, _folder) = gateway(&server, "").await;
    let mut control = gateway.control().await;
    let load = Load::start(gateway.client().await);
    for (status, says) in [
        (StatusCode::FORBIDDEN, "403 Forbidden: refused by the test; let the account get, list"),
        (StatusCode::NOT_FOUND, "1.21"),
        (StatusCode::TOO_MANY_REQUESTS, "429"),
        (StatusCode::TEMPORARY_REDIRECT, "307"),
    ] {
        server.refuse_lists(Some(status));
        server.cut_watches();
        eventually(says, async || source(&mut control).await.last_error.contains(says)).await;
        assert!(!source(&mut control).await.up);
    }
    server.refuse_lists(None);
    eventually("it is back", async || source(&mut control).await.up).await;
    server.kill();
    eventually("it is away", async || {
        source(&mut control).await.last_error.contains("Connection refused")
    })
    .await;
    load.end().await;
    assert_eq!(members(&mut control).await, texts(&[backend.address]));
}

#[tokio::test]
async fn hostile_content_is_left_out_and_the_rest_stays() {
    let backend = Backend::start().await;
    let server = ApiServer::start().await;
    server.put(alone("a", backend.address));
    let mut bad =
        slice("bad", 80, [ready("0.0.0.0"), ready("10.0.0.1"), json!({ "addresses": 7 })]);
    bad["endpoints"][1]["zone"] = "x".repeat(100_000).into();
    server.put(bad);
    let mut all_ports = slice("all-ports", 80, [ready("10.0.0.2")]);
    all_ports["ports"][0]["port"] = Value::Null;
    server.put(all_ports);
    let mut broken = slice("broken", 80, []);
    broken["endpoints"] = "none".into();
    server.put(broken);
    let (gateway, _folder) = gateway(&server, "").await;
    let mut control = gateway.control().await;
    let expected = [backend.address.to_string(), "10.0.0.1:80".into()];
    assert_eq!(members(&mut control).await, expected);
    assert_eq!(source(&mut control).await.errors, 4);

    watched(&server).await;
    let mut broken = alone("a", backend.address);
    broken["ports"] = "none".into();
    server.put(broken.clone());
    eventually("it is told", async || source(&mut control).await.errors == 5).await;
    assert_eq!(members(&mut control).await, expected, "what it said before stays");
    server.end_watches();
    eventually("it is told again", async || source(&mut control).await.errors == 10).await;
    assert_eq!(members(&mut control).await, expected, "even in a new list");

    watched(&server).await;
    for _ in 0..5 {
        server.send("x".repeat(1 << 20));
    }
    eventually("a line without end", async || {
        source(&mut control).await.last_error.contains("longer than")
    })
    .await;
    assert_eq!(members(&mut control).await, expected);
    server.put(alone("a", backend.address));
    eventually("it is whole again", async || {
        let before = source(&mut control).await;
        before.up && server.watches() > 0
    })
    .await;
    let mut client = gateway.client().await;
    eventually("it serves", async || client.unary(message("x")).await.is_ok()).await;
}

/// TLS of a server at 127.0.0.1 that wants certificates of its clients.
fn tls(authority: &Authority) -> ServerConfig {
    authority.issue("server", "127.0.0.1");
    let at = |name: &str| authority.folder().join(name);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(at("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(at("server.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(at("server.key")).unwrap(),
        )
        .unwrap()
}

#[tokio::test]
async fn tokens_are_read_again_and_servers_are_verified() {
    let backend = Backend::start().await;
    let authority = Authority::new();
    authority.issue("gateway", "gateway");
    let server = ApiServer::with(Some(tls(&authority))).await;
    server.put(alone("a", backend.address));
    server.want_token("first");
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    let ca = |authority: &Authority| {
        format!(", certificate-authority: '{}'", authority.folder().join("ca.pem").display())
    };
    let user = format!(
        "tokenFile: token, client-certificate: '{0}.pem', client-key: '{0}.key'",
        authority.folder().join("gateway").display()
    );
    server.kubeconfig(folder.path(), &ca(&authority), &user);
    let gateway = gateway_in(&folder, "", "").await;
    let mut control = gateway.control().await;
    assert_eq!(members(&mut control).await, texts(&[backend.address]));
    let load = Load::start(gateway.client().await);

    watched(&server).await;
    std::fs::write(&token, "second\n").unwrap();
    server.want_token("second");
    server.behind_their_backs([slice("b", 80, [terminating("10.0.0.1")])], &[]);
    server.end_watches();
    eventually("the new token is let in", async || members(&mut control).await.len() == 2).await;
    assert_eq!(source(&mut control).await.errors, 0);

    watched(&server).await;
    server.want_token("third");
    server.end_watches();
    eventually("the token is refused", async || {
        source(&mut control).await.last_error.contains("401 Unauthorized")
    })
    .await;
    std::fs::write(&token, "third\n").unwrap();
    eventually("until it is replaced", async || source(&mut control).await.up).await;

    let stranger = Authority::new();
    server.kubeconfig(folder.path(), &ca(&stranger), &user);
    watched(&server).await;
    server.cut_watches();
    eventually("a stranger is not believed", async || {
        source(&mut control).await.last_error.contains("invalid peer certificate")
    })
    .await;
    server.kubeconfig(folder.path(), ", insecure-skip-tls-verify: true", &user);
    eventually("nor is anybody", async || {
        source(&mut control).await.last_error.contains("insecure-skip-tls-verify")
    })
    .await;
    load.end().await;
    assert_eq!(members(&mut control).await.len(), 2);
}

#[tokio::test]
async fn namespaces_ports_and_contexts_are_chosen() {
    let backend = Backend::start().await;
    let server = ApiServer::start().await;
    let mut slice = alone("a", backend.address);
    let port = json!({ "name": "metrics", "port": 9090, "protocol": "TCP" });
    slice["ports"].as_array_mut().unwrap().push(port);
    server.put(slice);
    for (keys, found, says) in [
        (", port: grpc", Some(backend.address.port()), ""),
        (", port: 9090, context: test", Some(9090), ""),
        (", port: grpc, namespace: shop", Some(backend.address.port()), ""),
        (", port: http", None, "no TCP port `http`"),
        ("", None, "set `port` to one of `grpc`"),
        (", port: grpc, context: prod", None, "no context `prod`"),
        (", port: grpc, namespace: other", None, "404"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        server.kubeconfig(folder.path(), "", "");
        let gateway = gateway_in(&folder, keys, ", initial_timeout: 100ms").await;
        let mut control = gateway.control().await;
        let expected: Vec<String> =
            found.map(|port| format!("127.0.0.1:{port}")).into_iter().collect();
        eventually(keys, async || {
            let error = source(&mut control).await.last_error;
            let told = error.contains(says) && error.is_empty() == says.is_empty();
            told && members(&mut control).await == expected
        })
        .await;
    }
}

#[test]
fn settings_are_checked_and_said_to_be_experimental() {
    let parse = |source: &str| {
        equipoise::config::parse(&discovered(source, SETTINGS), std::path::Path::new(""))
    };
    let plan = parse("{ kubernetes: orders }").unwrap();
    let warning = plan.warnings.first().map(ToString::to_string).unwrap_or_default();
    assert!(warning.contains("the source `kubernetes` is experimental"), "{warning}");
    for (source, says) in [
        ("{ kubernetes: {} }", "`service` is missing"),
        ("{ kubernetes: Orders }", "`Orders` is no name in Kubernetes"),
        ("{ kubernetes: { service: x, namespace: a/b } }", "`a/b` is no name in Kubernetes"),
        ("{ kubernetes: { service: x, port: 70000 } }", "`70000` is no port"),
        ("{ kubernetes: { service: x, context: c } }", "there is none"),
        ("{ kubernetes: x, file: y }", "exactly one source"),
    ] {
        let report = parse(source).unwrap_err();
        assert!(report.pretty().contains(says), "{source}: {}", report.pretty());
    }
}

/// `10.x.y.z` by number.
fn ip(number: usize) -> String {
    format!("10.{}.{}.{}", number >> 16, (number >> 8) & 255, number & 255)
}

#[tokio::test]
async fn ten_thousand_endpoints_are_found_and_one_change_is_applied() {
    let server = ApiServer::start().await;
    let of = |number: usize, more: Option<Value>| {
        let endpoints = (number * 100..(number + 1) * 100).map(|number| {
            let pod = json!({ "kind": "Pod", "name": format!("orders-{number}"), "uid": number.to_string() });
            let mut endpoint = ready(&ip(number + 1));
            endpoint["targetRef"] = pod;
            endpoint["zone"] = "east".into();
            endpoint["nodeName"] = "node".into();
            endpoint
        });
        slice(&format!("orders-{number:02}"), 50051, endpoints.chain(more))
    };
    (0..100).for_each(|number| server.put(of(number, None)));
    let begun = Instant::now();
    let (gateway, _folder) = gateway(&server, "").await;
    let started = begun.elapsed();
    let mut control = gateway.control().await;
    assert_eq!(members(&mut control).await.len(), 10_000);
    watched(&server).await;
    let begun = Instant::now();
    server.put(of(7, Some(ready("10.200.0.1"))));
    eventually("one is too many", async || source(&mut control).await.errors == 1).await;
    let told = begun.elapsed();
    assert_eq!(source(&mut control).await.backends, 10_000);
    let mut shorter = of(99, None);
    shorter["endpoints"].as_array_mut().unwrap().truncate(1);
    server.put(shorter);
    eventually("some have gone", async || source(&mut control).await.backends == 9902).await;
    eventually("they are out", async || members(&mut control).await.len() == 9902).await;
    eprintln!("10,000 endpoints: start {started:?}, a change is known after {told:?}");
}

#[tokio::test]
async fn kubectl_finds_the_same_in_the_stub() {
    if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        eprintln!("skipped: there is no kubectl");
        return;
    }
    let server = ApiServer::start().await;
    for number in 0..5 {
        server.put(slice(&format!("orders-{number}"), 80, [ready("10.0.0.1")]));
    }
    server.page(2, 0);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = server.kubeconfig(folder.path(), "", "");
    let kubectl = async |arguments: &[&str]| {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&kubeconfig).args(arguments);
        command.env("HOME", folder.path()).stdin(Stdio::null());
        let output = spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let selector = ["-l", "kubernetes.io/service-name=orders"];
    let get = ["get", "endpointslices", "-n", NAMESPACE, "-o", "name"];
    let names = kubectl(&[&get[..], &selector].concat()).await;
    let expected: String =
        (0..5).map(|n| format!("endpointslice.discovery.k8s.io/orders-{n}\n")).collect();
    assert_eq!(names, expected);
    let json = kubectl(&["get", "endpointslices", "-n", NAMESPACE, "-o", "json"]).await;
    let list: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(list["items"][4]["ports"][0]["port"], 80);
    let (gateway, _folder) = gateway(&server, "").await;
    let mut control = gateway.control().await;
    assert_eq!(members(&mut control).await, ["10.0.0.1:80"]);
}
