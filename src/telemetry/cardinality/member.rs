//! Export state of each member (backend or method), kept from scrape to scrape.

use std::sync::Arc;

use super::SeriesCost;
use super::allot::Claim;
use crate::model::{Code, Endpoint, Protocol, StatTotals};
use crate::stats::HistogramCounts;
use crate::telemetry::export::BackendSample;

/// A member at the last scrape.
#[derive(Debug, Default)]
pub(super) struct KnownMember {
    named: bool,
    /// It has been exported with traffic.
    held: bool,
    /// It has had traffic.
    busy: bool,
    /// The status codes that have their own series.
    codes: Vec<(Protocol, Code)>,
    /// Its stream metrics have their own series.
    streams: bool,
    /// Its totals at this scrape.
    now: StatTotals,
    /// The part that has been added to an aggregate.
    aggregated: Option<Box<StatTotals>>,
}

impl KnownMember {
    /// Sets its totals, without durations.
    pub(super) fn update(&mut self, now: StatTotals, open: bool) {
        self.busy |= open || now.streams.opened > 0 || now.codes().next().is_some();
        self.now = now;
    }

    pub(super) fn named(&self) -> bool {
        self.named
    }

    pub(super) fn busy(&self) -> bool {
        self.busy
    }

    fn has_streams(&self) -> bool {
        self.now.streams.opened > 0
    }

    /// Its claim to series; `price` computes their number from: had traffic, number of codes, had
    /// streams.
    pub(super) fn claim(&self, price: impl Fn(bool, usize, bool) -> usize) -> Claim {
        let (codes, streams) = match self.held {
            true => (self.codes.len(), self.streams),
            false => (self.now.codes().count(), self.has_streams()),
        };
        let series = price(self.busy, codes, streams);
        Claim { held: self.held, traffic: self.now.requests(), series }
    }

    /// Gives it its own series or folds it. Newly named, all its codes are covered by its claim;
    /// later codes need room in `left`.
    pub(super) fn set_named(&mut self, named: bool, cost: SeriesCost, left: &mut usize) {
        let newly = !self.held;
        self.named = named;
        self.held = named && (self.held || self.busy);
        if !named {
            self.codes.clear();
            self.streams = false;
            return;
        }
        let mut take = |series: usize| {
            let fits = newly || series <= *left;
            *left -= if newly || !fits { 0 } else { series };
            fits
        };
        for (protocol, code, _) in self.now.codes() {
            if !self.codes.contains(&(protocol, code)) && take(1) {
                self.codes.push((protocol, code));
            }
        }
        self.streams = self.streams || self.has_streams() && take(cost.streams());
    }

    /// How many of its codes are folded.
    pub(super) fn folded_codes(&self) -> usize {
        self.now.codes().filter(|(protocol, code, _)| !self.shows(*protocol, *code)).count()
    }

    fn shows(&self, protocol: Protocol, code: Code) -> bool {
        self.codes.contains(&(protocol, code))
    }

    /// Its totals at this scrape.
    pub(super) fn now(&self) -> &StatTotals {
        &self.now
    }

    /// Splits its totals into its own series and the aggregate's. `fill` adds durations.
    pub(super) fn split(
        &mut self,
        fill: impl FnOnce(&mut StatTotals),
    ) -> (StatTotals, Option<StatTotals>) {
        let mut shown = std::mem::take(&mut self.now);
        if self.busy {
            fill(&mut shown);
        }
        if let Some(aggregated) = &self.aggregated {
            shown = shown.since(aggregated);
        }
        let rest = match self.named {
            true => self.hidden(&mut shown),
            false => Some(std::mem::take(&mut shown)),
        };
        if let Some(rest) = &rest {
            self.aggregated.get_or_insert_default().add(rest);
        }
        (shown, rest)
    }

    /// Removes from `shown` the codes and streams that are folded.
    fn hidden(&self, shown: &mut StatTotals) -> Option<StatTotals> {
        let hidden = shown.codes().any(|(protocol, code, _)| !self.shows(protocol, code));
        let streams = shown.streams.opened > 0 && !self.streams;
        if !hidden && !streams {
            return None;
        }
        let mut rest = shown.take_codes(|protocol, code| !self.shows(protocol, code));
        if streams {
            rest.streams = std::mem::take(&mut shown.streams);
        }
        Some(rest)
    }
}

/// All endpoints, current and past, of one address: the labels cannot tell them apart.
#[derive(Debug, Default)]
pub(super) struct EndpointHistory {
    /// Existing endpoints, including draining ones.
    here: Vec<Arc<Endpoint>>,
    /// Totals of endpoints that no longer exist, since the address was first exported.
    past: Option<Box<StatTotals>>,
}

impl EndpointHistory {
    /// Sets the current endpoints; counts of earlier ones are kept.
    pub(super) fn update(&mut self, backend: &BackendSample) {
        let same = |(one, other): (&Arc<Endpoint>, &Arc<Endpoint>)| one.id() == other.id();
        let count = backend.endpoints().count();
        if count == self.here.len() && self.here.iter().zip(backend.endpoints()).all(same) {
            return;
        }
        let here: Vec<Arc<Endpoint>> = backend.endpoints().cloned().collect();
        for gone in std::mem::replace(&mut self.here, here) {
            if !self.here.iter().any(|endpoint| endpoint.id() == gone.id()) {
                self.past.get_or_insert_default().add(&gone.totals());
            }
        }
    }

    /// Totals over all of them, without durations.
    pub(super) fn codes(&self) -> StatTotals {
        let mut codes = StatTotals::default();
        for endpoint in &self.here {
            codes.add_codes(&endpoint.codes());
        }
        if let Some(past) = &self.past {
            codes.add_codes(past);
        }
        codes
    }

    pub(super) fn add_durations_to(&self, sum: &mut HistogramCounts) {
        self.here.iter().for_each(|endpoint| endpoint.add_durations_to(sum));
        if let Some(past) = &self.past {
            sum.add(&past.duration);
        }
    }

    /// Their address, once a sample was taken.
    pub(super) fn address(&self) -> Option<&str> {
        self.here.first().map(|endpoint| endpoint.address())
    }

    /// Whether `backend` has the same address.
    pub(super) fn have_address_of(&self, backend: &BackendSample) -> bool {
        self.address() == Some(backend.endpoint.address())
    }

    pub(super) fn add_starts_to(&self, sum: &mut HistogramCounts) {
        self.here.iter().for_each(|endpoint| endpoint.add_starts_to(sum));
        if let Some(past) = &self.past {
            sum.add(&past.start);
        }
    }
}
