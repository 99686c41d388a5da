//! What is told of a backend under its own name, and what is added up under the name `other`.
//!
//! Sums stay right: `other` is the rest, by service as long as services have names. And counters
//! only grow, or Prometheus would see bursts that were none: what was once added to a sum stays
//! there, when its backend gets a name of its own as well as when it leaves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::budget::{Claim, Claims, Named, allot};
use super::export::ServiceSample;
use crate::model::{Code, Copied, Endpoint, Protocol, StatTotals};

/// The name of what has none.
pub(super) const OTHER: &str = "other";

/// Remembers from page to page what is shown how.
#[derive(Debug)]
pub(super) struct Fold {
    budget: usize,
    services: HashMap<Arc<str>, KnownService>,
    /// By where the endpoint is in memory, which it is kept from leaving.
    backends: HashMap<usize, Known>,
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
}

/// A backend on the last page.
#[derive(Debug)]
struct Known {
    endpoint: Arc<Endpoint>,
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

impl Known {
    fn new(endpoint: &Arc<Endpoint>) -> Known {
        Known {
            endpoint: Arc::clone(endpoint),
            named: false,
            codes: HashSet::new(),
            now: StatTotals::default(),
            moved: StatTotals::default(),
        }
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
        self.endpoint.add_times_to(&mut shown);
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
        Fold {
            budget,
            services: HashMap::new(),
            backends: HashMap::new(),
            rests: BTreeMap::new(),
            folded: Folded::default(),
        }
    }

    /// Begins a page on `services`: says who is named on it, in their order.
    pub(super) fn begin(&mut self, services: &[ServiceSample]) -> Vec<Named> {
        self.meet(services);
        let claims: Vec<Claims> = services.iter().map(|service| self.claims(service)).collect();
        let all = services.iter().flat_map(|service| &service.backends);
        let rest = self.distinct_codes(all.map(|backend| &backend.endpoint));
        let (named, mut left) = allot(&claims, rest, self.budget);
        self.folded = Folded::default();
        for (service, named) in services.iter().zip(&named) {
            self.services.entry(Arc::clone(&service.name)).or_default().named = named.service;
            self.folded.services += usize::from(!named.service);
            for (backend, named) in service.backends.iter().zip(&named.backends) {
                if let Some(known) = self.backends.get_mut(&place(&backend.endpoint)) {
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
        let mut before = std::mem::take(&mut self.backends);
        for backend in services.iter().flat_map(|service| &service.backends) {
            let place = place(&backend.endpoint);
            let mut known = before.remove(&place).unwrap_or_else(|| Known::new(&backend.endpoint));
            known.now = backend.endpoint.codes();
            self.backends.insert(place, known);
        }
    }

    fn claims(&self, service: &ServiceSample) -> Claims {
        let known = |endpoint| self.backends.get(&place(endpoint));
        let endpoints = || service.backends.iter().map(|backend| &backend.endpoint);
        let backends: Vec<Claim> = endpoints().filter_map(known).map(Known::claim).collect();
        let traffic = backends.iter().map(|claim| claim.traffic).sum();
        let was_named = self.services.get(&service.name).is_some_and(|service| service.named);
        let service = Claim {
            held: was_named && traffic > 0,
            traffic,
            sets: self.distinct_codes(endpoints()),
        };
        Claims { service, backends }
    }

    /// The label sets that a sum over `endpoints` has.
    fn distinct_codes<'a>(&self, endpoints: impl Iterator<Item = &'a Arc<Endpoint>>) -> usize {
        let known = endpoints.filter_map(|endpoint| self.backends.get(&place(endpoint)));
        let codes = known.flat_map(|known| known.now.codes());
        codes.map(|(protocol, code, _)| (protocol, code)).collect::<HashSet<_>>().len().max(1)
    }

    /// What is shown of a backend under its name, if it has one; the rest goes into its sum.
    pub(super) fn take(
        &mut self,
        service: &Arc<str>,
        endpoint: &Arc<Endpoint>,
    ) -> Option<StatTotals> {
        let known = self.backends.get_mut(&place(endpoint))?;
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

fn place(endpoint: &Arc<Endpoint>) -> usize {
    Arc::as_ptr(endpoint).addr()
}
