//! `p2c_ewma`: of two members drawn at random, the one that costs less.
//!
//! The cost is Finagle's: peak EWMA of the latency x (in flight + 1) / weight. A plain comparison
//! of it (Finagle, tower, go-zero) has no memory of weights, and the peak EWMAs of two equal members
//! differ by chance for seconds. Here weights hold while members do equally well, at any
//! concurrency, and costs rule as soon as they do not:
//!
//! 1. **Both samples are drawn by weight**, distinct. Where nothing speaks against the first, it
//!    is taken, so shares are the weights.
//! 2. **Latency counts when it is clearly worse**: by [`CLEAR_LATENCY`], above a floor of
//!    [`FLOOR`], and both by the peak EWMA and by the geometric mean (see [`Load`](crate::model::Load)). Of the two
//!    the milder ratio counts, so one hiccup does not overrule the operator, and a recovered
//!    member is believed as soon as either says so.
//! 3. **In flight is counted per unit of weight and latency** (see [`Backlog`]), so only a backlog
//!    tells.
//! 4. **A first sample that lost is tried anyway** when it owes no answer and either has never
//!    given one, or was not picked for [`UNHEARD`] (go-zero): so estimates do not go stale, and a
//!    newcomer is judged by its first answer, one request at a time until then. As only the first
//!    sample is tried, no member gets more than its share by this, and on rare requests, where
//!    all members are unpicked for long, a bad one gets one [`TRIAL_ODDS`]th of it.
//!
//! Sources: Finagle `PeakEwma.scala`; go-zero `p2c.go`; Linkerd's `load-biaser` (penalty).

use std::sync::Arc;
use std::time::Duration;

use super::backlog::Backlog;
use super::{Factory, PickCx, Picker, Policy};
use crate::model::{BadParams, EndpointSet, EwmaParams, Params, Time};

/// A latency this many times the other's is worse by more than chance.
const CLEAR_LATENCY: f64 = 1.5;
/// Added to latencies, in seconds, before they are compared: less than about half of this is not
/// worth departing from the weights.
const FLOOR: f64 = 0.001;
/// Latencies that do not differ clearly explain at most so many times as many in flight.
const MAX_EXPECTED: f64 = 2.0;
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
        Box::new(P2cPicker { backlog: Backlog::new(set) })
    }

    fn ewma(&self) -> EwmaParams {
        self.ewma.clone()
    }
}

struct P2cPicker {
    backlog: Backlog,
}

impl Picker for P2cPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> usize {
        let weights = self.backlog.weights();
        let first = weights.draw_untried(cx.tried, cx.rng);
        let picked = match weights.draw_other_untried(first, cx.tried, cx.rng) {
            Some(second) if self.is_worse(first, second, cx) && !self.wants_trial(first, cx) => {
                second
            }
            _ => first,
        };
        self.backlog.load(picked).mark_picked(cx.now);
        picked
    }
}

impl P2cPicker {
    /// Whether `first` costs so much more than `second` that the step to it is to be taken.
    fn is_worse(&self, first: usize, second: usize, cx: &mut PickCx<'_>) -> bool {
        let latency = self.latency_ratios(first, second, cx.now);
        match latency.clear() {
            Some(clear) => clear * self.backlog.ratio(first, second, cx.rng) > 1.0,
            None => self.backlog.is_longer(first, second, latency.expected(), cx.rng),
        }
    }

    fn latency_ratios(&self, first: usize, second: usize, now: Time) -> LatencyRatios {
        let params = self.backlog.set().ewma();
        let (first, second) = (self.backlog.load(first), self.backlog.load(second));
        LatencyRatios {
            peak: (first.ewma_seconds(now, params) + FLOOR)
                / (second.ewma_seconds(now, params) + FLOOR),
            typical: [first, second].map(|load| load.typical_seconds(params)),
        }
    }

    /// Whether `first` is to be picked for the sake of a fresh sample.
    fn wants_trial(&self, first: usize, cx: &mut PickCx<'_>) -> bool {
        let load = self.backlog.load(first);
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
