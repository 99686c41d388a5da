use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::dns::{Families, LookingUp, LookupError, Past, Records, Srv};

/// Answers of a test, and how often they were asked for.
#[derive(Debug, Default)]
pub struct ScriptedDns {
    addresses: DashMap<String, Families>,
    hosts: DashMap<String, Result<Records<Srv>, LookupError>>,
    asked: DashMap<String, Vec<Instant>>,
}

impl ScriptedDns {
    /// Sets the addresses of a name, of TTL 5 s: both families, separated by spaces.
    pub fn set(&self, name: &str, addresses: &str) {
        let all = addresses.split_whitespace().map(|ip| ip.parse::<IpAddr>().unwrap());
        let (v4, v6) = all.partition(IpAddr::is_ipv4);
        let family = |records| Ok(Records { records, ttl: Duration::from_secs(5) });
        self.addresses.insert(name.into(), Families { v4: family(v4), v6: family(v6) });
    }

    /// Sets the hosts of a service, of TTL 5 s.
    pub fn set_hosts(&self, name: &str, hosts: Result<Vec<Srv>, LookupError>) {
        let ttl = Duration::from_secs(5);
        self.hosts.insert(name.into(), hosts.map(|records| Records { records, ttl }));
    }

    pub fn fail(&self, name: &str) {
        self.addresses.insert(name.into(), Families::failed(&LookupError::Silent));
    }

    /// When it was asked for.
    pub fn asked(&self, name: &str) -> Vec<Instant> {
        self.asked.get(name).map(|asked| asked.clone()).unwrap_or_default()
    }
}

impl Dns for ScriptedDns {
    fn addresses<'a>(&'a self, name: &'a str, _: &'a mut Past) -> LookingUp<'a, Families> {
        self.asked.entry(name.into()).or_default().push(Instant::now());
        Box::pin(async move {
            sleep(Duration::from_millis(10)).await;
            assert_ne!(name, "panics");
            let found = self.addresses.get(name).map(|found| found.clone());
            found.unwrap_or_else(|| Families::failed(&LookupError::Unknown))
        })
    }

    fn hosts<'a>(
        &'a self,
        name: &'a str,
        _: &'a mut Past,
    ) -> LookingUp<'a, Result<Records<Srv>, LookupError>> {
        Box::pin(async move {
            let found = self.hosts.get(name).map(|found| found.clone());
            found.unwrap_or(Err(LookupError::Silent))
        })
    }
}

fn names(dns: &Arc<ScriptedDns>, tasks: &Arc<Tasks>) -> Arc<Names> {
    let (dns, tasks) = (Arc::clone(dns) as Arc<dyn Dns>, Arc::clone(tasks));
    let followers = Followers { runtime: Handle::current(), dns, tasks, seed: 7 };
    Arc::new(Names::new(followers, Clock::start()))
}

fn told(subscription: &NameSubscription) -> String {
    let Some(addresses) = subscription.addresses() else { return "nothing".into() };
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
}

/// What is told after the next change, within a minute.
async fn change(subscriber: &NameSubscriber, subscription: &NameSubscription) -> String {
    timeout(Duration::from_secs(60), subscriber.changed()).await.unwrap();
    told(subscription)
}

/// Whether nothing changes for as long.
async fn is_still(subscriber: &NameSubscriber, seconds: u64) -> bool {
    timeout(Duration::from_secs(seconds), subscriber.changed()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_name_is_followed_once_for_all_who_have_it() {
    let dns = Arc::<ScriptedDns>::default();
    let names = names(&dns, &Arc::default());
    dns.set("orders", "10.0.0.2 10.0.0.1");
    let (one, other) = (NameSubscriber::new(), NameSubscriber::new());
    let first = names.watch("Orders", &one);
    let second = names.watch("orders", &other);
    assert_eq!((told(&first), first.host()), ("nothing".into(), "orders"));
    assert_eq!(change(&one, &first).await, "10.0.0.1 10.0.0.2");
    assert_eq!(change(&other, &second).await, "10.0.0.1 10.0.0.2");
    dns.set("orders", "10.0.0.1 10.0.0.2 10.0.0.3 fd00::1");
    assert_eq!(change(&one, &first).await, "10.0.0.1 10.0.0.2 10.0.0.3 fd00::1");
    let status = second.status();
    assert_eq!((status.up, status.endpoints, status.updates), (true, 4, 2));
    assert!(status.last_success.is_some() && status.last_error.is_none());
    drop(first);
    sleep(Duration::from_secs(20)).await;
    let before = dns.asked("orders").len();
    assert!(before >= 4);
    drop(second);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(dns.asked("orders").len(), before, "nobody wants to know any more");
    assert_eq!(told(&names.watch("orders", &one)), "nothing");
}

#[tokio::test(start_paused = true)]
async fn what_answers_lack_stays_for_a_while_and_what_fails_for_ever() {
    let dns = Arc::<ScriptedDns>::default();
    let names = names(&dns, &Arc::default());
    dns.set("orders", "10.0.0.1 10.0.0.2");
    let subscriber = NameSubscriber::new();
    let orders = names.watch("orders", &subscriber);
    assert_eq!(change(&subscriber, &orders).await, "10.0.0.1 10.0.0.2");
    dns.set("orders", "10.0.0.2");
    let begun = Instant::now();
    assert_eq!(change(&subscriber, &orders).await, "10.0.0.2");
    let took = begun.elapsed().as_secs();
    assert!((30..45).contains(&took), "{took}");
    for nothing in ["", "0.0.0.0", "224.0.0.1 ::"] {
        dns.set("orders", nothing);
        assert!(is_still(&subscriber, 600).await);
        let status = orders.status();
        assert_eq!((told(&orders), status.up, status.endpoints), ("10.0.0.2".into(), false, 1));
        assert!(status.is_failing());
    }
    dns.fail("orders");
    assert!(is_still(&subscriber, 3600).await);
    assert_eq!(told(&orders), "10.0.0.2");
    let (_, error) = orders.status().last_error.unwrap();
    assert_eq!(&*error, "the name servers do not answer");
    dns.set("orders", "10.0.0.2 10.0.0.3");
    assert_eq!(change(&subscriber, &orders).await, "10.0.0.2 10.0.0.3");
    assert!(orders.status().up);
}

#[tokio::test(start_paused = true)]
async fn look_ups_hurry_after_a_failure_while_requests_flow() {
    let dns = Arc::<ScriptedDns>::default();
    let names = names(&dns, &Arc::default());
    let subscriber = NameSubscriber::new();
    dns.fail("orders");
    let _orders = names.watch("orders", &subscriber);
    sleep(Duration::from_secs(3600)).await;
    let idle = dns.asked("orders").len();
    assert!((120..400).contains(&idle), "{idle} in an hour: each 15 s on average");
    subscriber.note_requests(true);
    sleep(Duration::from_secs(3600)).await;
    let busy = dns.asked("orders").len() - idle;
    assert!((1800..3600).contains(&busy), "{busy} in an hour: each 1.5 s on average");
    // A name that does not exist is no failure.
    let _unknown = names.watch("unknown", &subscriber);
    dns.set("unknown", "");
    sleep(Duration::from_secs(3600)).await;
    let asked = dns.asked("unknown").len();
    assert!((600..=720).contains(&asked), "{asked} in an hour: each 5 s");
}

#[tokio::test(start_paused = true)]
async fn names_of_one_ttl_are_not_asked_for_at_once_for_ever() {
    let dns = Arc::<ScriptedDns>::default();
    let names = names(&dns, &Arc::default());
    let subscriber = NameSubscriber::new();
    let followed: Vec<NameSubscription> = (0..100)
        .map(|number| {
            let name = format!("name-{number}");
            dns.set(&name, "10.0.0.1");
            names.watch(&name, &subscriber)
        })
        .collect();
    sleep(Duration::from_secs(300)).await;
    let mut last: Vec<_> = followed.iter().filter_map(|it| dns.asked(it.host()).pop()).collect();
    last.sort();
    last.dedup();
    assert!(last.len() > 90, "{} moments", last.len());
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_panics_is_made_again() {
    let dns = Arc::<ScriptedDns>::default();
    let tasks = Arc::<Tasks>::default();
    let names = names(&dns, &tasks);
    let subscriber = NameSubscriber::new();
    let _panics = names.watch("panics", &subscriber);
    sleep(Duration::from_secs(1)).await;
    assert!(tasks.count(Task::Discovery) > 2);
    dns.set("orders", "10.0.0.1");
    let orders = names.watch("orders", &subscriber);
    assert_eq!(change(&subscriber, &orders).await, "10.0.0.1");
}
