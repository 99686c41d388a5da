//! What is told of a backend under its own name, and what is added up under the name `other`.
//!
//! Sums stay right: `other` is the rest, by service as long as services have names. And counters
//! only grow, or Prometheus would see bursts that were none: what was once added to a sum stays
//! there, when its backend gets a name of its own as well as when it leaves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::budget::{Claim, Claims, Named, allot, name_all};
use super::export::{CounterId, ServiceCounter, ServiceSample};
use super::known::{Known, Lives};
use super::methods::Methods;
use super::series::Prices;
use super::settings::ResponseStart;
use crate::model::StatTotals;
use crate::stats::Counts;

/// The name of what has none.
pub(super) const OTHER: &str = "other";

/// Remembers from page to page what is shown how.
#[derive(Debug)]
pub(super) struct Fold {
    prices: Prices,
    services: HashMap<Arc<str>, KnownService>,
    /// The sums, by service.
    rests: BTreeMap<Arc<str>, Rest>,
    methods: Methods,
    folded: Folded,
}

/// A service on the last page.
#[derive(Debug, Default)]
struct KnownService {
    named: bool,
    /// Of its own counters, what was added to the sum so far.
    moved: HashMap<CounterId, u64>,
    starts: Starts,
    /// In the order of this page; their addresses are their labels.
    backends: Vec<KnownBackend>,
}

/// A backend on the last page.
#[derive(Debug, Default)]
struct KnownBackend {
    lives: Lives,
    known: Known,
}

/// Times to the response head of a service, beside those of the backends that it has.
#[derive(Debug, Default)]
struct Starts {
    /// Of backends that it had.
    gone: Counts,
    /// What was added to the sum so far.
    moved: Counts,
}

/// What is added up under the name `other`.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) totals: StatTotals,
    /// Of services, their own counters.
    pub(super) counters: BTreeMap<CounterId, u64>,
}

/// How many label sets of this page are in sums.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Folded {
    pub(super) services: usize,
    pub(super) backends: usize,
    /// Of backends by code.
    pub(super) codes: usize,
    pub(super) methods: usize,
    /// Of methods by code.
    pub(super) method_codes: usize,
}

impl KnownService {
    fn known(&self) -> impl Iterator<Item = &Known> {
        self.backends.iter().map(|backend| &backend.known)
    }

    fn busy(&self) -> bool {
        self.known().any(Known::busy)
    }

    /// Forgets who has gone, notes who has come, reads the codes of all.
    fn meet(&mut self, service: &ServiceSample) {
        let same = |(known, backend): (&KnownBackend, _)| known.lives.are_at(backend);
        let pairs = || self.backends.iter().zip(&service.backends);
        if self.backends.len() != service.backends.len() || !pairs().all(same) {
            self.reorder(service);
        }
        for (KnownBackend { lives, known }, backend) in
            self.backends.iter_mut().zip(&service.backends)
        {
            lives.meet(backend);
            known.meet(lives.codes(), backend.is_open());
        }
    }

    /// Goes over to the backends that there are now, in their order.
    fn reorder(&mut self, service: &ServiceSample) {
        let met = std::mem::take(&mut self.backends).into_iter();
        let address = |met: &KnownBackend| met.lives.address().map(Box::from);
        let mut met: HashMap<Option<Box<str>>, KnownBackend> =
            met.map(|met| (address(&met), met)).collect();
        let here = service.backends.iter();
        let here = here.map(|backend| met.remove(&Some(backend.endpoint.address().into())));
        self.backends = here.map(Option::unwrap_or_default).collect();
        met.values().for_each(|gone| gone.lives.add_starts_to(&mut self.starts.gone));
    }

    /// Times to the response head of all backends that it has had, without those in the sum.
    fn starts(&self) -> Counts {
        let mut starts = self.starts.gone.clone();
        let busy = self.backends.iter().filter(|backend| backend.known.busy());
        busy.for_each(|backend| backend.lives.add_starts_to(&mut starts));
        starts.subtract(&self.starts.moved);
        starts
    }
}

impl Fold {
    /// Nothing was shown so far.
    pub(super) fn new(prices: Prices) -> Fold {
        let (services, rests) = (HashMap::new(), BTreeMap::new());
        let methods = Methods::new(prices);
        Fold { prices, services, rests, methods, folded: Folded::default() }
    }

    /// Begins a page on `services` with so many series: says who is named on it, in their order.
    pub(super) fn begin(&mut self, services: &[ServiceSample], budget: usize) -> Vec<Named> {
        self.meet(services);
        let mut claims: Vec<Claims> = services.iter().map(|service| self.claims(service)).collect();
        let (named, mut left) = name_all(&claims, budget.saturating_sub(self.kept_series()))
            .unwrap_or_else(|| {
                for (claims, service) in claims.iter_mut().zip(services) {
                    claims.sum = self.sum(service);
                }
                allot(&claims, self.rest_series(services), budget)
            });
        self.folded = Folded::default();
        for (service, named) in services.iter().zip(&named) {
            let known = self.services.entry(Arc::clone(&service.name)).or_default();
            known.named = named.service;
            self.folded.services += usize::from(!named.service);
            for (KnownBackend { known, .. }, named) in known.backends.iter_mut().zip(&named.members)
            {
                known.name(*named, self.prices, &mut left);
                self.folded.backends += usize::from(!named);
                self.folded.codes += known.folded_codes();
            }
            let named = named.members.get(service.backends.len()..).unwrap_or_default();
            let folded = self.methods.name(service, named, &mut left);
            self.folded.methods += folded.methods;
            self.folded.method_codes += folded.codes;
        }
        named
    }

    fn meet(&mut self, services: &[ServiceSample]) {
        let names: HashSet<&Arc<str>> = services.iter().map(|service| &service.name).collect();
        self.services.retain(|name, _| names.contains(name));
        self.rests.retain(|name, _| &**name == OTHER || names.contains(name));
        for service in services {
            self.services.entry(Arc::clone(&service.name)).or_default().meet(service);
        }
        self.methods.meet(services, &names);
    }

    fn claims(&self, service: &ServiceSample) -> Claims {
        let of = self.services.get(&service.name);
        let known = of.into_iter().flat_map(KnownService::known);
        let price = |busy, codes, streams| self.prices.backend(busy, codes, streams);
        let mut members: Vec<Claim> = known.map(|known| known.claim(price)).collect();
        let methods = self.methods.claims(service);
        let sum_of = |claims: &[Claim]| claims.iter().map(|claim| claim.traffic).sum::<u64>();
        // What backends had that have left is counted by method still.
        let traffic = sum_of(&members).max(sum_of(&methods));
        let busy = of.is_some_and(KnownService::busy);
        let held = of.is_some_and(|service| service.named) && traffic > 0;
        let counters = service.counters.iter().filter(|counter| busy || counter.value > 0).count();
        let nameless = self.methods.nameless_series(service);
        let series = self.prices.service(busy) + counters + nameless;
        let backends = members.len();
        members.extend(methods);
        Claims { service: Claim { held, traffic, series }, sum: 0, members, backends }
    }

    /// Series of the sums of what may be without a name of a service that has one.
    fn sum(&self, service: &ServiceSample) -> usize {
        let known = self.services.get(&service.name).into_iter().flat_map(KnownService::known);
        let methods = self.methods.sum_series(service) - self.methods.nameless_series(service);
        self.sum_series(known) + methods
    }

    /// Series of the sum of these.
    fn sum_series<'a>(&self, backends: impl Iterator<Item = &'a Known>) -> usize {
        let (mut sum, mut busy) = (StatTotals::default(), false);
        for backend in backends {
            sum.add_codes(backend.now());
            busy |= backend.busy();
        }
        self.prices.backend(busy, sum.codes().count(), sum.streams.opened > 0)
    }

    /// Series of the sum of all services that may be without a name.
    fn rest_series(&self, services: &[ServiceSample]) -> usize {
        let all = self.services.values();
        let counters = services.iter().flat_map(|service| &service.counters);
        let counters: HashSet<CounterId> = counters.map(|counter| counter.id.summed()).collect();
        let busy = all.clone().any(KnownService::busy);
        let sum = self.sum_series(all.flat_map(KnownService::known));
        self.prices.service(busy) + counters.len() + sum + self.methods.rest_series()
    }

    /// Series of the sums that there are, even if nobody needs them any more.
    fn kept_series(&self) -> usize {
        let of = |rest: &Rest| {
            let (codes, streams) = (rest.totals.codes().count(), rest.totals.streams.opened > 0);
            let busy = codes > 0 || streams;
            let sum = self.prices.backend(busy, codes, streams);
            sum + self.prices.service(busy) + rest.counters.len()
        };
        self.rests.values().map(of).sum::<usize>() + self.methods.kept_series()
    }

    /// What is shown of a service's backend under its name, if it has one; the rest goes into its
    /// sum. `number` is its place among them.
    pub(super) fn take(&mut self, service: &Arc<str>, number: usize) -> Option<StatTotals> {
        let starts = self.prices.start == ResponseStart::Backend;
        let KnownBackend { lives, known } =
            self.services.get_mut(service)?.backends.get_mut(number)?;
        let named = known.named();
        let (shown, rest) = known.split(|totals| {
            lives.add_durations_to(&mut totals.duration);
            if starts {
                lives.add_starts_to(&mut totals.start);
            }
        });
        if let Some(rest) = rest {
            self.rest(service).totals.add(&rest);
        }
        named.then_some(shown)
    }

    /// As `take`, for a counter of a service. What is 0 is not told of one without traffic.
    pub(super) fn take_counter(
        &mut self,
        service: &Arc<str>,
        counter: &ServiceCounter,
    ) -> Option<u64> {
        let known = self.services.get_mut(service)?;
        if counter.value == 0 && !known.busy() {
            return None;
        }
        let moved = known.moved.get(&counter.id).copied().unwrap_or_default();
        let shown = counter.value.saturating_sub(moved);
        if known.named {
            return Some(shown);
        }
        known.moved.insert(counter.id.clone(), moved + shown);
        *self.rest(service).counters.entry(counter.id.summed()).or_default() += shown;
        None
    }

    /// As `take`, for the times to the response head of a service.
    pub(super) fn take_starts(&mut self, service: &Arc<str>) -> Option<Counts> {
        if self.prices.start != ResponseStart::Service {
            return None;
        }
        let known = self.services.get_mut(service)?;
        let shown = known.starts();
        if known.named {
            return Some(shown);
        }
        known.starts.moved.add(&shown);
        self.rest(service).totals.start.add(&shown);
        None
    }

    /// As `take`, for the methods of a service: `show` tells what has a name.
    pub(super) fn take_methods(
        &mut self,
        service: &ServiceSample,
        show: impl FnMut(&str, &StatTotals),
    ) {
        let sum = self.sum_name(&service.name);
        self.methods.take(service, sum, show);
    }

    /// The sums of methods of this page, once all are taken.
    pub(super) fn method_rests(&self) -> impl Iterator<Item = (&str, &StatTotals)> {
        self.methods.rests()
    }

    /// The sum that `service` has its rest in.
    fn rest(&mut self, service: &Arc<str>) -> &mut Rest {
        self.rests.entry(self.sum_name(service)).or_default()
    }

    fn sum_name(&self, service: &Arc<str>) -> Arc<str> {
        let named = self.services.get(service).is_some_and(|known| known.named);
        if named { Arc::clone(service) } else { OTHER.into() }
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
