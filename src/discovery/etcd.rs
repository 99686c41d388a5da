//! Backends from etcd v3: all keys below a prefix, and changes of them as they happen.
//!
//! The keys are read, then watched from that revision on. After any gap — the watch has ended, what it
//! needs was compacted, another member is asked — everything is read anew, never resumed: that cannot
//! miss a deletion. A full read now and then heals what a watch has lost all the same.

mod channel;
mod client;
mod decode;
mod following;
mod keys;
mod proto;
mod settings;
mod watch;

use std::convert::Infallible;
use std::time::Duration;

use super::{Feed, Running, Settings, Source, SourceError};
use crate::clock::LogThrottle;
use crate::model::Time;
use client::{Client, Failure, Login};
use following::Following;

pub use settings::{EtcdEndpoint, EtcdSettings, EtcdTls, EtcdUser};

/// Everything is read again after this long, and up to as long again, by chance.
const READ_AGAIN: Duration = Duration::from_secs(300);

/// How often it is logged that members fail. Whether all do is the core's to say.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// A member that has served this long is no failure when it ends.
const SERVED_WELL: Duration = Duration::from_secs(10);

impl Settings for EtcdSettings {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    fn place(&self) -> String {
        let members: Vec<String> = self.endpoints.iter().map(ToString::to_string).collect();
        format!("{} at {}", self.prefix, members.join(", "))
    }

    fn identity(&self) -> String {
        let user = self.user.as_ref().map(|user| (&user.name, user.password.reveal()));
        let tls = self.tls.as_ref().map(|tls| (tls.fingerprint, &tls.server_name));
        format!("{} {user:?} {tls:?} {:?}", self.place(), self.timeout)
    }

    fn source(&self, seed: u64) -> Box<dyn Source> {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Gateways spread over the members.
        let at = rng.usize(..self.endpoints.len().max(1));
        let (settings, login) = (self.clone(), Login::default());
        Box::new(Etcd { settings, rng, at, login, cluster: None, since: None, log: None })
    }
}

/// Follows one prefix.
struct Etcd {
    settings: EtcdSettings,
    rng: fastrand::Rng,
    /// The member that is asked.
    at: usize,
    login: Login,
    /// The cluster that answered last.
    cluster: Option<u64>,
    /// Since when this member has answered.
    since: Option<Time>,
    log: Option<LogThrottle>,
}

impl Source for Etcd {
    fn run<'a>(&'a mut self, feed: &'a Feed) -> Running<'a> {
        Box::pin(self.run(feed))
    }
}

impl Etcd {
    /// Asks one member after the other; ends when all have failed in a row.
    async fn run(&mut self, feed: &Feed) -> SourceError {
        let members = self.settings.endpoints.clone();
        let (mut failed, mut renewed) = (0, false);
        loop {
            let Some(member) = members.get(self.at % members.len().max(1)) else {
                return SourceError("it has no endpoints".into());
            };
            self.since = None;
            let Err(why) = self.follow(member, feed).await;
            let now = feed.clock().now();
            if self.since.is_some_and(|since| now.since(since) >= SERVED_WELL) {
                (failed, renewed) = (0, false);
            }
            let text = format!("{member}: {why}");
            if matches!(why, Failure::Token(_)) && self.settings.user.is_some() && !renewed {
                self.say(feed, &text, "logging in to etcd again");
                self.login.forget();
                renewed = true;
                continue;
            }
            self.at += 1;
            failed += 1;
            if failed >= members.len() {
                return SourceError(text);
            }
            self.say(feed, &text, "a member of etcd fails: the next one is asked");
        }
    }

    fn say(&mut self, feed: &Feed, error: &str, what: &str) {
        let throttle = || LogThrottle::every(LOG_EVERY, feed.clock());
        if self.log.get_or_insert_with(throttle).is_due() {
            tracing::info!(service = feed.service(), error, "{what}");
        }
    }

    /// Follows the prefix at `member` until something fails.
    async fn follow(&mut self, member: &EtcdEndpoint, feed: &Feed) -> Result<Infallible, Failure> {
        let Etcd { settings, rng, login, cluster, since, .. } = self;
        let clock = feed.clock();
        let mut client = Client::connect(settings, member, login, clock).await?;
        let mut following = Following::new(feed);
        following.read(&mut client).await?;
        if let (Some(before), Some(now)) = (*cluster, following.cluster)
            && before != now
        {
            let (service, member) = (feed.service(), member.to_string());
            tracing::warn!(service, member, "this is another cluster of etcd than before");
        }
        (*cluster, *since) = (following.cluster, Some(clock.now()));
        let mut watch = client.watch(following.keys.seen() + 1).await?;
        let mut read_at = clock.now() + until_next_read(rng);
        loop {
            tokio::select! {
                biased;
                () = clock.sleep_until(read_at) => {
                    following.read(&mut client).await?;
                    read_at = clock.now() + until_next_read(rng);
                }
                told = watch.next() => following.hear(told?, &mut watch).await?,
            }
        }
    }
}

fn until_next_read(rng: &mut fastrand::Rng) -> Duration {
    READ_AGAIN.mul_f64(1.0 + rng.f64())
}
