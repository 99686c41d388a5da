//! What is told of a backend under its own name, and what is added up under the name `other`.
//!
//! Sums stay right: `other` is the rest, by service as long as services have names. And counters
//! only grow, or Prometheus would see bursts that were none: what was once added to a sum stays
//! there, when its backend gets a name of its own as well as when it leaves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::budget::{Claim, Claims, Named, allot};
use super::export::{BackendSample, ServiceSample};
use crate::model::{Code, Copied, Endpoint, Protocol, StatTotals};

/// The name of what has none.
pub(super) const OTHER: &str = "other";

/// Remembers from page to page what is shown how.
#[derive(Debug)]
pub(super) struct Fold {
    budget: usize,
    services: HashMap<Arc<str>, KnownService>,
    /// The sums, by service.
    rests: BTreeMap<Arc<str>, Rest>,
    folded: Folded,
}

/// A service on the last page.
#[derive(Debug, Default)]
struct KnownService {
    named: bool,
    /// Retries that were added to the sum so far.
    moved: u64,
    /// And copies of requests for it as a mirror.
    moved_copies: [u64; Copied::ALL.len()],
    /// By address, which is the label.
    backends: HashMap<Box<str>, Known>,
}

/// A backend on the last page.
#[derive(Debug, Default)]
struct Known {
    /// All that are at the address, or are leaving it.
    lives: Vec<Arc<Endpoint>>,
    /// What those counted that have left it since it is shown.
    past: StatTotals,
    named: bool,
    /// The codes that are shown of it.
    codes: HashSet<(Protocol, Code)>,
    /// How its requests have ended until this page.
    now: StatTotals,
    /// What was added to a sum so far.
    moved: StatTotals,
}

/// What is added up under the name `other`.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) totals: StatTotals,
    pub(super) retries: u64,
    pub(super) copies: [u64; Copied::ALL.len()],
}

/// How many label sets of this page are in sums.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Folded {
    pub(super) services: usize,
    pub(super) backends: usize,
    /// Of backends by code.
    pub(super) codes: usize,
}

impl KnownService {
    fn known(&self) -> impl Iterator<Item = &Known> {
        self.backends.values()
    }
}

impl Known {
    /// Goes over to those that are there now, and reads their codes. What was counted stays.
    fn meet(&mut self, backend: &BackendSample) {
        let lives: Vec<Arc<Endpoint>> = backend.lives().cloned().collect();
        for gone in std::mem::take(&mut self.lives) {
            if !lives.iter().any(|life| Arc::ptr_eq(life, &gone)) {
                self.past.add(&gone.totals());
            }
        }
        self.now = self.past.without_times();
        lives.iter().for_each(|life| self.now.add(&life.codes()));
        self.lives = lives;
    }

    fn held(&self) -> bool {
        self.named && !self.codes.is_empty()
    }

    fn claim(&self) -> Claim {
        let held = self.held();
        let sets = if held { self.codes.len() } else { self.now.codes().count().max(1) };
        Claim { held, traffic: self.now.requests(), sets }
    }

    /// Gives it a name or none, and a newly named one's codes theirs; later ones need to be `left`.
    fn name(&mut self, named: bool, left: &mut usize) {
        let newly = !self.held();
        self.named = named;
        if !named {
            return self.codes.clear();
        }
        for (protocol, code, _) in self.now.codes() {
            if newly {
                self.codes.insert((protocol, code));
            } else if *left > 0 && self.codes.insert((protocol, code)) {
                *left -= 1;
            }
        }
    }

    /// What is shown under its name, and what goes into the sum.
    fn split(&mut self) -> (StatTotals, StatTotals) {
        let mut shown = self.now.clone();
        shown.duration.add(&self.past.duration);
        shown.start.add(&self.past.start);
        self.lives.iter().for_each(|life| life.add_times_to(&mut shown));
        shown = shown.since(&self.moved);
        let rest = match self.named {
            true => shown.take_codes(|protocol, code| !self.codes.contains(&(protocol, code))),
            false => std::mem::take(&mut shown),
        };
        self.moved.add(&rest);
        (shown, rest)
    }
}

impl Fold {
    /// Shows `budget` label sets of a metric by name.
    pub(super) fn new(budget: usize) -> Fold {
        Fold { budget, services: HashMap::new(), rests: BTreeMap::new(), folded: Folded::default() }
    }

    /// Begins a page on `services`: says who is named on it, in their order.
    pub(super) fn begin(&mut self, services: &[ServiceSample]) -> Vec<Named> {
        self.meet(services);
        let claims: Vec<Claims> = services.iter().map(|service| self.claims(service)).collect();
        let rest = distinct_codes(self.services.values().flat_map(KnownService::known));
        let (named, mut left) = allot(&claims, rest, self.budget);
        self.folded = Folded::default();
        for (service, named) in services.iter().zip(&named) {
            let known = self.services.entry(Arc::clone(&service.name)).or_default();
            known.named = named.service;
            self.folded.services += usize::from(!named.service);
            for (backend, named) in service.backends.iter().zip(&named.backends) {
                if let Some(known) = known.backends.get_mut(backend.endpoint.address()) {
                    known.name(*named, &mut left);
                    self.folded.backends += usize::from(!named);
                    self.folded.codes += known.now.codes().count() - known.codes.len();
                }
            }
        }
        named
    }

    /// Forgets who has gone, notes who has come, reads the codes of all.
    fn meet(&mut self, services: &[ServiceSample]) {
        let names: HashSet<&Arc<str>> = services.iter().map(|service| &service.name).collect();
        self.services.retain(|name, _| names.contains(name));
        self.rests.retain(|name, _| &**name == OTHER || names.contains(name));
        for service in services {
            let known = self.services.entry(Arc::clone(&service.name)).or_default();
            let mut before = std::mem::take(&mut known.backends);
            for backend in &service.backends {
                let address = backend.endpoint.address();
                let mut met = before.remove(address).unwrap_or_default();
                met.meet(backend);
                known.backends.insert(address.into(), met);
            }
        }
    }

    fn claims(&self, service: &ServiceSample) -> Claims {
        let of = self.services.get(&service.name);
        let known = |backend: &BackendSample| of?.backends.get(backend.endpoint.address());
        let backends = || service.backends.iter().filter_map(known);
        let claims: Vec<Claim> = backends().map(Known::claim).collect();
        let traffic = claims.iter().map(|claim| claim.traffic).sum();
        let service = Claim {
            held: of.is_some_and(|service| service.named) && traffic > 0,
            traffic,
            sets: distinct_codes(backends()),
        };
        Claims { service, backends: claims }
    }

    /// What is shown of a backend under its name, if it has one; the rest goes into its sum.
    pub(super) fn take(
        &mut self,
        service: &Arc<str>,
        backend: &BackendSample,
    ) -> Option<StatTotals> {
        let known = self.services.get_mut(service)?;
        let known = known.backends.get_mut(backend.endpoint.address())?;
        let (shown, rest) = known.split();
        let named = known.named;
        if !named || rest.requests() > 0 {
            self.rest(service).totals.add(&rest);
        }
        named.then_some(shown)
    }

    /// As `take`, for the retries of a service.
    pub(super) fn take_retries(&mut self, service: &ServiceSample) -> Option<u64> {
        let known = self.services.get_mut(&service.name)?;
        let shown = service.retries.saturating_sub(known.moved);
        if known.named {
            return Some(shown);
        }
        known.moved += shown;
        self.rest(&service.name).retries += shown;
        None
    }

    /// As `take`, for the copies that a service got as a mirror, if there were any.
    pub(super) fn take_copies(
        &mut self,
        service: &ServiceSample,
    ) -> Option<[u64; Copied::ALL.len()]> {
        let mut shown = service.copies?;
        let known = self.services.get_mut(&service.name)?;
        for (shown, moved) in shown.iter_mut().zip(&mut known.moved_copies) {
            *shown = shown.saturating_sub(*moved);
            *moved += if known.named { 0 } else { *shown };
        }
        if known.named {
            return Some(shown);
        }
        let rest = self.rest(&service.name);
        rest.copies.iter_mut().zip(shown).for_each(|(sum, more)| *sum += more);
        None
    }

    /// The sum that `service` has its rest in.
    fn rest(&mut self, service: &Arc<str>) -> &mut Rest {
        let named = self.services.get(service).is_some_and(|known| known.named);
        let name = if named { Arc::clone(service) } else { OTHER.into() };
        self.rests.entry(name).or_default()
    }

    /// The sums of this page, once all backends are taken.
    pub(super) fn rests(&self) -> impl Iterator<Item = (&str, &Rest)> {
        self.rests.iter().map(|(name, rest)| (&**name, rest))
    }

    /// How much is in the sums.
    pub(super) fn folded(&self) -> Folded {
        self.folded
    }
}

/// The label sets that a sum over `backends` has.
fn distinct_codes<'a>(backends: impl Iterator<Item = &'a Known>) -> usize {
    let codes = backends.flat_map(|known| known.now.codes());
    codes.map(|(protocol, code, _)| (protocol, code)).collect::<HashSet<_>>().len().max(1)
}
