//! What look-ups find.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;

use super::LookupError;

/// The addresses of a name, of at least one.
#[derive(Clone, Debug)]
pub struct Found {
    /// The addresses.
    pub addresses: Arc<[IpAddr]>,
    /// Their TTL.
    pub ttl: Duration,
}

/// Records of one type that a name has; none is an answer too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records<T> {
    /// The records.
    pub records: Vec<T>,
    /// The least TTL of them; zero if there are none.
    pub ttl: Duration,
}

impl<T> Default for Records<T> {
    fn default() -> Records<T> {
        Records { records: Vec::new(), ttl: Duration::ZERO }
    }
}

/// The addresses of a name by family: one may fail while the other is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4 addresses.
    pub v4: Result<Records<IpAddr>, LookupError>,
    /// IPv6 addresses.
    pub v6: Result<Records<IpAddr>, LookupError>,
}

impl Families {
    /// Both failed.
    pub fn failed(error: &LookupError) -> Families {
        Families { v4: Err(error.clone()), v6: Err(error.clone()) }
    }

    /// Both.
    pub fn each(&self) -> [&Result<Records<IpAddr>, LookupError>; 2] {
        [&self.v4, &self.v6]
    }

    /// Whether there is any address.
    pub fn any(&self) -> bool {
        self.each().into_iter().flatten().any(|found| !found.records.is_empty())
    }

    /// Why a family is not known, if one is not.
    pub fn error(&self) -> Option<&LookupError> {
        self.each().into_iter().find_map(|family| family.as_ref().err())
    }
}

/// A host that offers a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower is used first.
    pub priority: u16,
    /// Its share among those of one priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its name without the dot at the end; empty if the service is not offered.
    pub target: String,
}

/// The answer's records that `pick` takes. That there are none is an answer, and no error.
pub(super) fn records<T>(
    answer: Result<Lookup, NetError>,
    pick: impl Fn(&RData) -> Option<T>,
) -> Result<Records<T>, LookupError> {
    let lookup = match answer {
        Ok(lookup) => lookup,
        Err(error) if is_negative(&error) => return Ok(Records::default()),
        Err(error) => return Err(failed(&error)),
    };
    // Aliases expire too.
    let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    let records = lookup.answers().iter().filter_map(|record| pick(&record.data)).collect();
    Ok(Records { records, ttl: Duration::from_secs(ttl.into()) })
}

pub(super) fn addresses(lookup: &Lookup) -> impl Iterator<Item = IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr())
}

pub(super) fn join(lookups: &[Lookup]) -> Option<Found> {
    let all: Arc<[IpAddr]> = lookups.iter().flat_map(addresses).collect();
    let ttl = lookups.iter().flat_map(|lookup| lookup.answers()).map(|record| record.ttl).min();
    let ttl = Duration::from_secs(ttl.unwrap_or_default().into());
    (!all.is_empty()).then_some(Found { addresses: all, ttl })
}

/// Whether the servers say that there is no such name or record.
fn is_negative(error: &NetError) -> bool {
    let NetError::Dns(DnsError::NoRecordsFound(none)) = error else { return false };
    matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError)
}

pub(super) fn failed(error: &NetError) -> LookupError {
    match error {
        NetError::Timeout => LookupError::Silent,
        _ => LookupError::Failed(error.to_string().into()),
    }
}
