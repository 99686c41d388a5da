//! Backends from DNS: names whose addresses are followed, and services whose hosts SRV records tell
//! (RFC 2782).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::fading::Fading;
use super::{Discovered, Feed, Running, Settings, Source, SourceError, pace};
use crate::dns::{LookupError, Past, Records, Srv};
use crate::model::Time;

/// How much more a host of weight 1 gets than one of weight 0, if there are both: 0 is for those that are to
/// be used rarely.
const RARELY: u32 = 10;

/// Settings of names and services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Names with ports.
    pub names: Vec<String>,
    /// Names of services, such as `_grpc._tcp.orders.example`.
    pub srv: Vec<String>,
}

impl Settings for DnsSettings {
    fn kind(&self) -> &'static str {
        "dns"
    }

    fn place(&self) -> String {
        let all: Vec<&str> = self.names.iter().chain(&self.srv).map(String::as_str).collect();
        all.join(", ")
    }

    fn identity(&self) -> String {
        format!("{self:?}")
    }

    fn source(&self, seed: u64) -> Box<dyn Source> {
        let services = self.srv.iter().map(|name| Service::new(name)).collect();
        let rng = fastrand::Rng::with_seed(seed);
        Box::new(DnsSource { names: self.names.clone(), services, rng, published: None })
    }
}

/// Names, and what is known of services: it outlives failures.
struct DnsSource {
    names: Vec<String>,
    services: Vec<Service>,
    rng: fastrand::Rng,
    published: Option<Vec<Discovered>>,
}

/// A service and its hosts, with their weights.
struct Service {
    name: Arc<str>,
    past: Past,
    answered: bool,
    hosts: Fading<(String, u16), u32>,
}

impl Source for DnsSource {
    fn run<'a>(&'a mut self, feed: &'a Feed) -> Running<'a> {
        Box::pin(async move {
            if self.services.is_empty() {
                let set = self.set(feed).await;
                feed.publish(set).await;
                return std::future::pending().await; // names are followed wherever they come from
            }
            loop {
                match self.look_up(feed).await {
                    Ok(pause) => feed.clock().sleep_until(feed.clock().now() + pause).await,
                    Err(error) => return error,
                }
            }
        })
    }
}

impl DnsSource {
    /// Looks up all services and tells of them, whatever fails; returns how long the answers last.
    async fn look_up(&mut self, feed: &Feed) -> Result<Duration, SourceError> {
        let mut look_ups = JoinSet::new();
        for (index, service) in self.services.iter().enumerate() {
            let (dns, name) = (Arc::clone(feed.dns()), Arc::clone(&service.name));
            let mut past = service.past.clone();
            look_ups.spawn(async move {
                let found = dns.hosts(&name, &mut past).await;
                (index, past, found)
            });
        }
        let (mut ttl, mut failures) = (Duration::MAX, Vec::new());
        while let Some(ended) = look_ups.join_next().await {
            let (index, past, found) = match ended {
                Ok(ended) => ended,
                Err(error) => {
                    failures.push(format!("a look-up broke off: {error}"));
                    continue;
                }
            };
            let Some(service) = self.services.get_mut(index) else { continue };
            service.past = past;
            match found {
                Ok(found) => {
                    ttl = ttl.min(found.ttl);
                    service.take(&found, feed).await;
                }
                Err(error) => failures.push(format!("looking up {}: {error}", service.name)),
            }
        }
        self.tell(feed, failures.is_empty()).await;
        if !failures.is_empty() {
            failures.sort();
            return Err(SourceError(failures.join("; ")));
        }
        let missing = self.services.iter().any(|service| service.hosts.missing() > 0);
        Ok(pace::after_answer(ttl, missing, self.rng.f64()))
    }

    async fn tell(&mut self, feed: &Feed, all_answered: bool) {
        if self.names.is_empty() && !self.services.iter().any(|service| service.answered) {
            return; // nothing is known yet: that is not the same as none
        }
        let set = self.set(feed).await;
        if self.published.as_ref() != Some(&set) {
            self.published = Some(set.clone());
            feed.publish(set).await;
        } else if all_answered {
            feed.confirm().await;
        }
    }

    /// The names and all hosts, those that get requests first: of several at one address the first counts.
    async fn set(&self, feed: &Feed) -> Vec<Discovered> {
        let mut set = Vec::new();
        for name in &self.names {
            match Discovered::at(name) {
                Ok(backend) => set.push(backend),
                Err(reason) => feed.reject(name, &reason).await,
            }
        }
        for ((target, port), weight) in
            self.services.iter().flat_map(|service| service.hosts.iter())
        {
            let address = format!("{target}:{port}");
            match Discovered::at(&address) {
                Ok(backend) => set.push(backend.with_weight(*weight)),
                Err(reason) => feed.reject(&address, &reason).await,
            }
        }
        set.sort_by_key(|backend| !backend.serves());
        set
    }
}

impl Service {
    fn new(name: &str) -> Service {
        let (past, hosts) = (Past::default(), Fading::default());
        Service { name: name.into(), past, answered: false, hosts }
    }

    async fn take(&mut self, found: &Records<Srv>, feed: &Feed) {
        if found.records.is_empty() {
            feed.reject(&self.name, &LookupError::Unknown.to_string()).await;
        }
        self.answered = true;
        self.take_records(&found.records, feed.clock().now());
    }

    fn take_records(&mut self, records: &[Srv], now: Time) {
        match records {
            // It is said that there are none.
            [only] if only.target.is_empty() => self.hosts.clear(),
            _ => drop(self.hosts.take(weights(records), now)),
        }
    }
}

/// The hosts with their weights. Those of another than the lowest priority get none: they are there for
/// operators to use.
fn weights(records: &[Srv]) -> BTreeMap<(String, u16), u32> {
    let hosts = || records.iter().filter(|srv| !srv.target.is_empty());
    let lowest = hosts().map(|srv| srv.priority).min();
    let first = || hosts().filter(|srv| Some(srv.priority) == lowest);
    let (zero, positive) = (first().any(|srv| srv.weight == 0), first().any(|srv| srv.weight > 0));
    let factor = if zero && positive { RARELY } else { 1 };
    let mut weights = BTreeMap::new();
    for srv in hosts() {
        let weight = match Some(srv.priority) == lowest {
            true => (u32::from(srv.weight) * factor).max(1),
            false => 0,
        };
        let known: &mut u32 =
            weights.entry((srv.target.to_ascii_lowercase(), srv.port)).or_default();
        *known = weight.max(*known);
    }
    weights
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::sync::watch;
    use tokio::time::{sleep, timeout};

    use super::super::follower::{Follower, Outlet};
    use super::super::names::tests::ScriptedDns;
    use super::super::{Discover, DiscoveredSet, SourceStatus};
    use super::*;
    use crate::clock::Clock;
    use crate::dns::Dns;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 80, target: target.into() }
    }

    fn weighted(records: &[Srv]) -> Vec<(String, u32)> {
        weights(records).into_iter().map(|((target, _), weight)| (target, weight)).collect()
    }

    fn known(service: &Service) -> Vec<&str> {
        service.hosts.iter().map(|((target, _), _)| target.as_str()).collect()
    }

    #[test]
    fn weights_are_shares_within_the_lowest_priority() {
        let of = |text: &str, weight| (text.to_owned(), weight);
        let hosts = [srv(10, 3, "a"), srv(10, 1, "B"), srv(20, 9, "c")];
        assert_eq!(weighted(&hosts), [of("a", 3), of("b", 1), of("c", 0)]);
        let hosts = [srv(10, 0, "a"), srv(10, 0, "b")];
        assert_eq!(weighted(&hosts), [of("a", 1), of("b", 1)], "all alike");
        let hosts = [srv(10, 0, "a"), srv(10, 5, "b"), srv(20, 0, "c")];
        assert_eq!(weighted(&hosts), [of("a", 1), of("b", 50), of("c", 0)], "0 is rarely");
        let hosts = [srv(10, u16::MAX, "a"), srv(10, 0, "b")];
        assert_eq!(weighted(&hosts), [of("a", 655_350), of("b", 1)], "no more than is allowed");
        let hosts = [srv(20, 1, "a"), srv(10, 2, "a"), srv(10, 9, "")];
        assert_eq!(weighted(&hosts), [of("a", 2)], "its best");
        assert_eq!(weighted(&[]), []);
    }

    /// A service that is discovered, in virtual time.
    struct Followed {
        sets: watch::Receiver<Option<DiscoveredSet>>,
        status: watch::Receiver<SourceStatus>,
    }

    impl Followed {
        fn start(dns: &Arc<ScriptedDns>, names: &[&str], srv: &[&str]) -> Followed {
            let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
            let discover = Arc::new(Discover {
                source: Arc::new(DnsSettings { names: texts(names), srv: texts(srv) }),
                keep_empty_for: Discover::KEEP_EMPTY_FOR,
                allow_empty: false,
                initial_timeout: Discover::INITIAL_TIMEOUT,
            });
            let ((sets, sets_out), (status, status_out)) =
                (watch::channel(None), watch::channel(SourceStatus::default()));
            let dns = Arc::clone(dns) as Arc<dyn Dns>;
            let given = (Clock::start(), fastrand::Rng::with_seed(7), &dns);
            let busy = Arc::<AtomicBool>::default();
            let outlet = Outlet { sets, status };
            let mut follower = Follower::new("orders", &discover, outlet, &busy, given);
            tokio::spawn(async move { follower.run().await });
            Followed { sets: sets_out, status: status_out }
        }

        fn told(&self) -> String {
            let Some(set) = self.sets.borrow().clone() else { return "nothing".into() };
            let text = |it: &Arc<Discovered>| match it.weight {
                Some(weight) => format!("{}={weight}", it.address),
                None => it.address.to_string(),
            };
            set.iter().map(text).collect::<Vec<_>>().join(" ")
        }

        /// What is told after the next change, within two minutes.
        async fn change(&mut self) -> String {
            self.sets.mark_unchanged();
            timeout(Duration::from_secs(120), self.sets.changed()).await.unwrap().unwrap();
            self.told()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn services_and_names_are_united() {
        let dns = Arc::<ScriptedDns>::default();
        dns.set_hosts(
            "_a._tcp.x",
            Ok(vec![srv(1, 2, "one"), srv(1, 1, "two"), srv(2, 1, "three")]),
        );
        dns.set_hosts("_b._tcp.x", Ok(vec![srv(7, 7, "three"), srv(7, 1, "0.0.0.0")]));
        let mut source = Followed::start(&dns, &["named:1"], &["_a._tcp.x", "_b._tcp.x"]);
        assert_eq!(source.change().await, "named:1 one:80=2 two:80=1 three:80=7");
        let status = source.status.borrow().clone();
        assert!(status.up && status.last_error.unwrap().1.starts_with("0.0.0.0:80: "));
        dns.set_hosts("_a._tcp.x", Ok(vec![srv(1, 2, "one"), srv(1, 1, "four")]));
        assert_eq!(source.change().await, "named:1 four:80=1 one:80=2 two:80=1 three:80=7");
        assert_eq!(source.change().await, "named:1 four:80=1 one:80=2 three:80=7");
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_removes_nobody_and_nothing_is_not_none() {
        let dns = Arc::<ScriptedDns>::default();
        let silent = || Err(LookupError::Silent);
        dns.set_hosts("_a._tcp.x", silent());
        dns.set_hosts("_b._tcp.x", silent());
        let mut source = Followed::start(&dns, &[], &["_a._tcp.x", "_b._tcp.x"]);
        sleep(Duration::from_secs(600)).await;
        assert_eq!((source.told(), source.status.borrow().up), ("nothing".into(), false));
        dns.set_hosts("_b._tcp.x", Ok(vec![srv(1, 1, "one")]));
        assert_eq!(source.change().await, "one:80=1", "the other may fail");
        let error = source.status.borrow().last_error.clone().unwrap().1;
        assert_eq!(&*error, "looking up _a._tcp.x: the name servers do not answer");
        dns.set_hosts("_a._tcp.x", Ok(vec![srv(1, 1, "two")]));
        assert_eq!(source.change().await, "two:80=1 one:80=1");
        sleep(Duration::from_secs(20)).await;
        assert!(source.status.borrow().up);
        for name in ["_a._tcp.x", "_b._tcp.x"] {
            dns.set_hosts(name, silent());
        }
        sleep(Duration::from_secs(3600)).await;
        assert_eq!((source.told(), source.status.borrow().up), ("two:80=1 one:80=1".into(), false));
        // No records are an answer, of which the guard of all sources takes care too.
        for name in ["_a._tcp.x", "_b._tcp.x"] {
            dns.set_hosts(name, Ok(vec![]));
        }
        sleep(Duration::from_secs(55)).await;
        assert_eq!(source.told(), "two:80=1 one:80=1");
        sleep(Duration::from_secs(90)).await;
        assert_eq!(source.told(), "");
        assert!(source.status.borrow().last_error.clone().unwrap().1.contains("unknown"));
    }

    #[tokio::test(start_paused = true)]
    async fn names_need_no_look_up_of_the_source() {
        let dns = Arc::<ScriptedDns>::default();
        let mut source = Followed::start(&dns, &["a:1", "b:2", "a:1"], &[]);
        assert_eq!(source.change().await, "a:1 b:2");
        assert!(source.status.borrow().up);
    }

    #[test]
    fn hosts_fade_unless_it_is_said_that_there_are_none() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut service = Service::new("_grpc._tcp.orders");
        service.take_records(&[srv(1, 1, "a"), srv(1, 1, "b")], at(0));
        service.take_records(&[srv(1, 1, "b")], at(10));
        assert_eq!(known(&service), ["a", "b"]);
        service.take_records(&[srv(1, 1, "b")], at(20));
        service.take_records(&[], at(40));
        assert_eq!(known(&service), ["b"]);
        service.take_records(&[srv(2, 1, "c")], at(50));
        let all: Vec<_> = service.hosts.iter().map(|(_, weight)| *weight).collect();
        assert_eq!(all, [1, 1], "what answers lack keeps its weight");
        service.take_records(&[srv(0, 0, "")], at(51));
        assert_eq!(known(&service), <[&str; 0]>::default());
    }
}
