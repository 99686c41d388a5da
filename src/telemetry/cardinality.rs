//! Cardinality limit: which series are exported under their own labels and which are folded into
//! the aggregate `other`.
//!
//! Totals stay right: `other` is the remainder, per service as long as the service has its own
//! series. Counters are monotonic, or Prometheus would see bursts that never happened: what was
//! once added to an aggregate stays there, whether its backend later gets its own series or is
//! removed.

mod allot;
mod cost;
mod member;
mod methods;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use self::allot::{Allotment, Claim, Claims, allot, allot_all};
use self::member::{EndpointHistory, KnownMember};
use self::methods::Methods;
use super::export::{CounterId, ServiceCounter, ServiceSample};
use super::settings::ResponseStart;
use crate::model::StatTotals;
use crate::stats::HistogramCounts;

pub(super) use self::cost::SeriesCost;

/// The label value of aggregates.
pub(super) const OTHER: &str = "other";

/// The state that is kept between scrapes.
#[derive(Debug)]
pub(super) struct Cardinality {
    cost: SeriesCost,
    services: HashMap<Arc<str>, KnownService>,
    /// The aggregates, by service.
    aggregates: BTreeMap<Arc<str>, Aggregate>,
    methods: Methods,
    folded: Folded,
}

/// A service at the last scrape.
#[derive(Debug, Default)]
struct KnownService {
    named: bool,
    /// The part of its own counters that has been added to the aggregate.
    aggregated: HashMap<CounterId, u64>,
    starts: Starts,
    /// In the order of this scrape; labelled by address.
    backends: Vec<KnownBackend>,
}

/// A backend at the last scrape.
#[derive(Debug, Default)]
struct KnownBackend {
    endpoints: EndpointHistory,
    known: KnownMember,
}

/// Times to the response head of a service, beside those held by its current backends.
#[derive(Debug, Default)]
struct Starts {
    /// Of removed backends.
    gone: HistogramCounts,
    /// The part that has been added to the aggregate.
    aggregated: HistogramCounts,
}

/// An aggregate: everything exported under the label `other`.
#[derive(Debug, Default)]
pub(super) struct Aggregate {
    pub(super) totals: StatTotals,
    /// Counters of services, without those of their backends.
    pub(super) counters: BTreeMap<CounterId, u64>,
}

/// How many label sets of this scrape are folded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Folded {
    pub(super) services: usize,
    pub(super) backends: usize,
    /// Status codes of backends that have their own series.
    pub(super) codes: usize,
    pub(super) methods: usize,
    /// Status codes of methods that have their own series.
    pub(super) method_codes: usize,
}

impl KnownService {
    fn known(&self) -> impl Iterator<Item = &KnownMember> {
        self.backends.iter().map(|backend| &backend.known)
    }

    fn busy(&self) -> bool {
        self.known().any(KnownMember::busy)
    }

    /// Applies a new sample: drops removed backends, adds new ones, reads all status codes.
    fn update(&mut self, service: &ServiceSample) {
        let same = |(known, backend): (&KnownBackend, _)| known.endpoints.have_address_of(backend);
        let pairs = || self.backends.iter().zip(&service.backends);
        if self.backends.len() != service.backends.len() || !pairs().all(same) {
            self.reorder(service);
        }
        for (KnownBackend { endpoints, known }, backend) in
            self.backends.iter_mut().zip(&service.backends)
        {
            endpoints.update(backend);
            known.update(endpoints.codes(), backend.is_open());
        }
    }

    /// Rebuilds the list of backends in the sample's order.
    fn reorder(&mut self, service: &ServiceSample) {
        let met = std::mem::take(&mut self.backends).into_iter();
        let address = |met: &KnownBackend| met.endpoints.address().map(Box::from);
        let mut met: HashMap<Option<Box<str>>, KnownBackend> =
            met.map(|met| (address(&met), met)).collect();
        let here = service.backends.iter();
        let here = here.map(|backend| met.remove(&Some(backend.endpoint.address().into())));
        self.backends = here.map(Option::unwrap_or_default).collect();
        met.values().for_each(|gone| gone.endpoints.add_starts_to(&mut self.starts.gone));
    }

    /// Times to the response head of all backends it ever had, less what is in the aggregate.
    fn starts(&self) -> HistogramCounts {
        let mut starts = self.starts.gone.clone();
        let busy = self.backends.iter().filter(|backend| backend.known.busy());
        busy.for_each(|backend| backend.endpoints.add_starts_to(&mut starts));
        starts.subtract(&self.starts.aggregated);
        starts
    }
}

impl Cardinality {
    /// Nothing has been exported yet.
    pub(super) fn new(cost: SeriesCost) -> Cardinality {
        let (services, aggregates) = (HashMap::new(), BTreeMap::new());
        let methods = Methods::new(cost);
        Cardinality { cost, services, aggregates, methods, folded: Folded::default() }
    }

    /// Begins a scrape with a budget of series; returns which of each service get their own.
    pub(super) fn begin(&mut self, services: &[ServiceSample], budget: usize) -> Vec<Allotment> {
        self.update(services);
        let mut claims: Vec<Claims> = services.iter().map(|service| self.claims(service)).collect();
        let (named, mut left) = allot_all(&claims, budget.saturating_sub(self.kept_series()))
            .unwrap_or_else(|| {
                for (claims, service) in claims.iter_mut().zip(services) {
                    claims.sum = self.sum(service);
                }
                allot(&claims, self.total_aggregate_series(services), budget)
            });
        self.folded = Folded::default();
        for (service, named) in services.iter().zip(&named) {
            let known = self.services.entry(Arc::clone(&service.name)).or_default();
            known.named = named.service;
            self.folded.services += usize::from(!named.service);
            for (KnownBackend { known, .. }, named) in known.backends.iter_mut().zip(&named.members)
            {
                known.set_named(*named, self.cost, &mut left);
                self.folded.backends += usize::from(!named);
                self.folded.codes += known.folded_codes();
            }
            let named = named.members.get(service.backends.len()..).unwrap_or_default();
            let folded = self.methods.set_named(service, named, &mut left);
            self.folded.methods += folded.methods;
            self.folded.method_codes += folded.codes;
        }
        named
    }

    fn update(&mut self, services: &[ServiceSample]) {
        let names: HashSet<&Arc<str>> = services.iter().map(|service| &service.name).collect();
        self.services.retain(|name, _| names.contains(name));
        self.aggregates.retain(|name, _| &**name == OTHER || names.contains(name));
        for service in services {
            self.services.entry(Arc::clone(&service.name)).or_default().update(service);
        }
        self.methods.update(services, &names);
    }

    fn claims(&self, service: &ServiceSample) -> Claims {
        let of = self.services.get(&service.name);
        let known = of.into_iter().flat_map(KnownService::known);
        let price = |busy, codes, streams| self.cost.backend(busy, codes, streams);
        let mut members: Vec<Claim> = known.map(|known| known.claim(price)).collect();
        let methods = self.methods.claims(service);
        let sum_of = |claims: &[Claim]| claims.iter().map(|claim| claim.traffic).sum::<u64>();
        // The methods still count what removed backends have served.
        let traffic = sum_of(&members).max(sum_of(&methods));
        let busy = of.is_some_and(KnownService::busy);
        let held = of.is_some_and(|service| service.named) && traffic > 0;
        let counters = service.counters.iter().filter(|counter| busy || counter.value > 0).count();
        let nameless = self.methods.nameless_series(service);
        let series = self.cost.service(busy) + counters + nameless;
        let backends = members.len();
        members.extend(methods);
        Claims { service: Claim { held, traffic, series }, sum: 0, members, backends }
    }

    /// Series of the aggregates of the service's backends and methods.
    fn sum(&self, service: &ServiceSample) -> usize {
        let known = self.services.get(&service.name).into_iter().flat_map(KnownService::known);
        let methods =
            self.methods.aggregate_series(service) - self.methods.nameless_series(service);
        self.aggregate_series(known) + methods
    }

    /// Series of the aggregate of these backends.
    fn aggregate_series<'a>(&self, backends: impl Iterator<Item = &'a KnownMember>) -> usize {
        let (mut sum, mut busy) = (StatTotals::default(), false);
        for backend in backends {
            sum.add_codes(backend.now());
            busy |= backend.busy();
        }
        self.cost.backend(busy, sum.codes().count(), sum.streams.opened > 0)
    }

    /// Series of the aggregate of all services.
    fn total_aggregate_series(&self, services: &[ServiceSample]) -> usize {
        let all = self.services.values();
        let counters = services.iter().flat_map(|service| &service.counters);
        let counters: HashSet<CounterId> = counters.map(|counter| counter.id.summed()).collect();
        let busy = all.clone().any(KnownService::busy);
        let sum = self.aggregate_series(all.flat_map(KnownService::known));
        self.cost.service(busy) + counters.len() + sum + self.methods.total_aggregate_series()
    }

    /// Series of existing aggregates, which stay even when nothing is folded any more.
    fn kept_series(&self) -> usize {
        let of = |rest: &Aggregate| {
            let (codes, streams) = (rest.totals.codes().count(), rest.totals.streams.opened > 0);
            let busy = codes > 0 || streams;
            let sum = self.cost.backend(busy, codes, streams);
            sum + self.cost.service(busy) + rest.counters.len()
        };
        self.aggregates.values().map(of).sum::<usize>() + self.methods.kept_series()
    }

    /// The totals to export for a service's backend (by index) if it has its own series; the rest
    /// goes to the aggregate.
    pub(super) fn take_backend(&mut self, service: &Arc<str>, number: usize) -> Option<StatTotals> {
        let starts = self.cost.start == ResponseStart::Backend;
        let KnownBackend { endpoints, known } =
            self.services.get_mut(service)?.backends.get_mut(number)?;
        let named = known.named();
        let (shown, rest) = known.split(|totals| {
            endpoints.add_durations_to(&mut totals.duration);
            if starts {
                endpoints.add_starts_to(&mut totals.start);
            }
        });
        if let Some(rest) = rest {
            self.aggregate(service).totals.add(&rest);
        }
        named.then_some(shown)
    }

    /// As `take_backend`, for a counter of a service. A zero is left out while the service has no traffic.
    pub(super) fn take_counter(
        &mut self,
        service: &Arc<str>,
        counter: &ServiceCounter,
    ) -> Option<u64> {
        let known = self.services.get_mut(service)?;
        if counter.value == 0 && !known.busy() {
            return None;
        }
        let aggregated = known.aggregated.get(&counter.id).copied().unwrap_or_default();
        let shown = counter.value.saturating_sub(aggregated);
        if known.named {
            return Some(shown);
        }
        known.aggregated.insert(counter.id.clone(), aggregated + shown);
        *self.aggregate(service).counters.entry(counter.id.summed()).or_default() += shown;
        None
    }

    /// As `take_backend`, for a service's times to the response head.
    pub(super) fn take_starts(&mut self, service: &Arc<str>) -> Option<HistogramCounts> {
        if self.cost.start != ResponseStart::Service {
            return None;
        }
        let known = self.services.get_mut(service)?;
        let shown = known.starts();
        if known.named {
            return Some(shown);
        }
        known.starts.aggregated.add(&shown);
        self.aggregate(service).totals.start.add(&shown);
        None
    }

    /// As `take_backend`, for a service's methods: calls `show` with those that have their own series.
    pub(super) fn take_methods(
        &mut self,
        service: &ServiceSample,
        show: impl FnMut(&str, &StatTotals),
    ) {
        let sum = self.aggregate_name(&service.name);
        self.methods.take(service, sum, show);
    }

    /// The aggregates of methods, once all methods are taken.
    pub(super) fn method_aggregates(&self) -> impl Iterator<Item = (&str, &StatTotals)> {
        self.methods.aggregates()
    }

    /// The aggregate that `service` folds into.
    fn aggregate(&mut self, service: &Arc<str>) -> &mut Aggregate {
        self.aggregates.entry(self.aggregate_name(service)).or_default()
    }

    fn aggregate_name(&self, service: &Arc<str>) -> Arc<str> {
        let named = self.services.get(service).is_some_and(|known| known.named);
        if named { Arc::clone(service) } else { OTHER.into() }
    }

    /// The aggregates of this scrape, once all backends are taken.
    pub(super) fn aggregates(&self) -> impl Iterator<Item = (&str, &Aggregate)> {
        self.aggregates.iter().map(|(name, rest)| (&**name, rest))
    }

    /// How much is folded.
    pub(super) fn folded(&self) -> Folded {
        self.folded
    }
}
