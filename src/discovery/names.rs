//! Names that are followed: each is looked up again when its answer expires, once for all services that
//! have it, and those are notified when its addresses change.

mod addresses;
mod follower;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use dashmap::{DashMap, Entry};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, oneshot};

use super::SourceStatus;
use crate::clock::Clock;
use crate::dns::Dns;
use crate::model::stable_hash;
use crate::tasks::{Task, Tasks, infallible};
use follower::NameFollower;

/// A subscriber to the addresses of names.
#[derive(Debug, Default)]
pub struct NameSubscriber {
    changed: Notify,
    busy: AtomicBool,
}

impl NameSubscriber {
    /// A subscriber without names yet.
    pub fn new() -> Arc<NameSubscriber> {
        Arc::default()
    }

    /// Waits until the addresses of any of its names change. Changes before the next call are coalesced.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether requests flow to its names, so that look-ups hurry after a failure.
    pub fn note_requests(&self, flow: bool) {
        self.busy.store(flow, Relaxed);
    }
}

/// One name.
#[derive(Debug, Default)]
struct Record {
    addresses: Option<Arc<[IpAddr]>>,
    status: SourceStatus,
    subscribers: Vec<(u64, Arc<NameSubscriber>)>,
    /// Ends the follower when dropped.
    _followed: Option<oneshot::Sender<Infallible>>,
}

/// Where names are followed.
#[derive(Debug)]
pub(super) struct Followers {
    pub runtime: Handle,
    pub dns: Arc<dyn Dns>,
    pub tasks: Arc<Tasks>,
    pub seed: u64,
}

/// All names that are followed. For cold paths only.
#[derive(Debug)]
pub struct Names {
    records: DashMap<Arc<str>, Record>,
    next_id: AtomicU64,
    followers: Followers,
    clock: Clock,
}

impl Names {
    pub(super) fn new(followers: Followers, clock: Clock) -> Names {
        Names { records: DashMap::default(), next_id: AtomicU64::default(), followers, clock }
    }

    /// Subscribes to the addresses of `host`, which is followed until its last subscription is dropped.
    pub fn watch(
        self: &Arc<Self>,
        host: &str,
        subscriber: &Arc<NameSubscriber>,
    ) -> NameSubscription {
        let host: Arc<str> = host.to_ascii_lowercase().into();
        let id = self.next_id.fetch_add(1, Relaxed);
        let mut record = match self.records.entry(Arc::clone(&host)) {
            Entry::Occupied(known) => known.into_ref(),
            Entry::Vacant(place) => {
                let _followed = Some(self.follow(&host));
                place.insert(Record { _followed, ..Record::default() })
            }
        };
        record.subscribers.push((id, Arc::clone(subscriber)));
        drop(record);
        NameSubscription { names: Arc::clone(self), host, id }
    }

    fn follow(self: &Arc<Self>, host: &Arc<str>) -> oneshot::Sender<Infallible> {
        let by = &self.followers;
        let rng = fastrand::Rng::with_seed(by.seed ^ stable_hash(host.as_bytes(), 0));
        let follower = NameFollower::new(host, (self, &by.dns), (self.clock, rng));
        // The state outlives a panic of the task.
        let follower = Arc::new(Mutex::new(follower));
        let follow = move || {
            let follower = Arc::clone(&follower);
            tokio::spawn(infallible(async move { follower.lock().await.run().await }))
        };
        let (followed, stopped) = oneshot::channel();
        let tasks = Arc::clone(&by.tasks);
        by.runtime.spawn(async move {
            tokio::select! {
                biased;
                _ = stopped => {} // its sender is never used, but dropped
                () = tasks.supervise(Task::Discovery, follow) => {}
            }
        });
        followed
    }

    /// Sets the addresses of `host` and notifies its subscribers if they have changed.
    fn report(&self, host: &str, addresses: Arc<[IpAddr]>) {
        let Some(mut record) = self.records.get_mut(host) else { return };
        if record.addresses.as_ref() != Some(&addresses) {
            record.addresses = Some(addresses);
            record.status.updates += 1;
            record.subscribers.iter().for_each(|(_, subscriber)| subscriber.changed.notify_one());
        }
    }

    fn note(&self, host: &str, note: impl FnOnce(&mut SourceStatus)) {
        if let Some(mut record) = self.records.get_mut(host) {
            note(&mut record.status);
        }
    }

    /// Whether requests flow to a service that has `host`.
    fn is_busy(&self, host: &str) -> bool {
        let busy = |record: &Record| record.subscribers.iter().any(|(_, it)| it.busy.load(Relaxed));
        self.records.get(host).is_some_and(|record| busy(&record))
    }

    fn forget(&self, host: &Arc<str>, id: u64) {
        let Entry::Occupied(mut record) = self.records.entry(Arc::clone(host)) else { return };
        let subscribers = &mut record.get_mut().subscribers;
        subscribers.retain(|(of, _)| *of != id);
        if subscribers.is_empty() {
            record.remove();
        }
    }
}

/// A subscription to the addresses of a name, until dropped.
#[derive(Debug)]
pub struct NameSubscription {
    names: Arc<Names>,
    host: Arc<str>,
    id: u64,
}

impl NameSubscription {
    /// The name, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its addresses, sorted; `None` until some are known. There is at least one.
    pub fn addresses(&self) -> Option<Arc<[IpAddr]>> {
        self.names.records.get(&self.host).and_then(|record| record.addresses.clone())
    }

    /// How its look-ups are doing: `endpoints` are its addresses, `held` those that the last answer lacked.
    pub fn status(&self) -> SourceStatus {
        let record = self.names.records.get(&self.host);
        record.map(|record| record.status.clone()).unwrap_or_default()
    }
}

impl Drop for NameSubscription {
    fn drop(&mut self) {
        self.names.forget(&self.host, self.id);
    }
}

#[cfg(test)]
pub(super) mod tests;
