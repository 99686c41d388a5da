//! Weighted comparison of two members' calls in flight, by stochastic rounding.
//!
//! A plain comparison of in flight / weight does not keep the weights: with two idle members at 80 and
//! 20 the heavy one always has less per unit and gets everything. Here weights hold while members
//! perform equally, at any concurrency:
//!
//! 1. **In flight is counted per unit of weight**, messages on streams included (see
//!    [`Backlog::work`]). By Little's law members that get their shares and are equally fast have
//!    the same count per unit, so a difference means a backlog. Since requests are whole numbers,
//!    the count per unit is rounded up or down at random by its remainder (stochastic rounding);
//!    without that, light members would be favoured.
//! 2. **A slight excess may be chance**, and of two members with different weights, the heavy one is
//!    drawn first more often. So the step from the first to the second is taken with the odds of
//!    Metropolis and Hastings, `min(1, (1 - p_first) / (1 - p_second))`, which makes the steps of
//!    both directions cancel out. Between equal weights that is the plain power of two choices.
//! 3. **A clear excess always counts**: one of more than the square root of [`SIGNIFICANCE`] standard
//!    deviations, given the average load of both members.
//!
//! Sources: Mitzenmacher, "The Power of Two Choices"; Hastings, "Monte Carlo Sampling Methods
//! Using Markov Chains".

use std::sync::Arc;

use super::sampling::Weights;
use crate::model::{EndpointSet, Load};

/// Significance threshold: an excess counts if its square is this many times its variance.
const SIGNIFICANCE: f64 = 3.0;

/// Cost of a stream message in calls: it has no head, no routing and no answer.
const MESSAGE: f64 = 0.25;

/// Equal latencies.
pub(super) const EQUAL: [f64; 2] = [1.0, 1.0];

/// A set whose members are compared by load.
pub(super) struct Backlog {
    set: Arc<EndpointSet>,
    weights: Weights,
}

impl Backlog {
    /// The members of `set`, which is not empty.
    pub fn new(set: Arc<EndpointSet>) -> Backlog {
        Backlog { weights: Weights::new(&set), set }
    }

    /// The set.
    pub fn set(&self) -> &EndpointSet {
        &self.set
    }

    /// The weights of its members.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The load of one member.
    #[inline]
    pub fn load(&self, index: usize) -> &Load {
        self.set.members()[index].endpoint.load()
    }

    /// Whether `first` has so many more calls in flight than `second` that `second` has to be taken,
    /// discounting what `latencies` explain.
    #[inline]
    pub fn is_longer(
        &self,
        first: usize,
        second: usize,
        latencies: [f64; 2],
        rng: &mut fastrand::Rng,
    ) -> bool {
        let [first_has, second_has] = self.units(first, second, latencies, rng);
        let excess = first_has - second_has;
        let is_clear = excess * excess >= SIGNIFICANCE * (first_has + second_has);
        // Evaluated without short circuit: the branch would be unpredictable.
        (excess > 0.0) & (is_clear | self.is_reversible(first, second, rng))
    }

    /// In flight per unit of weight and latency, in units of the smaller of both.
    #[inline]
    pub fn units(
        &self,
        first: usize,
        second: usize,
        latencies: [f64; 2],
        rng: &mut fastrand::Rng,
    ) -> [f64; 2] {
        let [a, b] = latencies;
        let (a, b) = (self.weight(first) * a, self.weight(second) * b);
        let chance = rng.u64(..);
        let [first_does, second_does] = self.work(first, second);
        let first = rounded(first_does, b / a, chance as u32);
        let second = rounded(second_does, a / b, (chance >> 32) as u32);
        [first, second]
    }

    /// Load of each in calls: calls in flight and, by Little's law, the message rate of its
    /// streams, a message being [`MESSAGE`] of a call. The lower latency of both is used: a stale
    /// high estimate must not keep a member from getting the calls that would renew it. Clients'
    /// messages do not count, or one client could drive the calls of others away.
    #[inline]
    fn work(&self, first: usize, second: usize) -> [f64; 2] {
        let loads = [self.load(first), self.load(second)];
        let rates = loads.map(|load| load.streams().message_rate());
        let calls = loads.map(|load| f64::from(load.calls()));
        if rates == [0.0; 2] {
            return calls;
        }
        let [a, b] = loads.map(|load| match load.has_sample() {
            true => load.ewma_seconds(self.set.ewma()),
            false => 0.0,
        });
        let message = MESSAGE * a.min(b);
        [calls[0] + rates[0] * message, calls[1] + rates[1] * message]
    }

    /// Draws the Metropolis-Hastings step from `first` to `second`, for an excess that may be
    /// chance.
    #[inline]
    fn is_reversible(&self, first: usize, second: usize, rng: &mut fastrand::Rng) -> bool {
        let others = |index| self.weights.total() as f64 - self.weight(index);
        part(rng.u32(..)) * others(second) < others(first)
    }

    #[inline]
    fn weight(&self, index: usize) -> f64 {
        f64::from(self.set.members()[index].weight)
    }
}

/// Stochastic rounding of `work` x `size` (at most 1): up with the probability of its fraction, by
/// `chance`.
#[inline]
fn rounded(work: f64, size: f64, chance: u32) -> f64 {
    let exact = work * size.min(1.0);
    f64::from((exact + part(chance)) as u32) // `floor` is a call on plain x86-64
}

/// Maps a random number to [0, 1).
#[inline]
fn part(chance: u32) -> f64 {
    f64::from(chance) * 2f64.powi(-32)
}
