//! System configuration: `/etc/hosts`, then the name servers of `/etc/resolv.conf`, both reloaded on
//! change.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use hickory_resolver::Hosts;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::time::Instant;

use super::answer::{addresses, failed, join};
use super::servers::Servers;
use super::transport::FirstPart;
use super::{Families, Found, LookupError, Records, Srv};

/// Hosts, then name servers.
const FILES: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];

/// Minimum interval between checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The C library's default name server.
const LOCAL_SERVER: &str = "\nnameserver 127.0.0.1\n";

/// Modification time and length of a file.
type FileStamp = Option<(SystemTime, u64)>;

/// The system's resolver configuration. For one runtime.
#[derive(Debug)]
pub struct System {
    /// Overrides the servers of `/etc/resolv.conf` if not empty.
    servers: Vec<SocketAddr>,
    first_part: FirstPart,
    files: [PathBuf; 2],
    current: ArcSwapOption<Current>,
}

#[derive(Debug)]
struct Current {
    looked_at: Instant,
    stamps: [FileStamp; 2],
    names: Arc<Names>,
}

/// The parsed files.
#[derive(Debug)]
struct Names {
    hosts: Hosts,
    servers: Servers,
}

impl System {
    /// With these `servers`, or those of `/etc/resolv.conf` if empty.
    pub fn new(servers: Vec<SocketAddr>, first_part: FirstPart) -> System {
        System::with(FILES.map(PathBuf::from), servers, first_part)
    }

    fn with(files: [PathBuf; 2], servers: Vec<SocketAddr>, first_part: FirstPart) -> System {
        System { servers, first_part, files, current: ArcSwapOption::empty() }
    }

    fn names(&self) -> Result<Arc<Names>, LookupError> {
        let now = Instant::now();
        let current = self.current.load_full();
        if let Some(current) = &current
            && now - current.looked_at < CHECK_INTERVAL
        {
            return Ok(Arc::clone(&current.names));
        }
        let stamps = self.files.each_ref().map(|path| stamp(path));
        let names = match current.filter(|current| current.stamps == stamps) {
            Some(current) => Arc::clone(&current.names),
            None => Arc::new(self.read().map_err(|error| failed(&error))?),
        };
        let current = Current { looked_at: now, stamps, names: Arc::clone(&names) };
        self.current.store(Some(Arc::new(current)));
        Ok(names)
    }

    fn read(&self) -> Result<Names, NetError> {
        let [hosts_file, resolv_conf_file] = &self.files;
        let mut hosts = Hosts::default();
        if let Err(error) = File::open(hosts_file).and_then(|file| hosts.read_hosts_conf(file)) {
            tracing::debug!(%error, "no {}", hosts_file.display());
        }
        let (config, options) = resolv_conf(resolv_conf_file)?;
        let config = override_servers(config, &self.servers);
        Ok(Names { hosts, servers: Servers::new(config, options, self.first_part)? })
    }

    /// The addresses that are known without a network query (`/etc/hosts`).
    pub fn known(&self, name: &str) -> Option<Found> {
        let name = Name::from_str(name).ok()?;
        join(&self.names().ok()?.hosts(&name).into_iter().flatten().collect::<Vec<_>>())
    }

    /// Asks the name servers for addresses, of which those that come soon are enough.
    ///
    /// # Errors
    /// When there are none.
    pub async fn look_up(&self, name: &str) -> Result<Found, LookupError> {
        let names = self.names()?;
        let name = Name::from_str(name).map_err(|_| LookupError::Unknown)?;
        names.servers.any(name).await
    }

    /// All addresses of a name, by `/etc/hosts` or else the name servers. `known` is the whole name that
    /// had some before, and is set to the one that has.
    pub async fn families(&self, name: &str, known: &mut Option<Name>) -> Families {
        let names = match self.names() {
            Ok(names) => names,
            Err(error) => return Families::failed(&error),
        };
        let Ok(name) = Name::from_str(name) else { return Families::failed(&LookupError::Unknown) };
        let [v6, v4] = names.hosts(&name);
        if v4.is_none() && v6.is_none() {
            return names.servers.families(&name, known).await;
        }
        let family = |lookup: Option<Lookup>| {
            let records = lookup.iter().flat_map(addresses).collect();
            Ok(Records { records, ttl: Duration::ZERO }) // the file may change at any time
        };
        Families { v4: family(v4), v6: family(v6) }
    }

    /// The hosts that offer a service, as the name servers say; `known` as of [`System::families`].
    ///
    /// # Errors
    /// When it is not known whether there are any.
    pub async fn services(
        &self,
        name: &str,
        known: &mut Option<Name>,
    ) -> Result<Records<Srv>, LookupError> {
        let names = self.names()?;
        let name = Name::from_str(name).map_err(|_| LookupError::Unknown)?;
        names.servers.services(&name, known).await
    }
}

impl Names {
    /// IPv6, then IPv4.
    fn hosts(&self, name: &Name) -> [Option<Lookup>; 2] {
        let of = |kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        [RecordType::AAAA, RecordType::A].map(of)
    }
}

fn stamp(path: &Path) -> FileStamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn resolv_conf(path: &Path) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let parsed = parse_resolv_conf(&text).or_else(|_| parse_resolv_conf(text + LOCAL_SERVER));
    let (config, options) = parsed.or_else(|_| parse_resolv_conf(LOCAL_SERVER))?;
    let search = config.search().to_vec();
    // The local domain is searched only if the file has no search list.
    let domain = config.domain().filter(|_| search.is_empty()).cloned();
    Ok((ResolverConfig::from_parts(domain, search, config.name_servers().to_vec()), options))
}

/// Replaces the servers of `config`, if there are any.
fn override_servers(config: ResolverConfig, servers: &[SocketAddr]) -> ResolverConfig {
    if servers.is_empty() {
        return config;
    }
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        let at = |mut connection: ConnectionConfig| {
            connection.port = address.port();
            connection
        };
        NameServerConfig::new(address.ip(), true, connections.map(at).to_vec())
    };
    let servers = servers.iter().map(server).collect();
    ResolverConfig::from_parts(config.domain().cloned(), config.search().to_vec(), servers)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn files_are_read_again_when_they_have_changed() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["hosts", "resolv.conf"].map(|name| folder.path().join(name));
        let system = System::with(files.clone(), Vec::new(), FirstPart::Used);
        let known = || system.known("Orders").map(|found| found.addresses.to_vec());
        let servers = || system.names().unwrap().servers.count();
        assert_eq!((known(), servers()), (None, 1), "without files: the local server");
        std::fs::write(&files[0], "10.0.0.1 orders\n").unwrap();
        std::fs::write(&files[1], "nameserver 10.0.0.53\nnameserver 10.0.0.54\n").unwrap();
        assert_eq!((known(), servers()), (None, 1), "files are looked at once a second");
        advance(CHECK_INTERVAL).await;
        assert_eq!((known(), servers()), (Some(vec!["10.0.0.1".parse().unwrap()]), 2));
        std::fs::write(&files[0], "10.0.0.1 orders\nfd00::1 orders\n").unwrap();
        advance(CHECK_INTERVAL).await;
        let found = system.families("orders", &mut None).await;
        assert_eq!(found.each().map(|family| family.as_ref().unwrap().records.len()), [1, 1]);
        assert_eq!(servers(), 2);
    }
}
