//! An endpoint of a service, and the endpoint set that a picker chooses from.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::connectivity::ConnectivityClock;
use super::faults::Faults;
use super::hash::stable_hash;
use super::load::{EwmaParams, Load};
use super::outage::Outage;
use super::results::Results;
use super::time::Time;
use super::worker_stats::{StatTotals, WorkerStats};
use crate::stats::{HistogramCounts, StreamTotals, of_worker};
use crate::text::address;

/// Identity of an endpoint, unique in the process: a later endpoint at the same address has
/// another. Ascending in order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(NonZeroU64);

impl EndpointId {
    fn next() -> EndpointId {
        static BEFORE: AtomicU64 = AtomicU64::new(0);
        let before = BEFORE.fetch_add(1, Ordering::Relaxed);
        EndpointId(NonZeroU64::MIN.saturating_add(before))
    }
}

/// One endpoint of a service: its address, load and statistics.
///
/// It survives changes of weights and policy, so what was learnt stays. An endpoint that is removed
/// and added again is a new one with the same address.
#[derive(Debug)]
pub struct Endpoint {
    id: EndpointId,
    address: Box<str>,
    /// Where it is, if `address` is a name that was resolved.
    place: Option<Box<str>>,
    load: Load,
    stats: Box<[WorkerStats]>,
    connected: AtomicU32,
    connecting: AtomicU32,
    outage: Outage,
    faults: Faults,
    /// When a connection last closed gracefully, in nanoseconds; 0 for never.
    left: AtomicU64,
    /// Requests cut off by a drain timeout.
    cut: AtomicU64,
    connectivity: ConnectivityClock,
    /// Failed attempts that were followed by another.
    retried: AtomicU64,
    /// Since when it is suspected to be frozen, in nanoseconds; 0 while it is not.
    suspect: AtomicU64,
}

impl Endpoint {
    /// An endpoint at `address` (`host:port`, `unix:path`), with statistics sharded by worker.
    pub fn new(address: &str, workers: usize, now: Time) -> Endpoint {
        Endpoint {
            id: EndpointId::next(),
            address: address.into(),
            place: None,
            load: Load::new(now),
            stats: (0..workers.max(1)).map(|_| WorkerStats::default()).collect(),
            connected: AtomicU32::new(0),
            connecting: AtomicU32::new(0),
            outage: Outage::default(),
            faults: Faults::default(),
            left: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            connectivity: ConnectivityClock::new(now),
            retried: AtomicU64::new(0),
            suspect: AtomicU64::new(0),
        }
    }

    /// The same at `place`, one of those that its name resolves to.
    pub fn at(self, place: &str) -> Endpoint {
        Endpoint { place: Some(place.into()), ..self }
    }

    /// Its identity.
    #[inline]
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// The address as the operator wrote it: `host:port`, `unix:path`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it is, if its address is a name that was resolved.
    pub fn resolved(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// Where to connect, and what distinguishes it from others: one of the addresses that its name
    /// resolves to, or its address if that is no name, or was not resolved yet.
    pub fn place(&self) -> &str {
        self.place.as_deref().unwrap_or(&self.address)
    }

    /// Calls in flight, open streams and the latency estimate.
    #[inline]
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// The shard of statistics of which worker `index` is the only writer.
    pub fn worker_stats(&self, index: usize) -> &WorkerStats {
        of_worker(&self.stats, index)
    }

    /// Statistics since the start, summed over workers. Cold path: reads several hundred counters.
    pub fn totals(&self) -> StatTotals {
        let mut totals = self.codes();
        self.add_durations_to(&mut totals.duration);
        self.add_starts_to(&mut totals.start);
        totals
    }

    /// As `totals`, without durations, to save memory where there are many endpoints.
    pub fn codes(&self) -> StatTotals {
        let mut totals = StatTotals::default();
        self.stats.iter().for_each(|stats| stats.add_codes_to(&mut totals));
        totals
    }

    /// Adds the durations of its calls to `totals`.
    pub fn add_durations_to(&self, totals: &mut HistogramCounts) {
        self.stats.iter().for_each(|stats| stats.add_durations_to(totals));
    }

    /// Adds its times to the response head to `totals`.
    pub fn add_starts_to(&self, totals: &mut HistogramCounts) {
        self.stats.iter().for_each(|stats| stats.add_starts_to(totals));
    }

    /// Requests that have ended.
    pub fn requests(&self) -> u64 {
        self.stats.iter().map(WorkerStats::requests).sum()
    }

    /// Totals of its streams.
    pub fn streams(&self) -> StreamTotals {
        let mut totals = StreamTotals::default();
        self.stats.iter().for_each(|stats| totals.add(&stats.streams()));
        totals
    }

    /// Established connections, over all workers.
    pub fn connected(&self) -> u32 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Connections being established, over all workers.
    pub fn connecting(&self) -> u32 {
        self.connecting.load(Ordering::Relaxed)
    }

    /// Whether and why the last connection attempt failed.
    pub fn outage(&self) -> &Outage {
        &self.outage
    }

    /// Results of its requests since the start, summed over workers.
    pub fn results(&self) -> Results {
        let mut results = Results::default();
        self.stats.iter().for_each(|stats| results += stats.results().read());
        results
    }

    /// Its consecutive faults, and its trial after an ejection.
    #[inline]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Records that a connection closed gracefully.
    pub fn note_left(&self, now: Time) {
        self.left.store(now.as_nanos().max(1), Ordering::Relaxed);
    }

    /// When a connection last closed gracefully.
    pub fn left(&self) -> Option<Time> {
        let nanos = self.left.load(Ordering::Relaxed);
        (nanos > 0).then(|| Time::from_nanos(nanos))
    }

    pub(super) fn connectivity_clock(&self) -> &ConnectivityClock {
        &self.connectivity
    }

    /// Counts a request cut off by a drain timeout.
    pub fn note_cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failed attempt that was followed by another.
    pub fn note_retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// Failed attempts that were followed by another.
    pub fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Requests cut off by a drain timeout.
    pub fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    /// Records that worker `index` received bytes from it. Returns whether that ends a suspicion.
    #[inline]
    pub fn note_received(&self, index: usize, now: Time) -> bool {
        self.worker_stats(index).note_received(now);
        self.suspect.load(Ordering::Relaxed) != 0 && self.trust()
    }

    /// When any worker last received bytes from it.
    pub fn last_received(&self) -> Time {
        self.stats.iter().map(WorkerStats::last_received).max().unwrap_or_default()
    }

    /// Begins a suspicion that it is frozen. Returns whether there was none.
    pub fn suspect(&self, now: Time) -> bool {
        let since = now.as_nanos().max(1);
        self.suspect.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Ends the suspicion. Returns whether there was one.
    pub fn trust(&self) -> bool {
        self.suspect.swap(0, Ordering::Relaxed) != 0
    }

    /// Since when it is suspected to be frozen.
    pub fn suspected(&self) -> Option<Time> {
        let nanos = self.suspect.load(Ordering::Relaxed);
        (nanos > 0).then(|| Time::from_nanos(nanos))
    }

    /// The worker that keeps a connection warm when no requests come.
    pub fn keeper(&self) -> usize {
        let hash = stable_hash(address::identity(&self.address).as_bytes(), 0);
        usize::try_from(hash % self.stats.len().max(1) as u64).unwrap_or_default()
    }

    /// Counts a connection being established while the guard lives.
    pub fn count_connecting(self: &Arc<Endpoint>) -> ConnectionCount {
        ConnectionCount::new(self, |endpoint| &endpoint.connecting)
    }

    /// Counts an established connection while the guard lives.
    pub fn count_connected(self: &Arc<Endpoint>) -> ConnectionCount {
        ConnectionCount::new(self, |endpoint| &endpoint.connected)
    }
}

/// RAII guard of one of an endpoint's connection gauges.
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
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its weight, at least 1.
    pub weight: u32,
}

/// The endpoints that a picker chooses from: only eligible ones, each with a weight of at least 1.
/// Pickers refer to them by index.
#[derive(Debug)]
pub struct EndpointSet {
    members: Box<[Member]>,
    ewma: EwmaParams,
}

impl EndpointSet {
    /// Keeps the members with a non-zero weight, in the order given.
    pub fn new(members: impl IntoIterator<Item = Member>, ewma: EwmaParams) -> EndpointSet {
        EndpointSet { members: members.into_iter().filter(|m| m.weight > 0).collect(), ewma }
    }

    /// The members; pickers' indices refer to this slice.
    #[inline]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether no endpoint is eligible.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The latency estimator's settings for these endpoints.
    #[inline]
    pub fn ewma(&self) -> &EwmaParams {
        &self.ewma
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_endpoint_at_the_same_address_has_a_new_id() {
        let ids: Vec<EndpointId> =
            (0..9).map(|_| Endpoint::new("a:1", 1, Time::ZERO).id()).collect();
        assert!(ids.is_sorted_by(|earlier, later| earlier < later), "{ids:?}");
    }

    #[test]
    fn input_on_any_worker_ends_a_suspicion() {
        let (endpoint, at) = (Endpoint::new("a:1", 2, Time::ZERO), Time::from_millis);
        assert!(!endpoint.note_received(0, at(3)) && !endpoint.note_received(1, at(2)));
        assert_eq!((endpoint.last_received(), endpoint.suspected()), (at(3), None));
        assert!(endpoint.suspect(at(4)) && !endpoint.suspect(at(5)));
        assert_eq!(endpoint.suspected(), Some(at(4)));
        assert!(endpoint.note_received(1, at(6)) && !endpoint.note_received(1, at(7)));
        assert_eq!((endpoint.last_received(), endpoint.suspected()), (at(7), None));
    }
}
