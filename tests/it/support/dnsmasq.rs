//! A real name server: dnsmasq, for names under `test.`.

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpListener;

use super::eventually;

/// A dnsmasq that ends with this.
pub struct Dnsmasq {
    pub address: SocketAddr,
    folder: TempDir,
    process: Child,
}

impl Dnsmasq {
    /// Starts one that has these hosts, in lines as in `/etc/hosts`, and these lines of configuration.
    pub async fn start(hosts: &str, settings: &str) -> Dnsmasq {
        let folder = tempfile::tempdir().unwrap();
        let address = free_port().await;
        let process = run(&folder, address, hosts, settings);
        let mut server = Dnsmasq { address, folder, process };
        server.is_up().await;
        server
    }

    /// Changes the hosts while it runs.
    pub fn set_hosts(&self, hosts: &str) {
        std::fs::write(self.folder.path().join("hosts"), hosts).unwrap();
        let signal = Command::new("kill").args(["-HUP", &self.process.id().to_string()]).status();
        assert!(signal.unwrap().success());
    }

    /// Starts it anew with other hosts and settings.
    pub async fn restart(&mut self, hosts: &str, settings: &str) {
        self.stop();
        self.process = run(&self.folder, self.address, hosts, settings);
        self.is_up().await;
    }

    /// Ends it.
    pub fn stop(&mut self) {
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }

    /// The resolver configuration that uses this server.
    pub fn yaml(&self) -> String {
        format!("dns: {{ servers: [ \"{}\" ] }}\n", self.address)
    }

    async fn is_up(&mut self) {
        let address = self.address;
        eventually("dnsmasq answers", async || {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "dnsmasq has ended: {ended:?}");
            std::net::TcpStream::connect(address).is_ok()
        })
        .await;
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(folder: &TempDir, address: SocketAddr, hosts: &str, settings: &str) -> Child {
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("hosts"), hosts).unwrap();
    let mut configuration = format!(
        "port={}\nlisten-address={}\nbind-interfaces\nno-resolv\nno-hosts\nlocal=/test/\nlocal-ttl=1\n\
         addn-hosts={}\npid-file={}\nlog-facility={}\nuser=root\n",
        address.port(),
        address.ip(),
        at("hosts"),
        at("pid"),
        at("log"),
    );
    let _ = writeln!(configuration, "{settings}");
    std::fs::write(at("conf"), configuration).unwrap();
    Command::new("dnsmasq")
        .args(["--keep-in-foreground", &format!("--conf-file={}", at("conf"))])
        .env("PATH", path())
        .stdin(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("dnsmasq: {error}; `tests/harness/debian dnsmasq-base`"))
}

/// Daemons are not in the path of everybody.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// A port that is free for UDP and TCP.
async fn free_port() -> SocketAddr {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}
