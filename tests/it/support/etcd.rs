//! A real etcd on free ports, with its data in a folder of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity};

use super::certificates::Authority;
use super::{PATIENCE, eventually};

/// Generated code of what the tests write.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/tests/etcdserverpb.rs"));
}

use proto::kv_client::KvClient;
use proto::lease_client::LeaseClient;
use proto::watch_client::WatchClient;

/// The folder of `etcd` and `etcdctl`.
pub fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/harness/etcd");
        let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{script}: {}", output.status);
        String::from_utf8(output.stdout).unwrap().trim_end().into()
    })
}

/// A member that is a cluster of its own.
pub struct Etcd {
    pub address: SocketAddr,
    folder: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Etcd {
    pub async fn start() -> Etcd {
        Etcd::with("http", &[]).await
    }

    /// With TLS, by the files `NAME.pem` and `NAME.key` of `folder`; clients need a certificate of
    /// `ca.pem`.
    pub async fn with_tls(folder: &Path, name: &str) -> Etcd {
        let file = |name: String| folder.join(name).display().to_string();
        let (cert, key) = (file(format!("{name}.pem")), file(format!("{name}.key")));
        let ca = file("ca.pem".into());
        let files = [("--cert-file", cert), ("--key-file", key), ("--trusted-ca-file", ca)];
        let files = files.map(|(flag, file)| format!("{flag}={file}"));
        let arguments = [&files[..], &["--client-cert-auth".to_owned()]].concat();
        Etcd::with("https", &arguments).await
    }

    async fn with(scheme: &str, more: &[String]) -> Etcd {
        // Both ports are held until both are known.
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, peer] = free.each_ref().map(|listener| listener.local_addr().unwrap());
        drop(free);
        let mut arguments = vec![
            format!("--listen-client-urls={scheme}://{address}"),
            format!("--advertise-client-urls={scheme}://{address}"),
            format!("--listen-peer-urls=http://{peer}"),
            format!("--initial-advertise-peer-urls=http://{peer}"),
            format!("--initial-cluster=default=http://{peer}"),
            "--unsafe-no-fsync".into(),
            "--log-level=error".into(),
            "--max-request-bytes=134217728".into(),
        ];
        arguments.extend_from_slice(more);
        let folder = tempfile::tempdir().unwrap();
        let mut etcd = Etcd { address, folder, arguments, child: None };
        etcd.start_again().await;
        etcd
    }

    /// Starts it, and waits until it answers.
    pub async fn start_again(&mut self) {
        let data = format!("--data-dir={}", self.folder.path().join("data").display());
        let mut etcd = Command::new(programs().join("etcd"));
        etcd.arg(data).args(&self.arguments).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(etcd.spawn().unwrap());
        eventually("etcd takes connections", async || {
            TcpStream::connect(self.address).await.is_ok()
        })
        .await;
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Forgets everything; only while it is killed.
    pub fn wipe(&self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    /// Sends it a signal: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Runs `etcdctl` with these arguments; returns what it says.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let endpoint = format!("--endpoints=http://{}", self.address);
        let patience = ["--command-timeout=60s", "--dial-timeout=60s"];
        let output = Command::new(programs().join("etcdctl"))
            .env("ETCDCTL_API", "3")
            .arg(endpoint)
            .args(patience)
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "etcdctl {arguments:?}: {said}{failed}");
        said
    }

    pub async fn writer(&self) -> Writer {
        Writer::to(Endpoint::from_shared(format!("http://{}", self.address)).unwrap()).await
    }

    pub async fn writer_by_tls(&self, authority: &Authority, identity: Identity) -> Writer {
        let tls = ClientTlsConfig::new().ca_certificate(authority.certificate()).identity(identity);
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        Writer::to(endpoint.tls_config(tls).unwrap()).await
    }
}

/// A link to an address that can be cut so that neither side learns of it.
pub struct Link {
    pub address: SocketAddr,
    cut: watch::Sender<bool>,
}

impl Link {
    pub async fn to(address: SocketAddr) -> Link {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (cut, is_cut) = watch::channel(false);
        let link = Link { address: listener.local_addr().unwrap(), cut };
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let mut is_cut = is_cut.clone();
                tokio::spawn(async move {
                    // What comes while it is cut is lost for good, with its connection.
                    if *is_cut.borrow_and_update() {
                        return std::future::pending().await;
                    }
                    let Ok(mut far) = TcpStream::connect(address).await else { return };
                    let mut near = near;
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_cut.changed() => std::future::pending().await,
                    }
                });
            }
        });
        link
    }

    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// New connections are made again; the old ones stay dead.
    pub fn mend(&self) {
        self.cut.send_replace(false);
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes keys, as services that register do.
#[derive(Clone)]
pub struct Writer {
    kv: KvClient<Channel>,
    lease: LeaseClient<Channel>,
    watch: WatchClient<Channel>,
}

impl Writer {
    async fn to(endpoint: Endpoint) -> Writer {
        let channel = endpoint.connect_timeout(PATIENCE).connect().await.unwrap();
        let kv = KvClient::new(channel.clone()).max_encoding_message_size(usize::MAX);
        let lease = LeaseClient::new(channel.clone());
        Writer { kv, lease, watch: WatchClient::new(channel) }
    }

    /// Puts a key; returns the revision.
    pub async fn put(&mut self, key: &str, value: impl Into<Vec<u8>>) -> i64 {
        self.put_with(key, value, 0).await
    }

    /// Puts a key with a lease; returns the revision.
    pub async fn put_with(&mut self, key: &str, value: impl Into<Vec<u8>>, lease: i64) -> i64 {
        let request = proto::PutRequest { key: key.into(), value: value.into(), lease };
        self.kv.put(request).await.unwrap().into_inner().header.unwrap().revision
    }

    /// Grants a lease of so many seconds.
    pub async fn grant(&mut self, seconds: i64) -> i64 {
        let request = proto::LeaseGrantRequest { ttl: seconds, id: 0 };
        self.lease.lease_grant(request).await.unwrap().into_inner().id
    }

    pub async fn revoke(&mut self, lease: i64) {
        self.lease.lease_revoke(proto::LeaseRevokeRequest { id: lease }).await.unwrap();
    }

    /// Deletes a key; returns the revision.
    pub async fn delete(&mut self, key: &str) -> i64 {
        let request = proto::DeleteRangeRequest { key: key.into(), range_end: Vec::new() };
        self.kv.delete_range(request).await.unwrap().into_inner().header.unwrap().revision
    }

    /// The newest revision that a watch of the keys which begin with `prefix` has told of.
    pub async fn watch(&mut self, prefix: &str) -> watch::Receiver<i64> {
        let mut range_end = prefix.as_bytes().to_vec();
        *range_end.last_mut().unwrap() += 1;
        let create = proto::WatchCreateRequest { key: prefix.into(), range_end, start_revision: 0 };
        let (requests, outgoing) = tokio::sync::mpsc::channel(1);
        requests.try_send(proto::WatchRequest { create_request: Some(create) }).unwrap();
        let answers = self.watch.watch(ReceiverStream::new(outgoing)).await.unwrap();
        let (told, newest) = watch::channel(0);
        tokio::spawn(async move {
            let (_requests, mut answers) = (requests, answers.into_inner());
            while let Ok(Some(answer)) = answers.message().await {
                told.send_replace(answer.header.unwrap().revision);
            }
        });
        newest
    }

    /// Forgets what changed before `revision`.
    pub async fn compact(&mut self, revision: i64) {
        let request = proto::CompactionRequest { revision, physical: true };
        self.kv.compact(request).await.unwrap();
    }
}
