//! The health of every checked target, and the subscribers to notify of changes.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dashmap::{DashMap, Entry};
use tokio::sync::{Notify, oneshot};

use super::Check;
use crate::clock::Clock;
use crate::model::Time;

/// A target: an address and how it is checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckTarget {
    /// `host:port` or `unix:path`.
    pub address: Box<str>,
    /// Where that is, if it is a name that was resolved.
    pub place: Option<Box<str>>,
    /// The check.
    pub check: Arc<Check>,
}

/// Health by the results of checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It passes its checks.
    Healthy,
    /// It fails its checks.
    Unhealthy(Unhealthy),
}

/// Why a target is unhealthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    /// A short reason.
    pub why: Arc<str>,
    /// Since when.
    pub since: Time,
    /// The target reported NOT_SERVING itself, so the check is not mistaken.
    pub declared: bool,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// It passed.
    Success,
    /// It could not be made, or did not pass.
    Failure,
    /// It timed out.
    Timeout,
}

impl CheckResult {
    /// All of them.
    pub const ALL: [CheckResult; 3] =
        [CheckResult::Success, CheckResult::Failure, CheckResult::Timeout];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            CheckResult::Success => "success",
            CheckResult::Failure => "failure",
            CheckResult::Timeout => "timeout",
        }
    }
}

/// Counters of checks by result.
#[derive(Debug, Default)]
pub struct CheckCounts([AtomicU64; CheckResult::ALL.len()]);

impl CheckCounts {
    fn count(&self, result: CheckResult) {
        if let Some(count) = self.0.get(result as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// The counts, in the order of [`CheckResult::ALL`].
    pub fn totals(&self) -> impl Iterator<Item = (CheckResult, u64)> {
        CheckResult::ALL.into_iter().zip(self.0.each_ref().map(|count| count.load(Relaxed)))
    }
}

/// A subscriber to the health of targets.
#[derive(Debug)]
pub struct Subscriber {
    changed: Notify,
    counts: Arc<CheckCounts>,
}

impl Subscriber {
    /// Results of its targets' checks are added to `counts`.
    pub fn new(counts: &Arc<CheckCounts>) -> Arc<Subscriber> {
        Arc::new(Subscriber { changed: Notify::new(), counts: Arc::clone(counts) })
    }

    /// Waits until the health of any of its targets changes. Changes before the next call are
    /// coalesced.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Resolves when its sender is dropped.
pub(super) type Stopped = oneshot::Receiver<Infallible>;

/// Queue of targets to start checking; the monitor has a record of each.
#[derive(Debug, Default)]
pub(super) struct CheckQueue {
    queued: DashMap<CheckTarget, Stopped>,
    more: Notify,
}

impl CheckQueue {
    fn put(&self, target: &CheckTarget) -> oneshot::Sender<Infallible> {
        let (checked, stopped) = oneshot::channel();
        self.queued.insert(target.clone(), stopped);
        self.more.notify_one();
        checked
    }

    /// Waits for new targets and takes them.
    pub async fn take(&self) -> Vec<(CheckTarget, Stopped)> {
        self.more.notified().await;
        let queued: Vec<CheckTarget> =
            self.queued.iter().map(|order| order.key().clone()).collect();
        queued.iter().filter_map(|target| self.queued.remove(target)).collect()
    }
}

/// Handle of the checker thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct CheckerThread {
    pub queue: Arc<CheckQueue>,
    pub _running: oneshot::Sender<Infallible>,
}

/// The health of one target.
#[derive(Debug)]
struct Record {
    health: Health,
    subscribers: Vec<(u64, Arc<Subscriber>)>,
    /// Ends the checker when dropped.
    _checked: Option<oneshot::Sender<Infallible>>,
}

/// The health of every checked target. For cold paths only.
#[derive(Debug)]
pub struct HealthMonitor {
    records: DashMap<CheckTarget, Record>,
    next_id: AtomicU64,
    checkers: Option<CheckerThread>,
    clock: Clock,
}

impl HealthMonitor {
    /// A monitor without checkers: only [`HealthMonitor::report`] sets the health.
    pub fn new(clock: Clock) -> Arc<HealthMonitor> {
        Arc::new(HealthMonitor::with(None, clock))
    }

    pub(super) fn with(checkers: Option<CheckerThread>, clock: Clock) -> HealthMonitor {
        HealthMonitor {
            records: DashMap::default(),
            next_id: AtomicU64::default(),
            checkers,
            clock,
        }
    }

    /// Subscribes to the health of `target`, which is checked until the subscription is dropped. If there
    /// is no other subscription, it starts as `known` from an earlier check.
    pub fn watch(
        self: &Arc<Self>,
        target: CheckTarget,
        subscriber: &Arc<Subscriber>,
        known: Option<Health>,
    ) -> Subscription {
        let id = self.next_id.fetch_add(1, Relaxed);
        let mut record = match self.records.entry(target.clone()) {
            Entry::Occupied(known) => known.into_ref(),
            Entry::Vacant(place) => {
                let record = self.first(place.key(), known);
                place.insert(record)
            }
        };
        record.subscribers.push((id, Arc::clone(subscriber)));
        drop(record);
        Subscription { monitor: Arc::clone(self), target, id }
    }

    fn first(&self, target: &CheckTarget, known: Option<Health>) -> Record {
        let initial = || match target.check.initially_healthy {
            true => Health::Healthy,
            false => self.unhealthy("not checked yet", false),
        };
        let health = known.unwrap_or_else(initial);
        let _checked = self.checkers.as_ref().map(|checkers| checkers.queue.put(target));
        Record { health, subscribers: Vec::new(), _checked }
    }

    /// The health of `target`, if it is checked.
    pub(super) fn health(&self, target: &CheckTarget) -> Option<Health> {
        self.records.get(target).map(|record| record.health.clone())
    }

    /// Unhealthy since now.
    pub fn unhealthy(&self, why: &str, declared: bool) -> Health {
        Health::Unhealthy(Unhealthy { why: why.into(), since: self.clock.now(), declared })
    }

    /// Sets the health of `target` and notifies its subscribers. If only the reason changes, the time
    /// since when it is unhealthy stays.
    pub fn report(&self, target: &CheckTarget, mut health: Health) {
        let Some(mut record) = self.records.get_mut(target) else { return };
        if let (Health::Unhealthy(before), Health::Unhealthy(now)) = (&record.health, &mut health) {
            now.since = before.since;
        }
        if record.health != health {
            record.health = health;
            record.subscribers.iter().for_each(|(_, subscriber)| subscriber.changed.notify_one());
        }
    }

    /// Counts a check of `target`.
    pub(super) fn count(&self, target: &CheckTarget, result: CheckResult) {
        if let Some(record) = self.records.get(target) {
            record.subscribers.iter().for_each(|(_, subscriber)| subscriber.counts.count(result));
        }
    }

    fn forget(&self, target: &CheckTarget, id: u64) {
        let Entry::Occupied(mut record) = self.records.entry(target.clone()) else { return };
        let subscribers = &mut record.get_mut().subscribers;
        subscribers.retain(|(of, _)| *of != id);
        if subscribers.is_empty() {
            record.remove();
        }
    }
}

/// A subscription to the health of a target, until dropped.
#[derive(Debug)]
pub struct Subscription {
    monitor: Arc<HealthMonitor>,
    target: CheckTarget,
    id: u64,
}

impl Subscription {
    /// The check.
    pub fn check(&self) -> &Arc<Check> {
        &self.target.check
    }

    /// The present health.
    pub fn health(&self) -> Health {
        // a record exists for as long as a subscription
        self.monitor.health(&self.target).unwrap_or(Health::Healthy)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.monitor.forget(&self.target, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    fn target(address: &str) -> CheckTarget {
        CheckTarget { address: address.into(), place: None, check: Arc::new(check()) }
    }

    /// Whether it was notified.
    async fn hears(subscriber: &Subscriber) -> bool {
        tokio::select! {
            biased;
            () = subscriber.changed() => true,
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test]
    async fn all_subscribers_are_notified_of_changes_only() {
        let monitor = HealthMonitor::new(Clock::start());
        let counts = Arc::<CheckCounts>::default();
        let (one, other) = (Subscriber::new(&counts), Subscriber::new(&counts));
        let first = monitor.watch(target("a:1"), &one, None);
        let second = monitor.watch(target("a:1"), &other, None);
        let unrelated = monitor.watch(target("b:1"), &other, None);
        assert_eq!(first.health(), Health::Healthy);
        monitor.report(&target("a:1"), monitor.unhealthy("HTTP 503", false));
        assert!(hears(&one).await && hears(&other).await);
        assert_eq!(first.health(), second.health());
        assert_eq!(unrelated.health(), Health::Healthy);
        let Health::Unhealthy(before) = first.health() else { panic!() };
        monitor.report(&target("a:1"), monitor.unhealthy("HTTP 503", false));
        assert!(!hears(&one).await, "it is as before");
        monitor.report(&target("a:1"), monitor.unhealthy("timed out", false));
        let Health::Unhealthy(now) = first.health() else { panic!() };
        assert_eq!((&*now.why, now.since), ("timed out", before.since));
        monitor.count(&target("a:1"), CheckResult::Timeout);
        assert_eq!(counts.totals().map(|(_, count)| count).collect::<Vec<_>>(), [0, 0, 2]);
    }

    #[tokio::test]
    async fn a_check_ends_with_its_last_subscription() {
        let queue = Arc::<CheckQueue>::default();
        let checkers = CheckerThread { queue: Arc::clone(&queue), _running: oneshot::channel().0 };
        let monitor = Arc::new(HealthMonitor::with(Some(checkers), Clock::start()));
        let subscriber = Subscriber::new(&Arc::default());
        let first = monitor.watch(target("a:1"), &subscriber, None);
        let second = monitor.watch(target("a:1"), &subscriber, None);
        let mut taken = queue.take().await;
        assert_eq!(taken.len(), 1, "one checker for both");
        let (who, stopped) = &mut taken[0];
        assert_eq!(who, &target("a:1"));
        monitor.report(who, monitor.unhealthy("HTTP 503", false));
        drop(first);
        assert!(
            stopped.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty)
        );
        let other = Check { rise: 9, ..check() };
        let other = CheckTarget { check: Arc::new(other), ..target("a:1") };
        let third = monitor.watch(other, &subscriber, Some(second.health()));
        assert_eq!(third.health(), second.health(), "until it has answered");
        drop(second);
        assert!(stopped.await.is_err());
        let again = monitor.watch(target("a:1"), &subscriber, None);
        assert_eq!(again.health(), Health::Healthy, "nobody remembers");
    }
}
