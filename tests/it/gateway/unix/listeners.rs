//! Unix sockets at which clients come.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tonic::transport::Endpoint;

use crate::support::backend::Backend;
use crate::support::certificates::Authority;
use crate::support::client::{self, Client, connect_to, message, with};
use crate::support::gateway::{Gateway, one_service};
use crate::support::http1::Recorder;
use crate::support::process::Process;
use crate::support::{eventually, soon};

const TCP: &str = "{ address: 127.0.0.1:0 }";

/// A folder for sockets.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// An item of `listeners` with more keys.
    fn row(&self, name: &str, more: &str) -> String {
        format!("{{ address: \"unix:{}\"{more} }}", self.at(name).display())
    }
}

/// `yaml` with these listeners.
fn listening(yaml: &str, rows: &[&str]) -> String {
    yaml.replace(&format!("[ {TCP} ]"), &format!("[ {} ]", rows.join(", ")))
}

async fn connect(path: &Path) -> Client {
    connect_to(Endpoint::from_shared(format!("unix:{}", path.display())).unwrap()).await
}

/// Sends `request` and reads until the gateway closes the connection.
pub async fn exchange(path: &Path, request: &str) -> String {
    let mut socket = UnixStream::connect(path).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("the connection is closed", socket.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// How many connections of clients have ended.
async fn ended(gateway: &Gateway) -> f64 {
    let page = gateway.metrics().await;
    let closed = page.samples("equipoise_connections_closed_total").iter();
    closed.filter(|sample| sample.labels["side"] == "downstream").map(|sample| sample.value).sum()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[tokio::test]
async fn clients_come_by_a_socket_as_by_a_port() {
    let backend = Backend::start().await;
    let folder = Folder::new();
    let yaml = one_service(&[backend.address], "");
    let rows = [&*folder.row("a.sock", ""), TCP, &folder.row("b.sock", ", max_connections: 1")];
    let gateway = Gateway::start(&listening(&yaml, &rows)).await;
    let mut client = connect(&folder.at("a.sock")).await;
    let large = vec![7; 3 << 20];
    let parts = tokio_stream::iter((0..5).map(move |_| message(large.clone())));
    let mut answers = client.bidi(parts).await.unwrap().into_inner();
    for _ in 0..5 {
        assert_eq!(answers.message().await.unwrap().unwrap().payload.len(), 3 << 20);
    }
    gateway.client().await.unary(message("x")).await.unwrap();

    // What is refused has the path as its listener.
    let only = folder.at("b.sock");
    let mut first = connect(&only).await;
    first.unary(message("x")).await.unwrap();
    let mut second = UnixStream::connect(&only).await.unwrap();
    soon("it is refused", second.read(&mut [0])).await.unwrap();
    let listener = format!("unix:{}", only.display());
    let labels = [("listener", &*listener), ("reason", "max_connections")];
    eventually("it is counted", async || {
        gateway.metrics().await.value("equipoise_connections_refused_total", &labels) == 1.0
    })
    .await;
    gateway.shutdown().await;
    assert!(fs::read_dir(folder.0.path()).unwrap().next().is_none(), "both are removed");
}

#[tokio::test]
async fn a_socket_serves_http1_and_tells_backends_of_unix() {
    let backend = Recorder::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let folder = Folder::new();
    let forwarded = ", forwarded: { headers: both }";
    let trusting = ", forwarded: { headers: both, trust: [ unix, 10.0.0.0/8 ] }";
    let rows = [&*folder.row("a.sock", forwarded), &folder.row("b.sock", trusting)];
    let yaml = listening(&one_service(&[backend.address], "protocol: http1"), &rows);
    let _gateway = Gateway::start(&yaml).await;
    let request =
        "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\nConnection: close\r\n\r\n";
    for name in ["a.sock", "b.sock"] {
        let answer = exchange(&folder.at(name), request).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok"), "{answer}");
    }
    let seen = backend.seen();
    let told = |start: &str| -> Vec<&str> {
        seen.lines().filter_map(|line| line.strip_prefix(start)).collect()
    };
    assert_eq!(told("x-forwarded-for: "), ["unix", "1.1.1.1, unix"]);
    assert_eq!(told("x-forwarded-proto: "), ["http"; 2]);
    assert_eq!(told("forwarded: "), ["for=unix;host=\"h\";proto=http"; 2]);
}

#[tokio::test]
async fn all_who_come_by_a_socket_have_one_source_address() {
    let backends = [Backend::start().await, Backend::start().await, Backend::start().await];
    let folder = Folder::new();
    let balancer = "balancer: { policy: maglev, key: source_address }";
    let rows =
        [&*folder.row("a.sock", ""), &folder.row("b.sock", ", forwarded: { trust: [ unix ] }")];
    let yaml = one_service(&backends.each_ref().map(|backend| backend.address), balancer);
    let _gateway = Gateway::start(&listening(&yaml, &rows)).await;
    let homes = async |name: &str| {
        let mut homes = BTreeSet::new();
        for n in 0..40 {
            let mut client = connect(&folder.at(name)).await;
            let request = with("x", "x-forwarded-for", &format!("192.0.2.{n}"));
            homes.insert(client::backend(&client.unary(request).await.unwrap()));
        }
        homes.len()
    };
    assert_eq!(homes("a.sock").await, 1);
    assert_eq!(homes("b.sock").await, 3);
}

#[tokio::test]
async fn a_socket_serves_tls() {
    let backend = Backend::start().await;
    let authority = Authority::new();
    authority.issue("server", "gateway.test");
    let path = authority.folder().join("a.sock");
    let row = format!(
        "{{ address: \"unix:{}\", tls: {{ cert: server.pem, key: server.key }} }}",
        path.display()
    );
    let yaml = listening(&one_service(&[backend.address], ""), &[&row]);
    let _gateway = Gateway::start_in(&yaml, authority.folder()).await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = fs::read(authority.folder().join("ca.pem")).unwrap();
    let ca = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
    roots.add(ca).unwrap();
    let mut config =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let name = "gateway.test".try_into().unwrap();
    let stream = UnixStream::connect(&path).await.unwrap();
    let stream = soon("TLS", connector.connect(name, stream)).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = crate::support::raw::grpc("/no.Such/Method");
    let answer = crate::support::raw::get(&client, request).await;
    assert_eq!(answer.header("grpc-status"), Some(&b"12"[..]), "{answer:?}");
}

#[tokio::test]
async fn a_reload_keeps_sockets_and_gives_them_their_mode() {
    let backend = Backend::start().await;
    let folder = Folder::new();
    let (a, b) = (folder.at("a.sock"), folder.at("b.sock"));
    let yaml = |rows: &[&str]| listening(&one_service(&[backend.address], ""), rows);
    let mut gateway = Gateway::start(&yaml(&[&folder.row("a.sock", "")])).await;
    let usual = mode(&a);
    let mut client = connect(&a).await;
    client.unary(message("x")).await.unwrap();
    let number = inode(&a);
    for (given, there) in
        [("0600", 0o600), ("\"0o666\"", 0o666), ("660", 0o660), ("0777", 0o777), ("", usual)]
    {
        let more = if given.is_empty() { String::new() } else { format!(", mode: {given}") };
        assert!(gateway.reload(&yaml(&[&folder.row("a.sock", &more), TCP])).await);
        assert_eq!((mode(&a), inode(&a)), (there, number), "{given}");
        client.unary(message("x")).await.unwrap();
    }
    // However it is written.
    let other = folder.row("./../@/a.sock", "").replace('@', name(folder.0.path()));
    assert!(gateway.reload(&yaml(&[&other, &folder.row("b.sock", ", mode: 0600")])).await);
    assert_eq!((inode(&a), mode(&b)), (number, 0o600));
    client.unary(message("x")).await.unwrap();
    assert_eq!(ended(&gateway).await, 0.0, "on the connection that it had");

    assert!(gateway.reload(&yaml(&[&folder.row("b.sock", "")])).await);
    assert!(!a.exists() && b.exists());
    connect(&b).await.unary(message("x")).await.unwrap();
    // One that somebody has removed is made again.
    fs::remove_file(&b).unwrap();
    assert!(gateway.reload(&yaml(&[&folder.row("b.sock", "")])).await);
    connect(&b).await.unary(message("x")).await.unwrap();
    gateway.shutdown().await;
    assert!(!b.exists());
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[tokio::test]
async fn a_reload_that_fails_leaves_no_socket_behind() {
    let backend = Backend::start().await;
    let folder = Folder::new();
    let yaml = |rows: &[&str]| listening(&one_service(&[backend.address], ""), rows);
    let mut gateway = Gateway::start(&yaml(&[&folder.row("a.sock", "")])).await;
    fs::write(folder.at("file"), "mine").unwrap();
    let live = UnixListener::bind(folder.at("live.sock")).unwrap();
    for wrong in ["file", "live.sock", "no/folder.sock"] {
        let rows = [&*folder.row("b.sock", ""), &folder.row(wrong, "")];
        assert!(!gateway.reload(&yaml(&rows)).await);
        assert!(!folder.at("b.sock").exists());
        connect(&folder.at("a.sock")).await.unary(message("x")).await.unwrap();
    }
    assert_eq!(fs::read(folder.at("file")).unwrap(), b"mine");
    drop(live);
    assert!(gateway.reload(&yaml(&[&folder.row("live.sock", "")])).await, "it was left behind");
    connect(&folder.at("live.sock")).await.unary(message("x")).await.unwrap();
}

#[tokio::test]
async fn a_process_that_was_killed_leaves_nothing_in_the_way_of_the_next() {
    let backend = Backend::start().await;
    let folder = Folder::new();
    let path = folder.at("a.sock");
    let yaml = one_service(&[backend.address], "");
    let yaml = listening(&yaml, &[&folder.row("a.sock", ", mode: 0600")]);
    let mut first = Process::start(&yaml).await;
    connect(&path).await.unary(message("x")).await.unwrap();
    let beside = equipoise::config::parse(&yaml, Path::new("")).unwrap();
    let error = equipoise::app::Gateway::start(beside).await.err().unwrap().to_string();
    let address = format!("unix:{}", path.display());
    assert!(error.contains(&address) && error.contains("another process listens there"), "{error}");
    connect(&path).await.unary(message("x")).await.unwrap();

    first.signal("-KILL");
    first.ended().await;
    assert!(path.exists());
    let mut second = Process::start(&yaml).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = connect(&path).await;
    client.unary(message("x")).await.unwrap();
    second.terminate();
    assert!(second.ended().await.success());
    assert!(!path.exists());
}

#[test]
fn what_cannot_be_is_refused_before_it_is_tried() {
    let folder = Folder::new();
    fs::create_dir(folder.at("real")).unwrap();
    std::os::unix::fs::symlink("real", folder.at("link")).unwrap();
    let row = |address: &str, more: &str| format!("{{ address: \"{address}\"{more} }}");
    let yaml = one_service(&["127.0.0.1:1".parse().unwrap()], "");
    for (rows, says) in [
        (vec![row("unix:a.sock", "")], "begins with /"),
        (vec![row("unix:@a", "")], "no path"),
        (vec![row(&format!("unix:/run/{}", "x".repeat(103)), "")], "108 bytes"),
        (vec![row("127.0.0.1:0", ", mode: 0660")], "`mode` is for Unix sockets"),
        (vec![row("unix:/run/a", ", mode: 0880")], "write octal digits"),
        (vec![row("unix:/run/a", ", mode: 01777")], "write octal digits"),
        (vec![row("unix:/run/a", ", mode: 7")], "write octal digits"),
        (vec![row("unix:/run/a", ", mode: rw")], "write octal digits"),
        (vec![row("unix:/run/a", ", mode: 0444")], "lets nobody connect"),
        (vec![row("unix:/run/a", ""), row("unix:/run//a", "")], "listened on twice"),
        (vec![row("unix:/run/a", ""), row("unix:/run/../run/a", "")], "are one file"),
        (vec![row("unix:/no-such/a", ""), row("unix:/no-such/b/../a", "")], "are one file"),
        (vec![folder.row("real/a", ""), folder.row("link/a", "")], "are one file"),
    ] {
        let rows: Vec<_> = rows.iter().map(String::as_str).collect();
        let report = equipoise::config::parse(&listening(&yaml, &rows), Path::new(""));
        let report = report.unwrap_err().pretty();
        assert!(report.contains(says), "{says}: {report}");
    }
    let longest = format!("unix:/run/{}", "x".repeat(102));
    for rows in [
        vec![row(&longest, ", mode: \"0660\"")],
        vec![row("unix:/run/a", ", mode: 0o600"), row("unix:/run/A", ", mode: 777")],
        vec![folder.row("real/a", ""), folder.row("link/b", "")],
    ] {
        let rows: Vec<_> = rows.iter().map(String::as_str).collect();
        equipoise::config::parse(&listening(&yaml, &rows), Path::new("")).unwrap();
    }
}
