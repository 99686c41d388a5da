//! The addresses of a name, from all answers so far.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::dns::{Families, Records};
use crate::model::Time;

use super::super::fading::Fading;
use super::super::set::is_one_host;

/// The addresses of a name by family. Once there is one, there always is.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    v4: Fading<IpAddr>,
    v6: Fading<IpAddr>,
}

impl Addresses {
    /// Takes the families that were answered; the other stays as it is. An answer without any address takes
    /// none away.
    pub fn take(&mut self, found: &Families, now: Time) {
        if !found.any() {
            return;
        }
        for (known, answer) in [(&mut self.v4, &found.v4), (&mut self.v6, &found.v6)] {
            if let Ok(answer) = answer {
                known.take(answer.records.iter().map(|ip| (*ip, ())), now);
            }
        }
    }

    /// All of them, sorted.
    pub fn all(&self) -> Arc<[IpAddr]> {
        let all: BTreeSet<IpAddr> =
            self.v4.iter().chain(self.v6.iter()).map(|(ip, ())| *ip).collect();
        all.into_iter().collect()
    }

    /// How many of them the last answers lacked.
    pub fn missing(&self) -> usize {
        self.v4.missing() + self.v6.missing()
    }
}

/// The answer without addresses at which no backend can be, and the first of those.
pub(super) fn usable(found: Families) -> (Families, Option<IpAddr>) {
    let mut refused = None;
    let mut family = |records: Records<IpAddr>| {
        let canonical = records.records.into_iter().map(|ip| ip.to_canonical());
        let good = canonical.filter(|ip| {
            let good = is_one_host(*ip);
            refused = refused.or((!good).then_some(*ip));
            good
        });
        Records { records: good.collect(), ttl: records.ttl }
    };
    let families = Families { v4: found.v4.map(&mut family), v6: found.v6.map(&mut family) };
    (families, refused)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dns::LookupError;

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|ip| ip.parse().unwrap()).collect()
    }

    fn family(text: &str) -> Result<Records<IpAddr>, LookupError> {
        match text {
            "SERVFAIL" => Err(LookupError::Failed("error response: Server Failure".into())),
            "time-out" => Err(LookupError::Silent),
            _ => Ok(Records { records: ips(text), ttl: Duration::from_secs(5) }),
        }
    }

    /// Takes the same answer once a minute, ten times; the addresses then.
    fn after(addresses: &mut Addresses, minute: &mut u64, v4: &str, v6: &str) -> String {
        for _ in 0..10 {
            *minute += 1;
            let found = Families { v4: family(v4), v6: family(v6) };
            addresses.take(&found, Time::ZERO + Duration::from_secs(60 * *minute));
        }
        addresses.all().iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_fails_takes_nothing_away() {
        let (mut addresses, mut minute) = (Addresses::default(), 0);
        let mut after = |v4, v6| after(&mut addresses, &mut minute, v4, v6);
        assert_eq!(after("", ""), "");
        assert_eq!(after("10.0.0.1 10.0.0.2", "fd00::1"), "10.0.0.1 10.0.0.2 fd00::1");
        let all = "10.0.0.1 10.0.0.2 fd00::1";
        for failure in ["SERVFAIL", "time-out"] {
            assert_eq!(after(failure, "fd00::1"), all);
            assert_eq!(after("10.0.0.1 10.0.0.2", failure), all);
            assert_eq!(after(failure, failure), all);
        }
        assert_eq!(after("time-out", "fd00::2"), "10.0.0.1 10.0.0.2 fd00::2");
        assert_eq!(after("10.0.0.3", "SERVFAIL"), "10.0.0.3 fd00::2");
        assert_eq!(after("10.0.0.3", ""), "10.0.0.3", "no data of one family is an answer");
        assert_eq!(after("", ""), "10.0.0.3", "none at all takes none away");
        assert_eq!(after("SERVFAIL", ""), "10.0.0.3");
        assert_eq!(after("", "fd00::3"), "fd00::3");
    }

    #[test]
    fn addresses_of_no_host_are_left_out() {
        let found =
            Families { v4: family("0.0.0.0 10.0.0.1"), v6: family("::ffff:10.0.0.1 ff02::1 ::") };
        let (found, refused) = usable(found);
        assert_eq!(refused, Some("0.0.0.0".parse().unwrap()));
        let mut addresses = Addresses::default();
        addresses.take(&found, Time::ZERO);
        assert_eq!(*addresses.all(), *ips("10.0.0.1"));
    }
}
