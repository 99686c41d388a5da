//! One instance of a service, and the set of them that a picker chooses from.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::hash::stable_hash;
use super::load::{EwmaParams, Load};
use super::outage::Outage;
use super::time::Time;
use super::worker_stats::{StatTotals, WorkerStats};
use crate::stats::{Counts, StreamTotals, of_worker};
use crate::text::address;

/// What an endpoint is known by as long as the process lives: who comes after it at its address has
/// another. They are numbered in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(NonZeroU64);

impl EndpointId {
    fn next() -> EndpointId {
        static BEFORE: AtomicU64 = AtomicU64::new(0);
        let before = BEFORE.fetch_add(1, Ordering::Relaxed);
        EndpointId(NonZeroU64::MIN.saturating_add(before))
    }
}

/// One instance of a service: where it is, how loaded it is, and how its requests ended.
///
/// It outlives every change of weights and policy, so what was learnt stays; it is one life of what
/// is at the address, so who is removed and added again is another.
#[derive(Debug)]
pub struct Endpoint {
    id: EndpointId,
    address: Box<str>,
    load: Load,
    stats: Box<[WorkerStats]>,
    connected: AtomicU32,
    connecting: AtomicU32,
    outage: Outage,
    /// When a connection last ended in good order, in nanoseconds; 0 for never.
    left: AtomicU64,
}

impl Endpoint {
    /// An endpoint at `address` (`host:port`, `unix:path`), with one cell of statistics for each worker.
    pub fn new(address: &str, workers: usize, now: Time) -> Endpoint {
        Endpoint {
            id: EndpointId::next(),
            address: address.into(),
            load: Load::new(now),
            stats: (0..workers.max(1)).map(|_| WorkerStats::default()).collect(),
            connected: AtomicU32::new(0),
            connecting: AtomicU32::new(0),
            outage: Outage::default(),
            left: AtomicU64::new(0),
        }
    }

    /// What it is known by.
    #[inline]
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// The address as the operator wrote it: `host:port`, `unix:path`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Calls in flight, open streams and the latency estimate.
    #[inline]
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// The statistics that worker `index` alone writes.
    pub fn worker_stats(&self, index: usize) -> &WorkerStats {
        of_worker(&self.stats, index)
    }

    /// The sum of all workers' statistics since the start. Cold: reads several hundred counters.
    pub fn totals(&self) -> StatTotals {
        let mut totals = self.codes();
        self.add_durations_to(&mut totals.duration);
        self.add_starts_to(&mut totals.start);
        totals
    }

    /// As `totals`, without durations: little, where there are many endpoints to hold it for.
    pub fn codes(&self) -> StatTotals {
        let mut totals = StatTotals::default();
        self.stats.iter().for_each(|stats| stats.add_codes_to(&mut totals));
        totals
    }

    /// Adds the durations of its calls since the start to `totals`.
    pub fn add_durations_to(&self, totals: &mut Counts) {
        self.stats.iter().for_each(|stats| stats.add_durations_to(totals));
    }

    /// Adds its times to the response head since the start to `totals`.
    pub fn add_starts_to(&self, totals: &mut Counts) {
        self.stats.iter().for_each(|stats| stats.add_starts_to(totals));
    }

    /// Requests that are over, since the start.
    pub fn requests(&self) -> u64 {
        self.stats.iter().map(WorkerStats::requests).sum()
    }

    /// What came of streams, since the start.
    pub fn streams(&self) -> StreamTotals {
        let mut totals = StreamTotals::default();
        self.stats.iter().for_each(|stats| totals.add(&stats.streams()));
        totals
    }

    /// Connections to it that are established, over all workers.
    pub fn connected(&self) -> u32 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Connections to it that are being established, over all workers.
    pub fn connecting(&self) -> u32 {
        self.connecting.load(Ordering::Relaxed)
    }

    /// Whether and why no connection could be made the last time.
    pub fn outage(&self) -> &Outage {
        &self.outage
    }

    /// Notes that a connection has ended in good order.
    pub fn note_left(&self, now: Time) {
        self.left.store(now.as_nanos().max(1), Ordering::Relaxed);
    }

    /// When a connection last ended in good order.
    pub fn left(&self) -> Option<Time> {
        let nanos = self.left.load(Ordering::Relaxed);
        (nanos > 0).then(|| Time::from_nanos(nanos))
    }

    /// Of all workers, the one that keeps a connection to it when no request asks for one.
    pub fn keeper(&self) -> usize {
        let hash = stable_hash(address::identity(&self.address).as_bytes(), 0);
        usize::try_from(hash % self.stats.len().max(1) as u64).unwrap_or_default()
    }

    /// Counts a connection that is being established until the guard drops.
    pub fn count_connecting(self: &Arc<Endpoint>) -> ConnectionCount {
        ConnectionCount::new(self, |endpoint| &endpoint.connecting)
    }

    /// Counts an established connection until the guard drops.
    pub fn count_connected(self: &Arc<Endpoint>) -> ConnectionCount {
        ConnectionCount::new(self, |endpoint| &endpoint.connected)
    }
}

/// Holds one of an endpoint's connection counts up by one.
#[derive(Debug)]
pub struct ConnectionCount {
    endpoint: Arc<Endpoint>,
    counter: fn(&Endpoint) -> &AtomicU32,
}

impl ConnectionCount {
    fn new(endpoint: &Arc<Endpoint>, counter: fn(&Endpoint) -> &AtomicU32) -> ConnectionCount {
        counter(endpoint).fetch_add(1, Ordering::Relaxed);
        ConnectionCount { endpoint: Arc::clone(endpoint), counter }
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        (self.counter)(&self.endpoint).fetch_sub(1, Ordering::Relaxed);
    }
}

/// An eligible endpoint and its effective weight.
#[derive(Clone, Debug)]
pub struct Member {
    /// The instance.
    pub endpoint: Arc<Endpoint>,
    /// Its share of traffic relative to the others'; 1 at least.
    pub weight: u32,
}

/// What a picker chooses from: only endpoints that may take a new request, each with a weight
/// of at least 1. Pickers speak of them by index.
#[derive(Debug)]
pub struct EndpointSet {
    members: Box<[Member]>,
    ewma: EwmaParams,
}

impl EndpointSet {
    /// Keeps the members whose weight is not 0, in the order given.
    pub fn new(members: impl IntoIterator<Item = Member>, ewma: EwmaParams) -> EndpointSet {
        EndpointSet { members: members.into_iter().filter(|m| m.weight > 0).collect(), ewma }
    }

    /// The members, by index.
    #[inline]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether no endpoint is eligible.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How the latency estimates of these endpoints are kept.
    #[inline]
    pub fn ewma(&self) -> &EwmaParams {
        &self.ewma
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_again_at_an_address_is_another() {
        let ids: Vec<EndpointId> =
            (0..9).map(|_| Endpoint::new("a:1", 1, Time::ZERO).id()).collect();
        assert!(ids.is_sorted_by(|earlier, later| earlier < later), "{ids:?}");
    }
}
