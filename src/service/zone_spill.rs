//! How many requests leave the gateway's zone: none while the near backends are well, and as many as
//! it takes while calls cost more there than elsewhere. Decided once a second, by values alone.
//!
//! What a call costs is the mean latency of a zone's calls divided by their success ratio, so that
//! backends which refuse when they are overloaded are no cheaper than those that queue. If the near
//! ones cost clearly more than the far ones, more requests are spread over all backends, as if there
//! were no zones; if not, fewer are. Within that range far latency counts as it is, the way between
//! zones included: nearness is worth to callers what it saves them.
//!
//! While nothing leaves the zone nothing is known of the others. Then the near ones are compared with
//! their own calm: as they cost clearly more than that, a few requests go and see.
//!
//! Backends that are lost count before latency tells: with the rest of the near ones goes
//! `OVERPROVISIONED` times its part of the requests (Envoy's factor for priorities and localities).

use std::collections::HashMap;
use std::mem;

use super::desired::Backend;
use crate::model::{EndpointId, Results};

/// Part of the near capacity that is spare: with less than 1/1.4 of it left requests leave.
const OVERPROVISIONED: f64 = 1.4;

/// Near calls cost clearly more than far ones from this ratio on; below the other, clearly not.
const OVERLOADED: f64 = 1.25;
const AT_EASE: f64 = 1.1;

/// The same for a comparison with the near ones' own calm.
const RESTLESS: f64 = 1.5;

/// By how much the part that leaves grows in a second: this times what the ratio is beyond the limit,
/// within these bounds.
const GAIN: f64 = 0.25;
const LEAST_STEP: f64 = 0.05;
const LARGEST_STEP: f64 = 0.35;

/// By how much it shrinks in a second.
const STEP_BACK: f64 = 0.1;

/// Requests from which on a cost is known.
const MIN_REQUESTS: u64 = 8;

/// By how much the cost in calm may rise in a second, to follow what callers ask for.
const CALM_RISE: f64 = 1.02;

/// The least success ratio that costs are divided by.
const MIN_SUCCESS: f64 = 0.05;

/// The least latency that costs are made of, in seconds: below it differences are noise.
const LEAST_LATENCY: f64 = 0.000_5;

/// What is known of the costs in and out of the gateway's zone.
#[derive(Debug, Default)]
pub(super) struct ZoneSpill {
    readings: HashMap<EndpointId, Results>,
    near: Results,
    far: Results,
    /// The cost of near calls in calm, in seconds.
    calm: Option<f64>,
    /// The part of the requests that goes to all backends, for load.
    spill: f64,
}

impl ZoneSpill {
    /// Takes a reading of each backend; to be called once a second.
    pub(super) fn push(&mut self, backends: &[Backend], zone: &str) {
        let mut before = mem::take(&mut self.readings);
        let (mut near, mut far) = (Results::default(), Results::default());
        for backend in backends {
            let (id, reading) = (backend.endpoint.id(), backend.endpoint.results());
            let since = reading - before.remove(&id).unwrap_or_default();
            *(if backend.is_in(zone) { &mut near } else { &mut far }) += since;
            self.readings.insert(id, reading);
        }
        self.follow(near, far);
    }

    /// The part of the requests that stays near, given the `backends` that are well.
    pub(super) fn near_part(&self, backends: &[Backend], zone: &str) -> f64 {
        if backends.iter().any(|backend| backend.condition.in_panic) {
            return 0.0;
        }
        let near = backends.iter().filter(|it| it.is_in(zone) && !it.intent.is_taken_out());
        let (mut all, mut well) = (0.0, 0.0);
        for backend in near {
            let weight = f64::from(backend.intent.weight) / f64::from(backend.shared_by);
            all += weight;
            well += if backend.condition.is_available() { weight } else { 0.0 };
        }
        let capacity = if all > 0.0 { (well / all * OVERPROVISIONED).min(1.0) } else { 0.0 };
        capacity * (1.0 - self.spill)
    }

    /// Follows the results of the last second.
    fn follow(&mut self, near: Results, far: Results) {
        self.near = self.near.faded();
        self.near += near;
        self.far = self.far.faded();
        self.far += far;
        let Some(here) = cost(self.near) else {
            self.spill = (self.spill - STEP_BACK).max(0.0);
            return;
        };
        let elsewhere = cost(self.far);
        let (relation, limit) = match (elsewhere, self.calm) {
            (Some(elsewhere), _) => (here / elsewhere, OVERLOADED),
            (None, Some(calm)) => (here / calm, RESTLESS),
            (None, None) => (1.0, RESTLESS),
        };
        let change = match relation {
            relation if relation > limit => {
                (GAIN * (relation / limit - 1.0)).clamp(LEAST_STEP, LARGEST_STEP)
            }
            relation if relation < AT_EASE => -STEP_BACK,
            _ => 0.0,
        };
        self.spill = (self.spill + change).clamp(0.0, 1.0);
        // No dearer than elsewhere, whatever it was before: callers ask for more now.
        let is_usual = elsewhere.is_some() && relation < AT_EASE;
        let risen = self.calm.filter(|_| !is_usual).map(|calm| calm * CALM_RISE);
        self.calm = Some(risen.map_or(here, |risen| risen.min(here)));
    }
}

/// What a call costs in seconds, if enough is known.
fn cost(results: Results) -> Option<f64> {
    if results.requests < MIN_REQUESTS {
        return None;
    }
    let success = 1.0 - results.faults as f64 / results.requests as f64;
    let latency = results.mean_latency().map_or(f64::INFINITY, |mean| mean.as_secs_f64());
    Some(latency.max(LEAST_LATENCY) / success.max(MIN_SUCCESS))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{HealthSignal, ResultCounters};

    /// Calls that took so many milliseconds, and some that failed.
    fn calls(number: u64, millis: u64, faults: u64) -> Results {
        let counters = ResultCounters::default();
        let latency = Some(Duration::from_millis(millis));
        (0..number).for_each(|_| counters.record(HealthSignal::Success, latency));
        (0..faults).for_each(|_| counters.record(HealthSignal::Fault, None));
        counters.read()
    }

    /// What leaves after so many seconds of these results of 100 near requests; the far ones, of
    /// which there are as many as leave, take `elsewhere` milliseconds.
    fn spilled(spill: &mut ZoneSpill, seconds: u64, near: Results, elsewhere: u64) -> f64 {
        for _ in 0..seconds {
            spill.follow(near, calls((spill.spill * 100.0) as u64, elsewhere, 0));
        }
        (spill.spill * 100.0).round() / 100.0
    }

    #[test]
    fn nothing_leaves_in_calm_and_as_much_as_it_takes_beyond() {
        let mut spill = ZoneSpill::default();
        assert_eq!(spilled(&mut spill, 60, calls(100, 10, 0), 10), 0.0);
        assert!(spilled(&mut spill, 5, calls(100, 40, 0), 12) > 0.5, "far ones cost less");
        assert_eq!(spilled(&mut spill, 60, calls(100, 40, 0), 12), 1.0);
        let held = spilled(&mut spill, 60, calls(100, 14, 0), 12);
        assert_eq!(held, 1.0, "between the two limits it stays");
        assert_eq!(spilled(&mut spill, 60, calls(100, 10, 0), 12), 0.0, "and comes home");
    }

    #[test]
    fn nothing_leaves_for_what_costs_the_same_elsewhere() {
        let mut spill = ZoneSpill::default();
        spilled(&mut spill, 10, calls(100, 10, 0), 10);
        let most = (0..60).map(|_| spilled(&mut spill, 1, calls(100, 100, 0), 100));
        let most = most.fold(0.0, f64::max);
        assert!((0.05..0.5).contains(&most), "a few go and see: {most}");
        assert_eq!(
            spilled(&mut spill, 60, calls(100, 100, 0), 100),
            0.0,
            "that is what callers ask for"
        );
    }

    #[test]
    fn the_way_between_zones_counts() {
        let mut spill = ZoneSpill::default();
        spilled(&mut spill, 10, calls(100, 2, 0), 20);
        assert!(spilled(&mut spill, 20, calls(100, 8, 0), 20) < 0.2, "8 ms are less than 20");
    }

    #[test]
    fn refusals_are_a_load_too() {
        let mut spill = ZoneSpill::default();
        spilled(&mut spill, 10, calls(100, 10, 0), 10);
        assert!(spilled(&mut spill, 10, calls(50, 10, 50), 10) > 0.5);
        let mut none = ZoneSpill::default();
        assert!(spilled(&mut none, 20, calls(0, 0, 100), 10) >= 0.0);
        assert!(spilled(&mut none, 3, calls(100, 10, 0), 10).is_finite());
    }

    #[test]
    fn too_few_requests_tell_nothing() {
        let mut spill = ZoneSpill::default();
        spilled(&mut spill, 10, calls(100, 10, 0), 10);
        assert!(spilled(&mut spill, 9, calls(100, 90, 0), 10) > 0.3);
        assert_eq!(spilled(&mut spill, 60, calls(1, 90, 0), 10), 0.0);
    }
}
