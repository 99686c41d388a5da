//! Name servers, and what is asked of them.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::rdata::{CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::timeout;

use super::answer::{addresses, failed, join, records};
use super::search::candidates;
use super::transport::{FirstPart, Transport};
use super::{Families, Found, LookupError, Records, Srv};

/// Resolution Delay: how long one family's answer waits for the other's (RFC 8305, section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// The same where all addresses are wanted, and nobody waits. Less than what a look-up may take to be a
/// quick one.
const OTHER_FAMILY_DELAY: Duration = Duration::from_millis(300);

/// Aliases of a service that are followed.
const MAX_ALIASES: usize = 4;

/// The name servers.
#[derive(Debug)]
pub(super) struct Servers {
    resolver: Resolver<Transport>,
    config: ResolverConfig,
    ndots: usize,
}

type Family = Result<Records<IpAddr>, LookupError>;

type Answer = Result<Lookup, NetError>;

impl Servers {
    pub fn new(
        config: ResolverConfig,
        mut options: ResolverOpts,
        first_part: FirstPart,
    ) -> Result<Servers, NetError> {
        options.cache_size = 0; // whoever asks caches
        options.edns0 = true; // packets of 1,232 bytes; without, they end at 512
        let ndots = options.ndots;
        let builder = Resolver::builder_with_config(config.clone(), Transport::new(first_part));
        Ok(Servers { resolver: builder.with_options(options).build()?, config, ndots })
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.config.name_servers().len()
    }

    /// Addresses of a name: of both families, if they come soon.
    pub async fn any(&self, name: Name) -> Result<Found, LookupError> {
        let four = self.resolver.lookup(name.clone(), RecordType::A);
        let six = self.resolver.lookup(name, RecordType::AAAA);
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

    /// All addresses of a name, or of the first name that it may stand for which has any.
    pub async fn families(&self, name: &Name, known: &mut Option<Name>) -> Families {
        let mut failure = None;
        for candidate in candidates(name, &self.config, self.ndots) {
            let families = self.both(&candidate).await;
            let fails = families.error().is_some();
            if families.any() {
                *known = Some(candidate);
                return families;
            }
            // Whether the name that had addresses has some now is not known: others stand for others.
            if fails && known.as_ref() == Some(&candidate) {
                return families;
            }
            failure = failure.or(fails.then_some(families));
        }
        failure.unwrap_or(Families { v4: Ok(Records::default()), v6: Ok(Records::default()) })
    }

    async fn both(&self, name: &Name) -> Families {
        let mut v4 = pin!(self.family(name, RecordType::A));
        let mut v6 = pin!(self.family(name, RecordType::AAAA));
        tokio::select! {
            first = &mut v4 => Families { v6: other_family(&first, v6).await, v4: first },
            first = &mut v6 => Families { v4: other_family(&first, v4).await, v6: first },
        }
    }

    async fn family(&self, name: &Name, kind: RecordType) -> Family {
        records(self.resolver.lookup(name.clone(), kind).await, RData::ip_addr)
    }

    /// The hosts of a service, or of the first one that the name may stand for which has any.
    pub async fn services(
        &self,
        name: &Name,
        known: &mut Option<Name>,
    ) -> Result<Records<Srv>, LookupError> {
        let mut failure = None;
        for candidate in candidates(name, &self.config, self.ndots) {
            match self.hosts_of(candidate.clone()).await {
                Ok(found) if found.records.is_empty() => {}
                Ok(found) => {
                    *known = Some(candidate);
                    return Ok(found);
                }
                Err(error) if known.as_ref() == Some(&candidate) => return Err(error),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(Records::default()), Err)
    }

    async fn hosts_of(&self, mut name: Name) -> Result<Records<Srv>, LookupError> {
        let mut ttl = Duration::MAX;
        for _ in 0..=MAX_ALIASES {
            let found = self.resolver.lookup(name.clone(), RecordType::SRV).await;
            let found = records(found, |data| match data {
                RData::SRV(srv) => Some(host(srv)),
                _ => None,
            })?;
            if !found.records.is_empty() {
                return Ok(Records { ttl: found.ttl.min(ttl), ..found });
            }
            // hickory takes the host of an SRV record for an alias, and finds nothing behind a real one.
            let alias = self.resolver.lookup(name, RecordType::CNAME).await;
            let mut alias = records(alias, |data| match data {
                RData::CNAME(CNAME(name)) => Some(name.clone()),
                _ => None,
            })?;
            let Some(next) = alias.records.pop() else { return Ok(found) };
            (name, ttl) = (next, alias.ttl.min(ttl));
        }
        Err(LookupError::Failed(format!("more than {MAX_ALIASES} aliases").into()))
    }
}

fn host(srv: &SRV) -> Srv {
    let SRV { priority, weight, port, target, .. } = srv;
    let target = target.to_ascii().trim_end_matches('.').to_owned();
    Srv { priority: *priority, weight: *weight, port: *port, target }
}

/// Waits for the other family: longer if it is needed.
async fn other_family(first: &Family, other: impl Future<Output = Family>) -> Family {
    match first {
        Ok(found) if !found.records.is_empty() => {
            timeout(OTHER_FAMILY_DELAY, other).await.unwrap_or(Err(LookupError::Silent))
        }
        _ => other.await,
    }
}

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

#[cfg(test)]
mod tests;
