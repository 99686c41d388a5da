//! The metrics port over TLS, with tokens and certificates, as curl and Prometheus see it.

use std::path::Path;
use std::process::Command;

use equipoise::access::digest;
use equipoise::text::SecretText;

use crate::support::certificates::Authority;
use crate::support::eventually;
use crate::support::gateway::{Gateway, PORTS};
use crate::support::prometheus::Prometheus;

const NAME: &str = "gateway.example";

fn yaml(metrics: &str) -> String {
    let metrics = format!("metrics: {{ address: 127.0.0.1:0, {metrics} }}");
    PORTS.replace("metrics: { address: 127.0.0.1:0 }", &metrics)
        + "services: { a: { endpoints: [ '127.0.0.1:1' ] } }\nroutes: [ a ]\n"
}

/// A line of a token file.
fn line(token: &str, role: &str) -> String {
    format!("{token} {role} {} never\n", digest(&SecretText::new(token.into())))
}

/// What curl prints of a request with these arguments: status, and what it is asked for; 000 for no
/// answer.
async fn curl(gateway: &Gateway, folder: &Path, path: &str, arguments: &[&str]) -> String {
    let (port, folder) = (gateway.metrics_address().port(), folder.to_owned());
    let mut command = Command::new("curl");
    command.args(["-s", "-o", "/dev/null", "-w", "%{http_code} %header{www-authenticate}"]);
    command.args(["--cacert", "ca.pem", "--connect-to", &format!("::127.0.0.1:{port}")]);
    command.args(arguments).arg(format!("https://{NAME}{path}")).current_dir(folder);
    let run = move || command.output().expect("the tests need curl");
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const BEARER: &str = "authorization: Bearer ";

#[tokio::test]
async fn metrics_need_a_token_and_health_needs_none() {
    let authority = Authority::new();
    authority.issue("server", NAME);
    let folder = authority.folder();
    let tokens = line("reader", "read") + &line("some", "admin:a") + &line("root", "admin");
    std::fs::write(folder.join("tokens.txt"), tokens).unwrap();
    let settings = "tls: { cert: server.pem, key: server.key }, tokens: tokens.txt, hosts: [ gateway.example ]";
    let gateway = Gateway::start_in(&yaml(settings), folder).await;
    for version in ["--http1.1", "--http2"] {
        for (path, token, expected) in [
            ("/healthz", "", "200"),
            ("/readyz", "", "200"),
            ("/healthz", "wrong", "200"),
            ("/metrics", "", "401 Bearer"),
            ("/metrics", "wrong", "401 Bearer"),
            ("/metrics", "some", "403"),
            ("/metrics", "reader", "200"),
            ("/metrics", "root", "200"),
            ("/Metrics", "", "404"),
        ] {
            let header = format!("{BEARER}{token}");
            let header = ["-H", &header];
            let token = if token.is_empty() { &[] } else { &header[..] };
            let arguments = [&[version][..], token].concat();
            let answer = curl(&gateway, folder, path, &arguments).await;
            assert_eq!(answer, expected, "{path} {token:?} {version}");
        }
    }
    let probe = format!("https://{}", gateway.metrics_address());
    let tls = tonic::transport::ClientTlsConfig::new();
    let tls = tls.ca_certificate(authority.certificate()).domain_name(NAME);
    let endpoint = tonic::transport::Endpoint::from_shared(probe).unwrap().tls_config(tls).unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(endpoint.connect_lazy());
    let request = tonic_health::pb::HealthCheckRequest::default();
    assert_eq!(health.check(request).await.unwrap().into_inner().status, 1, "a probe needs none");
    // Clear text is no HTTP for it, and it goes on.
    assert_eq!(curl(&gateway, folder, "/healthz", &["--tls-max", "1.1"]).await, "000");
    assert_eq!(curl(&gateway, folder, "/healthz", &[]).await, "200");
}

#[tokio::test]
async fn a_certificate_is_as_good_as_a_token_and_all_of_it_is_reloaded() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("server", NAME);
    authority.issue("scraper", "scraper.example");
    stranger.issue("bob", "bob.example");
    let folder = authority.folder();
    let write = |text: String| std::fs::write(folder.join("tokens.txt"), text).unwrap();
    write(line("one", "read"));
    let own = ["--cert", "scraper.pem", "--key", "scraper.key"];
    let file = |ending: &str| stranger.folder().join(format!("bob.{ending}")).display().to_string();
    let (cert, key) = (file("pem"), file("key"));
    let foreign = ["--cert", &*cert, "--key", &*key];
    let token = |name: &str| format!("{BEARER}{name}");
    let settings = |auth: &str, hosts: &str| {
        yaml(&format!(
            "tls: {{ cert: server.pem, key: server.key, client_ca: ca.pem, client_auth: {auth} }}, \
             tokens: tokens.txt, hosts: [ {hosts} ]"
        ))
    };
    let mut gateway = Gateway::start_in(&settings("optional", NAME), folder).await;
    let (one, two) = (token("one"), token("two"));
    for (path, arguments, expected) in [
        ("/readyz", &[][..], "200"),
        ("/metrics", &[], "401 Bearer"),
        ("/metrics", &own, "200"),
        ("/metrics", &["-H", &one], "200"),
        ("/metrics", &["-H", &two], "401 Bearer"),
        ("/metrics", &foreign, "000"),
        ("/readyz", &foreign, "000"),
    ] {
        let answer = curl(&gateway, folder, path, arguments).await;
        assert_eq!(answer, expected, "{path} {arguments:?}");
    }
    write(line("two", "read"));
    assert!(gateway.reload_in(&settings("required", "other.example"), folder).await);
    assert_eq!(curl(&gateway, folder, "/readyz", &[]).await, "000", "nobody without a certificate");
    assert_eq!(curl(&gateway, folder, "/metrics", &own).await, "403", "by another name");
    assert!(gateway.reload_in(&settings("required", NAME), folder).await);
    assert_eq!(curl(&gateway, folder, "/metrics", &own).await, "200");
    let with = [&own[..], &["-H", &one]].concat();
    assert_eq!(curl(&gateway, folder, "/metrics", &with).await, "401 Bearer", "it was revoked");
    let with = [&own[..], &["-H", &two]].concat();
    assert_eq!(curl(&gateway, folder, "/metrics", &with).await, "200");
    // The port's own certificate is renewed too, by another authority.
    stranger.issue("server", NAME);
    for file in ["server.pem", "server.key"] {
        std::fs::copy(stranger.folder().join(file), folder.join(file)).unwrap();
    }
    assert!(gateway.reload_in(&settings("required", NAME), folder).await);
    assert_eq!(curl(&gateway, folder, "/metrics", &own).await, "000");
    let ca = stranger.folder().join("ca.pem").display().to_string();
    let with = [&own[..], &["--cacert", &ca]].concat();
    assert_eq!(curl(&gateway, folder, "/metrics", &with).await, "200");
    // A probe of TCP, which says nothing, is no handshake that failed.
    drop(tokio::net::TcpStream::connect(gateway.metrics_address()).await.unwrap());
    // Clear text again, to all.
    assert!(gateway.reload_in(&yaml("hosts: []"), folder).await);
    let refused = ("listener", "metrics");
    let page = gateway.metrics().await;
    let name = "equipoise_connections_refused_total";
    // Of the stranger twice, without a certificate once, and by the old authority once.
    assert_eq!(page.value(name, &[refused, ("reason", "handshake")]), 4.0);
}

#[tokio::test]
async fn prometheus_scrapes_as_its_sample_says() {
    let authority = Authority::new();
    authority.issue("server", NAME);
    let folder = authority.folder();
    std::fs::write(folder.join("tokens.txt"), line("scraper", "read")).unwrap();
    let settings = "tls: { cert: server.pem, key: server.key }, tokens: tokens.txt";
    let gateway = Gateway::start_in(&yaml(settings), folder).await;
    let sample = super::dashboard::folder().join("prometheus-tls.yml");
    let sample = std::fs::read_to_string(sample).unwrap();
    let sample = sample
        .replace("127.0.0.1:9901", &gateway.metrics_address().to_string())
        .replace("scrape_interval: 5s", "scrape_interval: 500ms\n  scrape_timeout: 500ms");
    let beside = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join("ca.pem"), beside.path().join("ca.pem")).unwrap();
    std::fs::write(beside.path().join("prometheus.token"), "scraper\n").unwrap();
    let prometheus = Prometheus::configured(&sample, beside, &[]);
    eventually("it is up", async || prometheus.query("up").await == [1.0]).await;
    let found = prometheus.query("equipoise_build_info").await;
    assert_eq!(found, [1.0]);
}

#[test]
fn tokens_do_not_go_over_the_network_in_clear_text() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokens.txt"), line("a", "read")).unwrap();
    let told = |address: &str| {
        let yaml = yaml("tokens: tokens.txt")
            .replace("127.0.0.1:0, tokens", &format!("'{address}', tokens"));
        equipoise::config::parse(&yaml, folder.path()).map_err(|report| report.pretty())
    };
    for fine in ["127.0.0.1:0", "[::1]:0", "unix:/tmp/metrics.sock"] {
        assert!(told(fine).is_ok(), "{fine}: {:?}", told(fine).err());
    }
    for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9901"] {
        let error = told(open).unwrap_err();
        assert!(
            error.contains("take tokens in clear text") && error.contains("add `tls:"),
            "{error}"
        );
    }
}
