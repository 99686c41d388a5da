//! `round_robin`: members take turns, each as often as its weight says, spread evenly.
//!
//! The members lie side by side on a circle, each as wide as its weight (all divided by their
//! common divisor). A shared counter walks round it in steps of about the golden section of its
//! circumference. As the step and the circumference have no common divisor, a cycle touches
//! every point once, so shares are exact; as the golden section is the hardest to approximate by
//! fractions, no member is ever more than a few turns ahead of its share or behind it. So there is no
//! schedule to compute or to store (the smooth sequence of NGINX has as many entries as the sum of the
//! weights), and a pick is one atomic addition and one search.
//!
//! The start is random, so gateways that rebuild at the same time do not all begin with the same
//! member.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::sampling::Weights;
use super::{Factory, PickCx, Picker, Policy};
use crate::model::EndpointSet;
use crate::text::{BadParams, Params};

const GOLDEN_SECTION: f64 = 0.618_033_988_749_894_9;
/// Candidate steps below the golden section.
const CANDIDATES: u64 = 64;

/// The policy; it has no settings.
#[derive(Debug)]
pub struct RoundRobin;

impl Policy for RoundRobin {
    fn name(&self) -> &'static str {
        "round_robin"
    }

    fn configure(&self, params: Params) -> Result<Arc<dyn Factory>, BadParams> {
        params.finish()?;
        Ok(Arc::new(RoundRobin))
    }
}

impl Factory for RoundRobin {
    fn build(&self, set: Arc<EndpointSet>, rng: &mut fastrand::Rng) -> Box<dyn Picker> {
        let weights = Weights::new(&set);
        let unit = (0..weights.len()).fold(0, |unit, index| euclid(unit, weights.of(index)).0);
        let circle = weights.total() / unit.max(1);
        Box::new(RoundRobinPicker {
            weights,
            unit,
            circle,
            step: step(circle),
            walked: AtomicU64::new(rng.u64(0..circle)),
        })
    }
}

struct RoundRobinPicker {
    weights: Weights,
    /// The greatest common divisor of the weights.
    unit: u64,
    /// The circumference: the sum of the weights in units.
    circle: u64,
    step: u64,
    walked: AtomicU64,
}

impl Picker for RoundRobinPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> usize {
        if !cx.tried.is_empty() {
            return self.weights.draw_untried(cx.tried, cx.rng);
        }
        // The wrap of the 64 bits makes the walk jump, which is harmless.
        let walked = self.walked.fetch_add(self.step, Relaxed);
        self.weights.owner(walked % self.circle * self.unit)
    }

    fn preview(&self, cx: &mut PickCx<'_>) -> usize {
        self.weights.draw_untried(cx.tried, cx.rng)
    }
}

/// A number near the golden section of `circle`, with no divisor in common with it.
///
/// How evenly its multiples spread is bounded by the sum of the terms of its continued fraction
/// (Ostrowski), which are all 1 for the golden section itself: the least sum wins.
fn step(circle: u64) -> u64 {
    let golden = ((circle as f64 * GOLDEN_SECTION).round() as u64).max(1);
    (golden.saturating_sub(CANDIDATES).max(1)..=golden)
        .filter(|&step| euclid(step, circle).0 == 1)
        .min_by_key(|&step| euclid(step, circle).1)
        .unwrap_or(1)
}

/// The greatest common divisor, and the sum of the terms of the continued fraction of `a / b`.
fn euclid(a: u64, b: u64) -> (u64, u64) {
    if b == 0 {
        return (a, 0);
    }
    let (divisor, terms) = euclid(b, a % b);
    (divisor, terms + a / b)
}
