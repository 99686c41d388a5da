//! Follows one service: runs its source for ever, guards what it tells, and keeps its status.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::backoff::Backoff;
use super::feed::{Feed, Told};
use super::guard::Guard;
use super::set::{Discovered, DiscoveredSet, MAX_DISCOVERED, bounded};
use super::status::SourceStatus;
use super::{Discover, Source};
use crate::clock::{self, Clock, LogThrottle};
use crate::dns::Dns;
use crate::model::Time;

/// Entries that could not be used and were logged, at most.
const MAX_LOGGED: usize = 1000;

/// Changes are logged at most as often.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// The longest error that is kept and logged, in characters.
const MAX_ERROR: usize = 512;

/// Follows one service.
pub(super) struct Follower {
    service: Arc<str>,
    discover: Arc<Discover>,
    clock: Clock,
    dns: Arc<dyn Dns>,
    rng: fastrand::Rng,
    /// Whether requests flow to the service.
    busy: Arc<AtomicBool>,
    guard: Guard,
    backoff: Backoff,
    /// The last set as it came.
    told: Option<DiscoveredSet>,
    /// Entries that could not be used and were logged.
    logged: HashSet<String>,
    /// Registries may change many times a second.
    log: LogThrottle,
    outlet: Outlet,
}

/// Where a follower puts what it knows.
pub(super) struct Outlet {
    pub sets: watch::Sender<Option<DiscoveredSet>>,
    pub status: watch::Sender<SourceStatus>,
}

impl Follower {
    pub fn new(
        service: &str,
        discover: &Arc<Discover>,
        outlet: Outlet,
        busy: &Arc<AtomicBool>,
        (clock, rng, dns): (Clock, fastrand::Rng, &Arc<dyn Dns>),
    ) -> Follower {
        let known = outlet.sets.borrow().clone().unwrap_or_default();
        Follower {
            service: service.into(),
            discover: Arc::clone(discover),
            clock,
            dns: Arc::clone(dns),
            rng,
            busy: Arc::clone(busy),
            guard: Guard::new(discover.keep_empty_for, discover.allow_empty, known),
            backoff: Backoff::default(),
            told: None,
            logged: HashSet::new(),
            log: LogThrottle::every(LOG_EVERY, clock),
            outlet,
        }
    }

    /// Runs the source for ever, with a pause after each failure.
    pub async fn run(&mut self) {
        let mut source = self.discover.source.source(self.rng.u64(..));
        loop {
            let error = self.until_failed(&mut *source).await;
            let again = self.clock.now() + self.failed(&clip(&error));
            while self.clock.now() < again {
                let due = self.guard.due().map_or(again, |due| due.min(again));
                self.clock.sleep_until(due).await;
                self.release_if_due();
            }
        }
    }

    /// Takes what the source tells until it fails; returns why.
    async fn until_failed(&mut self, source: &mut dyn Source) -> String {
        let (feed, mut inbox) =
            Feed::new(Arc::clone(&self.service), self.clock, Arc::clone(&self.dns));
        let mut running = source.run(&feed);
        loop {
            let due = self.guard.due();
            tokio::select! {
                biased;
                Some(told) = inbox.recv() => self.take(told),
                () = self.clock.sleep_until(due.unwrap_or(Time::ZERO)), if due.is_some() => {
                    self.release_if_due();
                }
                error = &mut running => {
                    self.take_rest(&mut inbox);
                    return error.to_string();
                }
            }
        }
    }

    fn take_rest(&mut self, inbox: &mut mpsc::Receiver<Told>) {
        while let Ok(told) = inbox.try_recv() {
            self.take(told);
        }
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Same => self.answered(),
            Told::Set(backends) => {
                self.answered();
                self.take_set(backends);
            }
            Told::Rejected { key, reason } => self.reject(&clip(&key), &clip(&reason)),
        }
    }

    fn take_set(&mut self, backends: Vec<Discovered>) {
        let (set, over) = bounded(backends);
        if over > 0 {
            let reason = format!("{over} more than the {MAX_DISCOVERED} that are taken");
            self.reject("too many backends", &reason);
        }
        let set: DiscoveredSet = set.into_iter().map(Arc::new).collect();
        if self.told.as_ref() == Some(&set) {
            return;
        }
        self.told = Some(Arc::clone(&set));
        let effective = self.guard.offer(set, self.clock.now());
        self.put_into_effect(effective);
    }

    fn release_if_due(&mut self) {
        if self.guard.due().is_none_or(|due| due > self.clock.now()) {
            return;
        }
        if let Some(set) = self.guard.release() {
            let (service, source, endpoints) = (&*self.service, self.kind(), set.len());
            tracing::warn!(service, source, endpoints, "what the registry lost has not come back");
            self.put_into_effect(set);
        }
    }

    fn put_into_effect(&mut self, set: DiscoveredSet) {
        let endpoints = self.told.as_ref().map_or(0, |told| told.len());
        let held = set.len().saturating_sub(endpoints);
        if self.log.is_due() {
            let (service, source) = (&*self.service, self.kind());
            match held {
                0 => tracing::info!(service, source, endpoints, "the backends have changed"),
                _ => tracing::warn!(
                    service,
                    source,
                    endpoints,
                    held,
                    "backends that the registry lost are kept for now"
                ),
            }
        }
        self.outlet.status.send_modify(|status| {
            status.updates += 1;
            (status.endpoints, status.held) = (endpoints, held);
        });
        self.outlet.sets.send_replace(Some(set));
    }

    fn answered(&mut self) {
        self.backoff.reset();
        let mut was_down = false;
        self.outlet.status.send_modify(|status| {
            was_down = status.is_failing();
            (status.up, status.last_success) = (true, Some(clock::wall()));
        });
        if was_down {
            tracing::info!(service = &*self.service, source = self.kind(), "the source is back");
        }
    }

    /// An entry cannot be used.
    fn reject(&mut self, key: &str, reason: &str) {
        self.outlet.status.send_modify(|status| {
            status.errors += 1;
            status.last_error = Some((clock::wall(), format!("{key}: {reason}").into()));
        });
        if self.logged.len() < MAX_LOGGED && self.logged.insert(key.into()) {
            let (service, source) = (&*self.service, self.kind());
            tracing::warn!(service, source, key, reason, "an entry of the registry is left out");
        }
    }

    /// The source has failed; returns the pause until it is started again.
    fn failed(&mut self, error: &str) -> Duration {
        let mut was_failing = false;
        self.outlet.status.send_modify(|status| {
            was_failing = status.is_failing();
            status.up = false;
            status.errors += 1;
            status.last_error = Some((clock::wall(), error.into()));
        });
        if !was_failing {
            let (service, source) = (&*self.service, self.kind());
            tracing::warn!(service, source, error, "the source fails: what it told last stays");
        }
        self.backoff.next(self.busy.load(Relaxed), self.rng.f64())
    }

    fn kind(&self) -> &'static str {
        self.discover.source.kind()
    }
}

/// A text of a registry on one line, as far as it is kept.
fn clip(text: &str) -> String {
    text.chars().take(MAX_ERROR).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
