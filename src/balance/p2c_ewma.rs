//! `p2c_ewma`: of two members drawn at random, the one that costs less.
//!
//! The cost is a moving average of the latency (see [`Load`]) x (calls in flight + 1) / weight. A
//! plain comparison of costs (Finagle, tower, go-zero) ignores weights. Here weights hold while
//! members perform equally, at any concurrency, and costs decide as soon as they do not:
//!
//! 1. **Both samples are drawn by weight**, distinct. Unless the first is clearly worse, it is taken,
//!    so shares are the weights.
//! 2. **Latency counts when it is clearly worse**: by [`CLEAR_LATENCY`], above a floor of
//!    [`FLOOR`]. The average is a geometric one, which a hiccup hardly moves. Finagle's peak EWMA
//!    takes every peak at once and for seconds: the peaks of two equal members differ by chance,
//!    and a recovered one needs three times the decay to be as good as its peers again.
//! 3. **In flight is counted per unit of weight and latency** (see [`Backlog`]), so a difference means
//!    a backlog.
//! 4. **A first sample that lost is tried anyway** in three cases: it was not picked for
//!    [`STALE_AFTER`] (go-zero), so that no estimate goes stale; it is new and has nothing in flight,
//!    so that it is judged by its first answers, unless they are failures; or its last answer was far
//!    better than its estimate, one call at a time, so that recovery is noticed as fast as trouble.
//!    As only the first sample is tried, no member gets more than its share by this. If requests are
//!    so rare that all members are stale, a bad one gets one [`TRIAL_ODDS`]th of its share.
//! 5. **A stream goes to the member with the fewest streams** (see [`fewest_streams`]), but not to a
//!    member in trouble, and only one to a member that has never answered.
//!
//! Sources: Finagle `PeakEwma.scala`; go-zero `p2c.go`; Linkerd's `load-biaser` (penalty).

use std::hint::select_unpredictable;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::backlog::{Backlog, EQUAL};
use super::explain::{self, Cost, CostTerm, Unit};
use super::streams::fewest_streams;
use super::{Factory, PickCx, Picker, Policy};
use crate::model::{EndpointSet, EwmaParams, ExchangeClass, Load, Time};
use crate::text::keys::{Keys, Setting, duration, section};
use crate::text::units::show_duration;
use crate::text::{BadParams, Params};

/// Significance: a latency this many times the other's is not due to chance.
const CLEAR_LATENCY: f64 = 1.5;
/// Added to latencies, in seconds, before they are compared: less than about half of this is not
/// worth departing from the weights.
const FLOOR: f64 = 0.001;
/// Cap on the ratio of calls in flight that a smaller difference in latency may explain.
const MAX_EXPLAINED: f64 = 2.0;
/// Staleness: time without a pick after which a member's estimates need a fresh sample.
const STALE_AFTER: Duration = Duration::from_secs(1);
/// With rare requests, one in this many first samples of a stale member is a trial.
const TRIAL_ODDS: u32 = 8;
/// An estimate above this share of the failure penalty means that most requests have failed.
const FAILING_SHARE: f64 = 0.25;

const DEFAULTS: EwmaParams = EwmaParams::defaults();
/// Durations must not be zero.
const POSITIVE: RangeInclusive<Duration> = Duration::from_micros(1)..=Duration::MAX;

section! {
    /// The settings.
    static SETTINGS: Ewma = "balancer: p2c_ewma";

    decay: Setting<Duration> = duration(POSITIVE), DEFAULTS.decay, "how fast old latencies are forgotten";
    default_rtt: Setting<Duration> = duration(POSITIVE), DEFAULTS.default_rtt,
        "latency taken for a backend that was not measured yet";
    penalty: Setting<Duration> = duration(POSITIVE), DEFAULTS.penalty,
        "what a request that failed by the backend's fault counts as, at least: no connection, one \
         that breaks, UNAVAILABLE, DATA_LOSS, 502 to 504. What a client can bring about by what it \
         asks for costs nothing";
}

/// The policy.
#[derive(Debug)]
pub struct P2cEwma;

impl Policy for P2cEwma {
    fn name(&self) -> &'static str {
        "p2c_ewma"
    }

    fn settings(&self) -> Option<&'static dyn Keys> {
        Some(&SETTINGS)
    }

    fn configure(&self, params: Params) -> Result<Arc<dyn Factory>, BadParams> {
        let ewma = EwmaParams {
            decay: params.value(&SETTINGS.decay),
            default_rtt: params.value(&SETTINGS.default_rtt),
            penalty: params.value(&SETTINGS.penalty),
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
    fn build(&self, set: Arc<EndpointSet>, _: &mut fastrand::Rng) -> Box<dyn Picker> {
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
        let picked = self.preview(cx);
        self.backlog.load(picked).mark_picked(cx.now);
        picked
    }

    #[inline]
    fn preview(&self, cx: &mut PickCx<'_>) -> usize {
        match cx.class {
            ExchangeClass::Call => self.pick_for_call(cx),
            ExchangeClass::Stream => {
                let avoided = |index, cx: &mut PickCx<'_>| self.avoids_streams(index, cx.now);
                fewest_streams(self.backlog.set(), self.backlog.weights(), cx, avoided)
            }
        }
    }

    fn costs(&self, now: Time) -> Vec<Cost> {
        let set = self.backlog.set();
        let latencies: Vec<f64> = set
            .members()
            .iter()
            .map(|member| member.endpoint.load().ewma_seconds(set.ewma()))
            .collect();
        let median = explain::median(latencies.clone());
        let (calls, per_weight) = explain::in_flight(set);
        let costs = set.members().iter().zip(latencies).zip(calls);
        let costs = costs.map(|((member, latency), calls)| {
            let load = member.endpoint.load();
            let expected = per_weight * f64::from(member.weight);
            Cost {
                terms: terms(load, latency, calls),
                why: self
                    .why(load, latency, median, now)
                    .or_else(|| explain::backlog(calls, expected)),
            }
        });
        costs.collect()
    }
}

/// The terms of a member's cost.
fn terms(load: &Load, latency: f64, calls: f64) -> Vec<CostTerm> {
    let latency = CostTerm { name: "latency", value: latency, unit: Unit::Seconds };
    let mut terms = vec![latency, explain::calls_in_flight(calls)];
    let value = load.streams().message_rate();
    if value > 0.0 {
        terms.push(CostTerm { name: "stream_messages", value, unit: Unit::MessagesPerSecond });
    }
    terms
}

impl P2cPicker {
    #[inline]
    fn pick_for_call(&self, cx: &mut PickCx<'_>) -> usize {
        let weights = self.backlog.weights();
        let first = weights.draw_untried(cx.tried, cx.rng);
        let Some(second) = weights.draw_other_untried(first, cx.tried, cx.rng) else {
            return first;
        };
        let moves_on = self.is_worse(first, second, cx.rng) && !self.wants_trial(first, second, cx);
        select_unpredictable(moves_on, second, first)
    }

    /// Whether `first` costs so much more than `second` that `second` has to be taken.
    #[inline]
    fn is_worse(&self, first: usize, second: usize, rng: &mut fastrand::Rng) -> bool {
        let params = self.backlog.set().ewma();
        let latency = |index| self.backlog.load(index).ewma_seconds(params);
        let (a, b) = (latency(first), latency(second));
        let (floored_a, floored_b) = (a + FLOOR, b + FLOOR);
        if floored_a > floored_b * CLEAR_LATENCY || floored_b > floored_a * CLEAR_LATENCY {
            let [a_has, b_has] = self.backlog.units(first, second, EQUAL, rng);
            floored_a * (a_has + 1.0) > floored_b * (b_has + 1.0)
        } else {
            let explained = a.clamp(b / MAX_EXPLAINED, b * MAX_EXPLAINED);
            self.backlog.is_longer(first, second, [explained, b], rng)
        }
    }

    /// Whether to pick `first` in order to renew its estimate.
    #[inline]
    fn wants_trial(&self, first: usize, second: usize, cx: &mut PickCx<'_>) -> bool {
        let load = self.backlog.load(first);
        if is_stale(load, cx.now) {
            let rare = is_stale(self.backlog.load(second), cx.now);
            return !rare || cx.rng.u32(0..TRIAL_ODDS) == 0;
        }
        let newcomer = load.is_new() && load.calls() == 0 && !self.is_in_trouble(load);
        newcomer || load.is_recovering(cx.now)
    }

    /// Why a member gets more or less than its weight says, if its latency, or the lack of one, is the
    /// reason.
    fn why(&self, load: &Load, latency: f64, median: f64, now: Time) -> Option<String> {
        let times = (latency + FLOOR) / (median + FLOOR);
        if !load.has_sample() {
            return Some("no answer yet: the default latency is assumed".into());
        }
        if load.is_recovering(now) {
            return Some("its last answers were far faster than its latency: tried again".into());
        }
        if self.is_in_trouble(load) {
            let penalty = show_duration(self.backlog.set().ewma().penalty);
            return Some(format!(
                "its recent calls failed, each counted as {penalty}: a trial now and then"
            ));
        }
        if times > CLEAR_LATENCY {
            return Some(format!("latency {times:.1} times the median: a trial now and then"));
        }
        (times < 1.0 / CLEAR_LATENCY).then(|| format!("latency {times:.2} times the median"))
    }

    /// Whether new streams should avoid this member.
    fn avoids_streams(&self, index: usize, now: Time) -> bool {
        let load = self.backlog.load(index);
        if !load.has_sample() {
            return load.streams().count() > 0;
        }
        self.is_in_trouble(load) && !is_stale(load, now)
    }

    /// Whether most of its recent requests failed.
    #[inline]
    fn is_in_trouble(&self, load: &Load) -> bool {
        let params = self.backlog.set().ewma();
        load.has_sample()
            && load.ewma_seconds(params) > params.penalty.as_secs_f64() * FAILING_SHARE
    }
}

#[inline]
fn is_stale(load: &Load, now: Time) -> bool {
    load.since_picked(now) > STALE_AFTER
}
