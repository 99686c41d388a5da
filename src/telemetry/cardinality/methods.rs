//! Cardinality limit of methods: as with backends, the busiest have their own series; the others
//! are folded into the aggregate `other`, as are calls of unknown methods.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::allot::Claim;
use super::member::KnownMember;
use super::{OTHER, SeriesCost};
use crate::model::{MethodStats, StatTotals};
use crate::telemetry::export::ServiceSample;

/// The methods of all services from scrape to scrape; those of a service in the order of this
/// scrape.
#[derive(Debug)]
pub(super) struct Methods {
    cost: SeriesCost,
    services: HashMap<Arc<str>, Vec<KnownMethod>>,
    /// The aggregates, by service.
    aggregates: BTreeMap<Arc<str>, StatTotals>,
}

/// A method at the last scrape.
#[derive(Debug)]
struct KnownMethod {
    stats: Arc<MethodStats>,
    known: KnownMember,
}

/// How many of a service's methods are folded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FoldedMethods {
    pub(super) methods: usize,
    /// Status codes of methods that have their own series.
    pub(super) codes: usize,
}

impl KnownMethod {
    /// Whether it may have its own series.
    fn is_nameable(&self) -> bool {
        self.stats.name() != OTHER
    }
}

/// Rebuilds the list of known methods in the order of `now`.
fn reorder(met: &mut Vec<KnownMethod>, now: &[Arc<MethodStats>]) {
    let old = std::mem::take(met).into_iter();
    let mut old: HashMap<*const MethodStats, KnownMember> =
        old.map(|method| (Arc::as_ptr(&method.stats), method.known)).collect();
    met.extend(now.iter().map(|stats| KnownMethod {
        stats: Arc::clone(stats),
        known: old.remove(&Arc::as_ptr(stats)).unwrap_or_default(),
    }));
}

impl Methods {
    /// Nothing has been exported yet.
    pub(super) fn new(cost: SeriesCost) -> Methods {
        Methods { cost, services: HashMap::new(), aggregates: BTreeMap::new() }
    }

    /// Drops removed services, reads the status codes of all methods. `services` are the current
    /// ones.
    pub(super) fn update(&mut self, services: &[ServiceSample], names: &HashSet<&Arc<str>>) {
        self.services.retain(|name, _| names.contains(name));
        self.aggregates.retain(|name, _| &**name == OTHER || names.contains(name));
        for service in services {
            let methods = self.services.entry(Arc::clone(&service.name)).or_default();
            let same = |(met, stats): (&KnownMethod, _)| Arc::ptr_eq(&met.stats, stats);
            if methods.len() != service.methods.len()
                || !methods.iter().zip(&service.methods).all(same)
            {
                reorder(methods, &service.methods);
            }
            for KnownMethod { stats, known } in methods {
                known.update(stats.codes(), false);
            }
        }
    }

    /// The methods of a service at this scrape.
    fn of(&self, service: &str) -> &[KnownMethod] {
        self.services.get(service).map_or(&[], Vec::as_slice)
    }

    /// The claims of the methods that may have their own series.
    pub(super) fn claims(&self, service: &ServiceSample) -> Vec<Claim> {
        let nameable = self.of(&service.name).iter().filter(|method| method.is_nameable());
        let price = |_, codes, _| self.cost.method(codes);
        nameable.map(|method| method.known.claim(price)).collect()
    }

    /// Series of the methods that never have their own.
    pub(super) fn nameless_series(&self, service: &ServiceSample) -> usize {
        self.nameless(&service.name)
    }

    /// Series of the aggregate of all methods of a service.
    pub(super) fn aggregate_series(&self, service: &ServiceSample) -> usize {
        self.sum_of(self.of(&service.name).iter())
    }

    /// Series of the aggregate of all methods of all services.
    pub(super) fn total_aggregate_series(&self) -> usize {
        self.sum_of(self.services.values().flatten())
    }

    fn nameless(&self, service: &str) -> usize {
        self.sum_of(self.of(service).iter().filter(|method| !method.is_nameable()))
    }

    fn sum_of<'a>(&self, methods: impl Iterator<Item = &'a KnownMethod>) -> usize {
        let mut sum = StatTotals::default();
        methods.for_each(|method| sum.add_codes(method.known.now()));
        self.cost.method(sum.codes().count())
    }

    /// Series of existing aggregates, without those of methods that never have their own.
    pub(super) fn kept_series(&self) -> usize {
        let of = |(service, rest): (&Arc<str>, &StatTotals)| {
            self.cost.method(rest.codes().count()).saturating_sub(self.nameless(service))
        };
        self.aggregates.iter().map(of).sum()
    }

    /// Gives the allotted methods their own series and folds the others.
    pub(super) fn set_named(
        &mut self,
        service: &ServiceSample,
        named: &[bool],
        left: &mut usize,
    ) -> FoldedMethods {
        let mut folded = FoldedMethods::default();
        let Some(methods) = self.services.get_mut(&service.name) else { return folded };
        let nameable = methods.iter_mut().filter(|method| method.is_nameable());
        for (KnownMethod { known, .. }, named) in nameable.zip(named) {
            known.set_named(*named, self.cost, left);
            folded.methods += usize::from(!named);
            folded.codes += known.folded_codes();
        }
        folded
    }

    /// Calls `show` with the totals of each method that has its own series; the rest goes to the
    /// aggregate `sum`.
    pub(super) fn take(
        &mut self,
        service: &ServiceSample,
        sum: Arc<str>,
        mut show: impl FnMut(&str, &StatTotals),
    ) {
        let Some(methods) = self.services.get_mut(&service.name) else { return };
        for KnownMethod { stats, known } in methods {
            let fill = |totals: &mut StatTotals| stats.add_durations_to(&mut totals.duration);
            let (shown, rest) = known.split(fill);
            if known.named() {
                show(stats.name(), &shown);
            }
            if let Some(rest) = rest.filter(|rest| rest.codes().next().is_some()) {
                self.aggregates.entry(Arc::clone(&sum)).or_default().add(&rest);
            }
        }
    }

    /// The aggregates of this scrape, by service, once all methods are taken.
    pub(super) fn aggregates(&self) -> impl Iterator<Item = (&str, &StatTotals)> {
        self.aggregates.iter().map(|(name, rest)| (&**name, rest))
    }
}
