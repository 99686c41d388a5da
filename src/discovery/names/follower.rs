//! Follows one name.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::super::backoff::Backoff;
use super::super::pace;
use super::Names;
use super::addresses::{Addresses, usable};
use crate::clock::{self, Clock, LogThrottle};
use crate::dns::{Dns, Families, LookupError, Past};

/// The log tells of a name's failures as often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Looks one name up for as long as it is followed.
pub(super) struct NameFollower {
    host: Arc<str>,
    names: Weak<Names>,
    dns: Arc<dyn Dns>,
    clock: Clock,
    rng: fastrand::Rng,
    past: Past,
    addresses: Addresses,
    backoff: Backoff,
    log: LogThrottle,
}

impl NameFollower {
    pub fn new(
        host: &Arc<str>,
        (names, dns): (&Arc<Names>, &Arc<dyn Dns>),
        (clock, rng): (Clock, fastrand::Rng),
    ) -> NameFollower {
        NameFollower {
            host: Arc::clone(host),
            names: Arc::downgrade(names),
            dns: Arc::clone(dns),
            clock,
            rng,
            past: Past::default(),
            addresses: Addresses::default(),
            backoff: Backoff::default(),
            log: LogThrottle::every(LOG_INTERVAL, clock),
        }
    }

    /// Looks it up for ever.
    pub async fn run(&mut self) {
        loop {
            let found = self.dns.addresses(&self.host, &mut self.past).await;
            let Some(names) = self.names.upgrade() else { return };
            let pause = self.take(found, &names);
            drop(names);
            self.clock.sleep_until(self.clock.now() + pause).await;
        }
    }

    /// Takes an answer; returns how long it lasts.
    fn take(&mut self, found: Families, names: &Names) -> Duration {
        let (found, refused) = usable(found);
        self.addresses.take(&found, self.clock.now());
        let all = self.addresses.all();
        let known = (all.len(), self.addresses.missing());
        if !all.is_empty() {
            names.report(&self.host, all);
        }
        let problem = problem(&found, refused);
        self.tell(names, found.any(), known, problem);
        let busy = names.is_busy(&self.host);
        if found.any() {
            self.backoff.reset();
            let hurry = known.1 > 0 || found.error().is_some();
            return pace::after_answer(ttl(&found), hurry, self.rng.f64());
        }
        let backoff = self.backoff.next(busy, self.rng.f64());
        if found.error().is_some() { backoff } else { pace::after_nothing(backoff) }
    }

    /// Keeps the status, and logs what has changed. `up` is whether there was any address.
    fn tell(
        &mut self,
        names: &Names,
        up: bool,
        (known, missing): (usize, usize),
        problem: Option<String>,
    ) {
        let mut was_failing = false;
        names.note(&self.host, |status| {
            was_failing = status.is_failing();
            (status.up, status.endpoints, status.held) = (up, known, missing);
            if up {
                status.last_success = Some(clock::wall());
            }
            if let Some(problem) = &problem {
                status.errors += 1;
                status.last_error = Some((clock::wall(), problem.as_str().into()));
            }
        });
        let name = &*self.host;
        if up && was_failing {
            tracing::info!(name, addresses = known, "the name is found again");
        }
        if let Some(problem) = problem
            && self.log.is_due()
        {
            tracing::warn!(
                name,
                problem,
                known,
                "a look-up has failed: addresses that are known stay"
            );
        }
    }
}

/// What is wrong with an answer, if something is.
fn problem(found: &Families, refused: Option<IpAddr>) -> Option<String> {
    if let Some(refused) = refused {
        return Some(format!("{refused} is the address of no single host"));
    }
    let family = match (&found.v4, &found.v6) {
        (Ok(_), Ok(_)) if found.any() => return None,
        (Ok(_), Ok(_)) => return Some(LookupError::Unknown.to_string()),
        (Err(_), Ok(_)) => "IPv4: ",
        (Ok(_), Err(_)) => "IPv6: ",
        (Err(_), Err(_)) => "",
    };
    found.error().map(|error| format!("{family}{error}"))
}

/// The least TTL of the families that have addresses.
fn ttl(found: &Families) -> Duration {
    let with_some = found.each().into_iter().flatten().filter(|family| !family.records.is_empty());
    with_some.map(|family| family.ttl).min().unwrap_or_default()
}
