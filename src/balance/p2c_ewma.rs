//! `p2c_ewma`: of two members drawn at random, the one that costs less.
//!
//! The cost is Finagle's: peak EWMA of the latency x (in flight + 1) / weight. A plain comparison
//! of it (Finagle, tower, go-zero) has no memory of weights: with two idle members at 80 and 20
//! the heavy one costs less each time and gets everything, and the peak EWMAs of two equal members
//! differ by chance for seconds. Here weights hold while members do equally well, at any
//! concurrency, and costs rule as soon as they do not:
//!
//! 1. **Both samples are drawn by weight**, distinct. Where nothing speaks against the first, it
//!    is taken, so shares are the weights.
//! 2. **Latency counts when it is clearly worse**: by [`CLEAR_LATENCY`], above a floor of
//!    [`FLOOR`], and both by the peak EWMA and by the geometric mean (see [`Load`]). Of the two
//!    the milder ratio counts, so one hiccup does not overrule the operator, and a recovered
//!    member is believed as soon as either says so.
//! 3. **In flight is counted per unit of weight and latency.** By Little's law that is what a
//!    member has in flight when it gets its share, so only a backlog tells. Requests come in
//!    whole numbers, and a heavy member is seen as several light ones of which one is looked at:
//!    `in flight / 4` is rounded up or down at random by its remainder. Without, the light would
//!    be favoured.
//! 4. **A slight excess in flight may be chance**, and members of different weight are not drawn
//!    in both orders equally often: the heavy first, then the light is more frequent. So the step
//!    from the first to the second is taken with the odds of Metropolis and Hastings,
//!    `min(1, (1 - p_first) / (1 - p_second))`, which makes the steps of both directions cancel
//!    out. Between equal weights that is the plain power of two choices. A clear excess
//!    ([`CLEAR_LOAD`]) or a clearly worse latency is always acted upon.
//! 5. **A first sample that lost is tried anyway** when it owes no answer and either has never
//!    given one, or was not picked for [`UNHEARD`] (go-zero): so estimates do not go stale, and a
//!    newcomer is judged by its first answer, one request at a time until then. As only the first
//!    sample is tried, no member gets more than its share by this, and on rare requests, where
//!    all members are unpicked for long, a bad one gets one [`TRIAL_ODDS`]th of it.
//!
//! Sources: Finagle `PeakEwma.scala`; go-zero `p2c.go`; Linkerd's `load-biaser` (penalty);
//! Mitzenmacher, "The Power of Two Choices"; Hastings,
//! "Monte Carlo Sampling Methods Using Markov Chains".

use std::sync::Arc;
use std::time::Duration;

use super::draw::Weights;
use super::{Factory, PickCx, Picker, Policy};
use crate::model::{BadParams, EndpointSet, EwmaParams, Load, Params, Time};

/// A latency this many times the other's is worse by more than chance.
const CLEAR_LATENCY: f64 = 1.5;
/// Added to latencies, in seconds, before they are compared: less than about half of this is not
/// worth departing from the weights.
const FLOOR: f64 = 0.001;
/// Latencies that do not differ clearly explain at most so many times as many in flight.
const MAX_EXPECTED: f64 = 2.0;
/// So many times as many in flight are more than the chance of small numbers.
const CLEAR_LOAD: f64 = 4.0;
/// Time without a pick after which a member's estimates want a fresh sample.
const UNHEARD: Duration = Duration::from_secs(1);
/// One in so many first samples of an unheard member is a trial.
const TRIAL_ODDS: u32 = 8;

/// The policy. Settings: `decay` (10s), `default_rtt` (30ms), `penalty` (5s).
#[derive(Debug)]
pub struct P2cEwma;

impl Policy for P2cEwma {
    fn name(&self) -> &'static str {
        "p2c_ewma"
    }

    fn configure(&self, params: Params) -> Result<Arc<dyn Factory>, BadParams> {
        let defaults = EwmaParams::default();
        let duration = |key, default| {
            let value = params.duration(key, default);
            if value.is_zero() {
                params.reject(key, "must be more than zero");
            }
            value
        };
        let ewma = EwmaParams {
            decay: duration("decay", defaults.decay),
            default_rtt: duration("default_rtt", defaults.default_rtt),
            penalty: duration("penalty", defaults.penalty),
        };
        params.finish()?;
        Ok(Arc::new(P2cFactory { ewma }))
    }
}

#[derive(Debug)]
struct P2cFactory {
    ewma: EwmaParams,
}

impl Factory for P2cFactory {
    fn build(&self, set: Arc<EndpointSet>) -> Box<dyn Picker> {
        Box::new(P2cPicker { weights: Weights::new(&set), set })
    }

    fn ewma(&self) -> EwmaParams {
        self.ewma.clone()
    }
}

struct P2cPicker {
    set: Arc<EndpointSet>,
    weights: Weights,
}

impl Picker for P2cPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> usize {
        let first = self.weights.draw_untried(cx.tried, cx.rng);
        let picked = match self.second(first, cx) {
            Some(second) if self.is_worse(first, second, cx) && !self.wants_trial(first, cx) => {
                second
            }
            _ => first,
        };
        self.load(picked).mark_picked(cx.now);
        picked
    }
}

impl P2cPicker {
    fn load(&self, index: usize) -> &Load {
        self.set.members()[index].endpoint.load()
    }

    /// Another sample than `first`, if there is one that was not tried.
    fn second(&self, first: usize, cx: &mut PickCx<'_>) -> Option<usize> {
        if self.weights.len() < 2 {
            None
        } else if cx.tried.is_empty() {
            Some(self.weights.draw_other(first, cx.rng))
        } else {
            let open = |index| index != first && !cx.tried.contains(&index);
            self.weights.draw_where(open, cx.rng)
        }
    }

    /// Whether `first` costs so much more than `second` that the step to it is to be taken.
    fn is_worse(&self, first: usize, second: usize, cx: &mut PickCx<'_>) -> bool {
        let latency = self.latency_ratios(first, second, cx.now);
        if let Some(latency) = latency.clear() {
            return latency * self.in_flight_ratio(first, second, 1.0, cx.rng) > 1.0;
        }
        let load = self.in_flight_ratio(first, second, latency.expected(), cx.rng);
        load >= CLEAR_LOAD || load > 1.0 && self.is_reversible(first, second, cx.rng)
    }

    fn latency_ratios(&self, first: usize, second: usize, now: Time) -> LatencyRatios {
        let params = self.set.ewma();
        let (first, second) = (self.load(first), self.load(second));
        LatencyRatios {
            peak: (first.ewma_seconds(now, params) + FLOOR)
                / (second.ewma_seconds(now, params) + FLOOR),
            typical: [first, second].map(|load| load.typical_seconds(params)),
        }
    }

    /// How many times as many requests in flight `first` would have per unit of weight, where
    /// `latency` times as many are to be expected of it.
    fn in_flight_ratio(
        &self,
        first: usize,
        second: usize,
        latency: f64,
        rng: &mut fastrand::Rng,
    ) -> f64 {
        let weight = |index| self.weights.of(index) as f64;
        let size = weight(first) / weight(second) * latency;
        let first = rounded(self.load(first).in_flight(), size.max(1.0), rng);
        let second = rounded(self.load(second).in_flight(), size.recip().max(1.0), rng);
        (first + 1.0) / (second + 1.0)
    }

    /// Draws whether a step from `first` to `second` is taken that chance alone may have brought.
    fn is_reversible(&self, first: usize, second: usize, rng: &mut fastrand::Rng) -> bool {
        let others = |index| self.weights.total() - self.weights.of(index);
        rng.u64(0..others(second)) < others(first)
    }

    /// Whether `first` is to be picked for the sake of a fresh sample.
    fn wants_trial(&self, first: usize, cx: &mut PickCx<'_>) -> bool {
        let load = self.load(first);
        let owes_none = load.in_flight() == 0;
        let unheard = load.since_picked(cx.now) > UNHEARD;
        owes_none && (!load.has_sample() || unheard && cx.rng.u32(0..TRIAL_ODDS) == 0)
    }
}

/// How many times the latency of the second sample that of the first is.
struct LatencyRatios {
    /// By the peak EWMA, above the floor.
    peak: f64,
    /// The geometric means themselves, in seconds.
    typical: [f64; 2],
}

impl LatencyRatios {
    /// The ratio, if both estimates clearly say that one of the two is slower.
    fn clear(&self) -> Option<f64> {
        let [first, second] = self.typical;
        let typical = (first + FLOOR) / (second + FLOOR);
        let (low, high) = (self.peak.min(typical), self.peak.max(typical));
        if low > CLEAR_LATENCY {
            Some(low)
        } else if high < CLEAR_LATENCY.recip() {
            Some(high)
        } else {
            None
        }
    }

    /// How many times as many requests the first is expected to have in flight by its latency.
    fn expected(&self) -> f64 {
        let [first, second] = self.typical;
        (first / second).clamp(MAX_EXPECTED.recip(), MAX_EXPECTED)
    }
}

/// `in_flight / size`, rounded up as often as its remainder says.
fn rounded(in_flight: u32, size: f64, rng: &mut fastrand::Rng) -> f64 {
    let exact = f64::from(in_flight) / size;
    if exact > 0.0 && size > 1.0 {
        f64::from((exact + rng.f64()) as u32) // `floor` is a call on plain x86-64
    } else {
        exact
    }
}
