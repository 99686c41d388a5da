//! What is told of a service's methods: as with its backends, the busiest have their names, and the
//! others are added up under the name `other`, with those that never had one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::budget::Claim;
use super::export::ServiceSample;
use super::fold::OTHER;
use super::known::Known;
use super::series::Prices;
use crate::model::{MethodStats, StatTotals};

/// The methods of all services, from page to page.
#[derive(Debug)]
pub(super) struct Methods {
    prices: Prices,
    services: HashMap<Arc<str>, HashMap<Box<str>, KnownMethod>>,
    /// The sums, by service.
    rests: BTreeMap<Arc<str>, StatTotals>,
}

/// A method on the last page.
#[derive(Debug)]
struct KnownMethod {
    stats: Arc<MethodStats>,
    known: Known,
}

/// How many of a service's methods are in sums on this page.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FoldedMethods {
    pub(super) methods: usize,
    /// By code.
    pub(super) codes: usize,
}

/// Those that may have a name.
fn nameable(service: &ServiceSample) -> impl Iterator<Item = &Arc<MethodStats>> {
    service.methods.iter().filter(|method| method.name() != OTHER)
}

impl Methods {
    /// Nothing was shown so far.
    pub(super) fn new(prices: Prices) -> Methods {
        Methods { prices, services: HashMap::new(), rests: BTreeMap::new() }
    }

    /// Forgets the services that have gone, reads the codes of all methods. `services` are here.
    pub(super) fn meet(&mut self, services: &[ServiceSample], names: &HashSet<&Arc<str>>) {
        self.services.retain(|name, _| names.contains(name));
        self.rests.retain(|name, _| &**name == OTHER || names.contains(name));
        for service in services {
            let methods = self.services.entry(Arc::clone(&service.name)).or_default();
            for stats in &service.methods {
                // A service that has come back begins anew.
                if methods.get(stats.name()).is_none_or(|met| !Arc::ptr_eq(&met.stats, stats)) {
                    let new = KnownMethod { stats: Arc::clone(stats), known: Known::default() };
                    methods.insert(stats.name().into(), new);
                }
                if let Some(method) = methods.get_mut(stats.name()) {
                    method.known.meet(stats.codes(), false);
                }
            }
        }
    }

    fn of(&self, service: &ServiceSample, method: &str) -> Option<&Known> {
        self.services.get(&service.name)?.get(method).map(|method| &method.known)
    }

    /// What those want that may have a name.
    pub(super) fn claims(&self, service: &ServiceSample) -> Vec<Claim> {
        let known = nameable(service).filter_map(|method| self.of(service, method.name()));
        known.map(|known| known.claim(|_, codes, _| self.prices.method(codes))).collect()
    }

    /// Series of those that never have a name.
    pub(super) fn nameless_series(&self, service: &ServiceSample) -> usize {
        self.sum_of(self.of(service, OTHER).into_iter())
    }

    /// Series of the sum of all of a service.
    pub(super) fn sum_series(&self, service: &ServiceSample) -> usize {
        let known = self.services.get(&service.name).into_iter().flat_map(HashMap::values);
        self.sum_of(known.map(|method| &method.known))
    }

    /// Series of the sum of all of all services.
    pub(super) fn rest_series(&self) -> usize {
        let known = self.services.values().flat_map(HashMap::values);
        self.sum_of(known.map(|method| &method.known))
    }

    fn sum_of<'a>(&self, methods: impl Iterator<Item = &'a Known>) -> usize {
        let mut sum = StatTotals::default();
        methods.for_each(|known| sum.add_codes(known.now()));
        self.prices.method(sum.codes().count())
    }

    /// Series of the sums that there are, beside those of what never has a name.
    pub(super) fn kept_series(&self) -> usize {
        let of = |(service, rest): (&Arc<str>, &StatTotals)| {
            let nameless = self.services.get(service).and_then(|methods| methods.get(OTHER));
            let nameless = self.sum_of(nameless.map(|method| &method.known).into_iter());
            self.prices.method(rest.codes().count()).saturating_sub(nameless)
        };
        self.rests.iter().map(of).sum()
    }

    /// Gives names to those that have a place.
    pub(super) fn name(
        &mut self,
        service: &ServiceSample,
        named: &[bool],
        left: &mut usize,
    ) -> FoldedMethods {
        let mut folded = FoldedMethods::default();
        let Some(methods) = self.services.get_mut(&service.name) else { return folded };
        for (stats, named) in nameable(service).zip(named) {
            if let Some(KnownMethod { known, .. }) = methods.get_mut(stats.name()) {
                known.name(*named, self.prices, left);
                folded.methods += usize::from(!named);
                folded.codes += known.folded_codes();
            }
        }
        folded
    }

    /// Has `show` told what is told of each under its name; the rest goes into the sum called `sum`.
    pub(super) fn take(
        &mut self,
        service: &ServiceSample,
        sum: Arc<str>,
        mut show: impl FnMut(&str, &StatTotals),
    ) {
        let Some(methods) = self.services.get_mut(&service.name) else { return };
        for stats in &service.methods {
            let Some(method) = methods.get_mut(stats.name()) else { continue };
            let fill = |totals: &mut StatTotals| stats.add_durations_to(&mut totals.duration);
            let (shown, rest) = method.known.split(fill);
            if method.known.named() {
                show(stats.name(), &shown);
            }
            if let Some(rest) = rest.filter(|rest| rest.codes().next().is_some()) {
                self.rests.entry(Arc::clone(&sum)).or_default().add(&rest);
            }
        }
    }

    /// The sums of this page, by service, once all methods are taken.
    pub(super) fn rests(&self) -> impl Iterator<Item = (&str, &StatTotals)> {
        self.rests.iter().map(|(name, rest)| (&**name, rest))
    }
}
