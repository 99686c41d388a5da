//! Follows the keys at one member: reads them, takes what the watch tells, and feeds whole sets.

use super::client::{Client, Failure};
use super::keys::{Fault, Keys};
use super::proto::mvccpb::KeyValue;
use super::watch::{Told, Watch};
use crate::discovery::Feed;

/// Answers that are taken before what they come to is fed.
const MAX_ANSWERS: usize = 64;

/// What is known while a member is followed.
pub(super) struct Following<'a> {
    feed: &'a Feed,
    /// The cluster that has answered.
    pub cluster: Option<u64>,
    pub keys: Keys,
}

impl<'a> Following<'a> {
    pub fn new(feed: &'a Feed) -> Following<'a> {
        Following { feed, cluster: None, keys: Keys::default() }
    }

    /// Reads everything.
    pub async fn read(&mut self, client: &mut Client<'_>) -> Result<(), Failure> {
        let seen = self.keys.seen();
        let mut before = self.keys.start_over();
        let mut reading = client.reading();
        while let Some(page) = client.page(&mut reading).await? {
            self.check(reading.cluster)?;
            let revision = reading.revision;
            if revision < seen {
                let text = format!("reading: revision {revision} after {seen}: it was restored");
                return Err(Failure::Other(text));
            }
            let (keys, unread) =
                if page.too_large { (Vec::new(), page.keys) } else { (page.keys, Vec::new()) };
            let too_large = |kv: KeyValue| {
                let key = String::from_utf8_lossy(&kv.key).into_owned();
                (key, "the value is larger than what is read".to_owned())
            };
            self.reject(unread.into_iter().map(too_large).collect()).await;
            let faults = self.keys.take(keys, revision, &mut before);
            self.reject(faults).await;
            if self.keys.are_full() {
                break;
            }
        }
        self.feed.publish(self.keys.backends()).await;
        Ok(())
    }

    /// Takes what the watch tells, with what waits behind it.
    pub async fn hear(&mut self, told: Told, watch: &mut Watch) -> Result<(), Failure> {
        let (mut told, mut changed, mut answers) = (told, false, 1);
        loop {
            self.check(told.cluster)?;
            changed |= !told.events.is_empty();
            let faults = self.keys.apply(told.events);
            self.reject(faults).await;
            if told.more {
                told = watch.next().await?;
            } else if answers == MAX_ANSWERS {
                break;
            } else if let Some(waiting) = watch.waiting().await {
                told = waiting?;
            } else {
                break;
            }
            answers += 1;
        }
        match changed {
            true => self.feed.publish(self.keys.backends()).await,
            false => self.feed.confirm().await,
        }
        Ok(())
    }

    /// A member that was restored or belongs to another cluster knows nothing of what was read.
    fn check(&mut self, cluster: u64) -> Result<(), Failure> {
        match *self.cluster.get_or_insert(cluster) == cluster {
            true => Ok(()),
            false => Err(Failure::Other("another cluster of etcd answers now".into())),
        }
    }

    async fn reject(&self, faults: Vec<Fault>) {
        for (key, reason) in faults {
            self.feed.reject(&key, &reason).await;
        }
    }
}
