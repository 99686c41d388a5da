//! System configuration: `/etc/hosts`, then the name servers of `/etc/resolv.conf`, both reloaded on
//! change.

use std::cell::RefCell;
use std::fs::File;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, Resolver};
use tokio::time::{Instant, timeout};

use super::transport::Transport;
use super::{Found, LookUp, LookupError};

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Minimum interval between checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Resolution Delay: how long one family's answer waits for the other's (RFC 8305, section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// The C library's default name server.
const LOCAL_SERVER: &str = "\nnameserver 127.0.0.1\n";

/// Modification time and length of a file.
type FileStamp = Option<(SystemTime, u64)>;

/// The system's resolver configuration.
pub struct System {
    /// Overrides the servers of `/etc/resolv.conf` if not empty.
    servers: Vec<SocketAddr>,
    current: RefCell<Option<Current>>,
}

struct Current {
    looked_at: Instant,
    stamps: [FileStamp; 2],
    names: Rc<Names>,
}

/// The parsed files.
struct Names {
    hosts: Hosts,
    servers: Resolver<Transport>,
}

impl System {
    pub fn new(servers: Vec<SocketAddr>) -> System {
        System { servers, current: RefCell::default() }
    }

    fn names(&self) -> Result<Rc<Names>, NetError> {
        let now = Instant::now();
        let mut current = self.current.borrow_mut();
        if let Some(current) = &*current
            && now - current.looked_at < CHECK_INTERVAL
        {
            return Ok(Rc::clone(&current.names));
        }
        let stamps = [HOSTS, RESOLV_CONF].map(stamp);
        let same = current.take().filter(|current| current.stamps == stamps);
        let names = match same {
            Some(Current { names, .. }) => names,
            None => Rc::new(Names::read(&self.servers)?),
        };
        *current = Some(Current { looked_at: now, stamps, names: Rc::clone(&names) });
        Ok(names)
    }
}

impl LookUp for System {
    fn known(&self, name: &str) -> Option<Found> {
        self.names().ok()?.hosts(&Name::from_str(name).ok()?)
    }

    async fn look_up(self: Rc<Self>, name: Arc<str>) -> Result<Found, LookupError> {
        let names = self.names().map_err(|error| failed(&error))?;
        names.ask(Name::from_str(&name).map_err(|_| LookupError::Unknown)?).await
    }
}

fn stamp(path: &str) -> FileStamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

impl Names {
    fn read(servers: &[SocketAddr]) -> Result<Names, NetError> {
        let mut hosts = Hosts::default();
        if let Err(error) = File::open(HOSTS).and_then(|file| hosts.read_hosts_conf(file)) {
            tracing::debug!(%error, "no {HOSTS}");
        }
        let (config, mut options) = resolv_conf()?;
        options.cache_size = 0; // answers are cached above
        options.edns0 = true; // packets of 1,232 bytes; without, they end at 512
        let config = override_servers(config, servers);
        let builder = Resolver::builder_with_config(config, Transport::default());
        Ok(Names { hosts, servers: builder.with_options(options).build()? })
    }

    fn hosts(&self, name: &Name) -> Option<Found> {
        let of = |kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let found: Vec<Lookup> =
            [RecordType::AAAA, RecordType::A].into_iter().filter_map(of).collect();
        join(&found)
    }

    async fn ask(&self, name: Name) -> Result<Found, LookupError> {
        let four = self.servers.lookup(name.clone(), RecordType::A);
        let six = self.servers.lookup(name, RecordType::AAAA);
        tokio::pin!(four, six);
        let (first, second) = tokio::select! {
            first = &mut four => with_other(first, six).await,
            first = &mut six => with_other(first, four).await,
        };
        let mut errors = Vec::new();
        let results = [Some(first), second].into_iter().flatten();
        let found: Vec<Lookup> =
            results.filter_map(|result| result.map_err(|error| errors.push(error)).ok()).collect();
        let unknown = || {
            let error = errors.iter().find(|error| !error.is_no_records_found());
            error.map_or(LookupError::Unknown, failed)
        };
        join(&found).ok_or_else(unknown)
    }
}

type Answer = Result<Lookup, NetError>;

/// Adds the other address family's answer, if it arrives soon or is needed.
async fn with_other(
    first: Answer,
    other: impl Future<Output = Answer>,
) -> (Answer, Option<Answer>) {
    let enough = first.as_ref().is_ok_and(|lookup| addresses(lookup).next().is_some());
    let other = match enough {
        true => timeout(RESOLUTION_DELAY, other).await.ok(),
        false => Some(other.await),
    };
    (first, other)
}

fn addresses(lookup: &Lookup) -> impl Iterator<Item = IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr())
}

fn join(lookups: &[Lookup]) -> Option<Found> {
    let all: Arc<[IpAddr]> = lookups.iter().flat_map(addresses).collect();
    let ttl = lookups.iter().flat_map(|lookup| lookup.answers()).map(|record| record.ttl).min();
    let ttl = Duration::from_secs(ttl.unwrap_or_default().into());
    (!all.is_empty()).then_some(Found { addresses: all, ttl })
}

fn failed(error: &NetError) -> LookupError {
    match error {
        NetError::Timeout => LookupError::Silent,
        _ => LookupError::Failed(error.to_string().into()),
    }
}

fn resolv_conf() -> Result<(ResolverConfig, ResolverOpts), NetError> {
    let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
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
