//! `least_request`: of a few members drawn at random, the one with the fewest calls in flight; for a
//! stream, the one with the fewest streams (see [`fewest_streams`]).
//!
//! Members are drawn by weight, [`DEFAULT_CHOICES`] of them unless `choices` says otherwise. Each is
//! compared to the best so far, which is never drawn again, by calls in flight per unit of weight (see
//! [`Backlog`]). Between equal weights that is what Envoy does: the power of two choices, with
//! distinct samples.
//!
//! For different weights Envoy schedules by earliest deadline, with a weight of
//! `weight / (in flight + 1)`. That needs a queue under a lock, or one for each worker; and under load
//! the shares follow the square root of the weights, since a member that gets more has more in flight.
//! Here the same comparison serves both cases, and its cost does not grow with the members: shares are
//! the weights while members are equally fast, idle or busy, and a member with a backlog gets less
//! until the backlogs are even again. As loads are only compared, an exponent for them (Envoy's
//! `active_request_bias`) would change nothing.
//!
//! A member that fails immediately has nothing in flight, and so attracts calls: `p2c_ewma` considers
//! failures, this policy does not.

use std::hint::select_unpredictable;
use std::sync::Arc;

use super::backlog::{Backlog, EQUAL};
use super::streams::fewest_streams;
use super::{Cost, Factory, PickCx, Picker, Policy, explain};
use crate::model::{EndpointSet, ExchangeClass, Time};
use crate::text::keys::{Keys, Setting, number, section};
use crate::text::{BadParams, Params};

/// Two do nearly as well as all, and do not herd on the same idle member.
const DEFAULT_CHOICES: u64 = 2;
/// More comparisons cost time and gain nothing.
const MAX_CHOICES: u64 = 16;

section! {
    /// The settings.
    static SETTINGS: Choices = "balancer: least_request";

    choices: Setting<u64> = number(2..=MAX_CHOICES), DEFAULT_CHOICES,
        "so many are drawn by weight; the fewest calls in flight win";
}

/// The policy.
#[derive(Debug)]
pub struct LeastRequest;

impl Policy for LeastRequest {
    fn name(&self) -> &'static str {
        "least_request"
    }

    fn settings(&self) -> Option<&'static dyn Keys> {
        Some(&SETTINGS)
    }

    fn configure(&self, params: Params) -> Result<Arc<dyn Factory>, BadParams> {
        let choices = params.value(&SETTINGS.choices);
        params.finish()?;
        Ok(Arc::new(LeastFactory { choices }))
    }
}

#[derive(Debug)]
struct LeastFactory {
    choices: u64,
}

impl Factory for LeastFactory {
    fn build(&self, set: Arc<EndpointSet>, _: &mut fastrand::Rng) -> Box<dyn Picker> {
        Box::new(LeastPicker { backlog: Backlog::new(set), choices: self.choices })
    }
}

struct LeastPicker {
    backlog: Backlog,
    choices: u64,
}

impl Picker for LeastPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> usize {
        let weights = self.backlog.weights();
        if cx.class == ExchangeClass::Stream {
            return fewest_streams(self.backlog.set(), weights, cx, |_, _| false);
        }
        let mut least = weights.draw_untried(cx.tried, cx.rng);
        for _ in 1..self.choices {
            let Some(other) = weights.draw_other_untried(least, cx.tried, cx.rng) else { break };
            let longer = self.backlog.is_longer(least, other, EQUAL, cx.rng);
            least = select_unpredictable(longer, other, least);
        }
        least
    }

    fn costs(&self, _: Time) -> Vec<Cost> {
        let set = self.backlog.set();
        let (calls, per_weight) = explain::in_flight(set);
        let costs = set.members().iter().zip(calls).map(|(member, calls)| Cost {
            terms: vec![explain::calls_in_flight(calls)],
            why: explain::backlog(calls, per_weight * f64::from(member.weight)),
        });
        costs.collect()
    }
}
