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
pub struct Subject {
    /// `host:port` or `unix:path`.
    pub address: Box<str>,
    /// The check.
    pub check: Arc<Check>,
}

/// Health by the results of checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It passes its checks.
    Well,
    /// It fails its checks.
    Unwell(Unwell),
}

/// Why a target is unhealthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwell {
    /// A short reason.
    pub why: Arc<str>,
    /// Since when.
    pub since: Time,
    /// It reported NOT_SERVING itself, so this is no mistake of the check.
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
pub struct Listener {
    changed: Notify,
    counts: Arc<CheckCounts>,
}

impl Listener {
    /// Results of its targets' checks are added to `counts`.
    pub fn new(counts: &Arc<CheckCounts>) -> Arc<Listener> {
        Arc::new(Listener { changed: Notify::new(), counts: Arc::clone(counts) })
    }

    /// Waits until the health of any of its targets changes. Changes before the next call are
    /// coalesced.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Resolves when its sender is dropped.
pub(super) type Over = oneshot::Receiver<Infallible>;

/// Queue of targets to start checking; each is on the board.
#[derive(Debug, Default)]
pub(super) struct Orders {
    waiting: DashMap<Subject, Over>,
    more: Notify,
}

impl Orders {
    fn put(&self, subject: &Subject) -> oneshot::Sender<Infallible> {
        let (checked, over) = oneshot::channel();
        self.waiting.insert(subject.clone(), over);
        self.more.notify_one();
        checked
    }

    /// Waits for new targets and takes them.
    pub async fn take(&self) -> Vec<(Subject, Over)> {
        self.more.notified().await;
        let waiting: Vec<Subject> = self.waiting.iter().map(|order| order.key().clone()).collect();
        waiting.iter().filter_map(|subject| self.waiting.remove(subject)).collect()
    }
}

/// Handle of the checker thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Checkers {
    pub orders: Arc<Orders>,
    pub _running: oneshot::Sender<Infallible>,
}

/// The health of one target.
#[derive(Debug)]
struct Record {
    health: Health,
    listeners: Vec<(u64, Arc<Listener>)>,
    /// Ends the checker when dropped.
    _checked: Option<oneshot::Sender<Infallible>>,
}

/// The health of every checked target. For cold paths only.
#[derive(Debug)]
pub struct Board {
    records: DashMap<Subject, Record>,
    numbers: AtomicU64,
    checkers: Option<Checkers>,
    clock: Clock,
}

impl Board {
    /// Without checkers: written by [`Board::report`] alone.
    pub fn new(clock: Clock) -> Arc<Board> {
        Arc::new(Board::with(None, clock))
    }

    pub(super) fn with(checkers: Option<Checkers>, clock: Clock) -> Board {
        Board { records: DashMap::default(), numbers: AtomicU64::default(), checkers, clock }
    }

    /// Subscribes to the health of `subject`, which is checked until the subscription is dropped.
    /// If nobody else has it checked, it starts as `known` by an earlier check.
    pub fn watch(
        self: &Arc<Self>,
        subject: Subject,
        listener: &Arc<Listener>,
        known: Option<Health>,
    ) -> Watched {
        let number = self.numbers.fetch_add(1, Relaxed);
        let mut record = match self.records.entry(subject.clone()) {
            Entry::Occupied(known) => known.into_ref(),
            Entry::Vacant(place) => {
                let record = self.first(place.key(), known);
                place.insert(record)
            }
        };
        record.listeners.push((number, Arc::clone(listener)));
        drop(record);
        Watched { board: Arc::clone(self), subject, number }
    }

    fn first(&self, subject: &Subject, known: Option<Health>) -> Record {
        let initial = || match subject.check.well_at_first {
            true => Health::Well,
            false => self.unwell("not checked yet", false),
        };
        let health = known.unwrap_or_else(initial);
        let _checked = self.checkers.as_ref().map(|checkers| checkers.orders.put(subject));
        Record { health, listeners: Vec::new(), _checked }
    }

    /// The health of `subject`, if it is checked.
    pub(super) fn health(&self, subject: &Subject) -> Option<Health> {
        self.records.get(subject).map(|record| record.health.clone())
    }

    /// Unhealthy since now.
    pub fn unwell(&self, why: &str, declared: bool) -> Health {
        Health::Unwell(Unwell { why: why.into(), since: self.clock.now(), declared })
    }

    /// Sets the health of `subject` and notifies its subscribers. Another reason does not change
    /// since when it is unhealthy.
    pub fn report(&self, subject: &Subject, mut health: Health) {
        let Some(mut record) = self.records.get_mut(subject) else { return };
        if let (Health::Unwell(before), Health::Unwell(now)) = (&record.health, &mut health) {
            now.since = before.since;
        }
        if record.health != health {
            record.health = health;
            record.listeners.iter().for_each(|(_, listener)| listener.changed.notify_one());
        }
    }

    /// Counts a check of `subject`.
    pub(super) fn count(&self, subject: &Subject, result: CheckResult) {
        if let Some(record) = self.records.get(subject) {
            record.listeners.iter().for_each(|(_, listener)| listener.counts.count(result));
        }
    }

    fn forget(&self, subject: &Subject, number: u64) {
        let Entry::Occupied(mut record) = self.records.entry(subject.clone()) else { return };
        let listeners = &mut record.get_mut().listeners;
        listeners.retain(|(of, _)| *of != number);
        if listeners.is_empty() {
            record.remove();
        }
    }
}

/// A subscription to the health of a target, until dropped.
#[derive(Debug)]
pub struct Watched {
    board: Arc<Board>,
    subject: Subject,
    number: u64,
}

impl Watched {
    /// The check.
    pub fn check(&self) -> &Arc<Check> {
        &self.subject.check
    }

    /// The present health.
    pub fn health(&self) -> Health {
        // a record exists for as long as a subscription
        self.board.health(&self.subject).unwrap_or(Health::Well)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.board.forget(&self.subject, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    fn subject(address: &str) -> Subject {
        Subject { address: address.into(), check: Arc::new(check()) }
    }

    /// Whether it was notified.
    async fn hears(listener: &Listener) -> bool {
        tokio::select! {
            biased;
            () = listener.changed() => true,
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test]
    async fn all_who_ask_hear_of_a_change_and_nobody_of_none() {
        let board = Board::new(Clock::start());
        let counts = Arc::<CheckCounts>::default();
        let (one, other) = (Listener::new(&counts), Listener::new(&counts));
        let first = board.watch(subject("a:1"), &one, None);
        let second = board.watch(subject("a:1"), &other, None);
        let unrelated = board.watch(subject("b:1"), &other, None);
        assert_eq!(first.health(), Health::Well);
        board.report(&subject("a:1"), board.unwell("HTTP 503", false));
        assert!(hears(&one).await && hears(&other).await);
        assert_eq!(first.health(), second.health());
        assert_eq!(unrelated.health(), Health::Well);
        let Health::Unwell(before) = first.health() else { panic!() };
        board.report(&subject("a:1"), board.unwell("HTTP 503", false));
        assert!(!hears(&one).await, "it is as before");
        board.report(&subject("a:1"), board.unwell("timed out", false));
        let Health::Unwell(now) = first.health() else { panic!() };
        assert_eq!((&*now.why, now.since), ("timed out", before.since));
        board.count(&subject("a:1"), CheckResult::Timeout);
        assert_eq!(counts.totals().map(|(_, count)| count).collect::<Vec<_>>(), [0, 0, 2]);
    }

    #[tokio::test]
    async fn a_check_ends_with_the_last_who_asks_and_what_was_known_goes_over_to_the_next() {
        let orders = Arc::<Orders>::default();
        let checkers = Checkers { orders: Arc::clone(&orders), _running: oneshot::channel().0 };
        let board = Arc::new(Board::with(Some(checkers), Clock::start()));
        let listener = Listener::new(&Arc::default());
        let first = board.watch(subject("a:1"), &listener, None);
        let second = board.watch(subject("a:1"), &listener, None);
        let mut taken = orders.take().await;
        assert_eq!(taken.len(), 1, "one checker for both");
        let (who, over) = &mut taken[0];
        assert_eq!(who, &subject("a:1"));
        board.report(who, board.unwell("HTTP 503", false));
        drop(first);
        assert!(over.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        let other = Check { rise: 9, ..check() };
        let other = Subject { check: Arc::new(other), ..subject("a:1") };
        let third = board.watch(other, &listener, Some(second.health()));
        assert_eq!(third.health(), second.health(), "until it has answered");
        drop(second);
        assert!(over.await.is_err());
        let again = board.watch(subject("a:1"), &listener, None);
        assert_eq!(again.health(), Health::Well, "nobody remembers");
    }
}
