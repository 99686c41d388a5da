//! Balancing policies: pure, synchronous, no I/O and no metrics.
//!
//! A [`Policy`] parses its settings into a [`Factory`] (cold). Whenever the set of eligible
//! endpoints changes, the factory builds an immutable [`Picker`], which is called once per request
//! (hot).
//!
//! # How to add a policy
//!
//! 1. Write `src/balance/NAME.rs`: a unit struct that is a [`Policy`] called `NAME`, its
//!    [`Factory`] and its [`Picker`]. A policy without settings may be its own factory
//!    (see `weighted_random.rs`); `sampling.rs` draws by weight and avoids tried members.
//!    One with settings has them as rows (see `least_request.rs`).
//! 2. Add `mod NAME;` and one row to [`POLICIES`].
//!
//! The contract tests, the bench, the configuration and the control API read the table, so the
//! policy is tested, measured and offered from then on.

mod backlog;
mod bound;
mod consistent_hash;
mod explain;
mod hashing;
mod key;
mod least_request;
mod maglev;
mod near_zone;
mod p2c_ewma;
mod round_robin;
mod sampling;
mod slow_start;
mod sorted;
mod streams;
#[cfg(test)]
mod tests;
mod weighted_random;

use std::sync::Arc;

pub(crate) use explain::expected_shares;
pub use explain::{Cost, CostTerm, Unit};
pub(crate) use key::{
    CookieIssue, Fallback, KeySource, KeySpec, cookie_name, header_name, parameter_name,
};
pub(crate) use near_zone::{NearPart, NearZone};
pub(crate) use slow_start::{Accounts, Ramp, Ramps, Share};

use crate::model::{EndpointSet, EwmaParams, ExchangeClass, Time};
use crate::text::keys::Keys;
use crate::text::{BadParams, Params};

/// A kind of balancer.
pub trait Policy: Sync {
    /// The name in the configuration.
    fn name(&self) -> &'static str;

    /// Its settings as data; none by default.
    fn settings(&self) -> Option<&'static dyn Keys> {
        None
    }

    /// Parses the settings.
    ///
    /// # Errors
    /// Every setting that is unknown or wrong.
    fn configure(&self, params: Params) -> Result<Arc<dyn Factory>, BadParams>;
}

/// A configured policy, which builds a picker for each set of endpoints. Cold.
pub trait Factory: Send + Sync + std::fmt::Debug {
    /// Builds the picker for `set`, which is not empty. `rng` is its only randomness.
    fn build(&self, set: Arc<EndpointSet>, rng: &mut fastrand::Rng) -> Box<dyn Picker>;

    /// The hash key that the picker wants of a request, if any.
    fn key(&self) -> Option<&KeySpec> {
        None
    }

    /// Parameters of the latency estimates (EWMA) of its endpoints.
    fn ewma(&self) -> EwmaParams {
        EwmaParams::default()
    }
}

/// Chooses an endpoint. Hot: no allocation, no lock shared between workers.
pub trait Picker: Send + Sync {
    /// The index of a member of the set this was built from; one that was not tried, if any.
    fn pick(&self, cx: &mut PickCx<'_>) -> usize;

    /// As [`Picker::pick`], but leaves no trace in what later picks depend on. Policies whose pick
    /// does leave one override it.
    fn preview(&self, cx: &mut PickCx<'_>) -> usize {
        self.pick(cx)
    }

    /// The cost of each member of the set for a call at `now`, for operators; nothing if the
    /// policy goes by weight or key alone. Cold.
    fn costs(&self, _now: Time) -> Vec<Cost> {
        Vec::new()
    }

    /// A variant that skips these members, by index and not all of them, for a while (health,
    /// ejection). Only hashing policies have one, so that keys find their member again; for the
    /// others a new picker is built from the remaining set.
    fn without(&self, _out: &[usize]) -> Option<Box<dyn Picker>> {
        None
    }
}

/// The input of a pick.
#[derive(Debug)]
pub struct PickCx<'a> {
    /// The request's key, if the policy has a `KeySpec` and the request carries it.
    pub key: Option<&'a [u8]>,
    /// Call or stream: calls are balanced by calls in flight, streams by open streams.
    pub class: ExchangeClass,
    /// Members that this request has already failed on.
    pub tried: &'a [usize],
    /// The worker's own generator.
    pub rng: &'a mut fastrand::Rng,
    /// The time of the worker's turn.
    pub now: Time,
}

/// Every policy, the default first.
pub static POLICIES: &[&dyn Policy] = &[
    &p2c_ewma::P2cEwma,
    &least_request::LeastRequest,
    &round_robin::RoundRobin,
    &weighted_random::WeightedRandom,
    &consistent_hash::ConsistentHash,
    &maglev::Maglev,
];

/// The policy of this name.
pub fn policy(name: &str) -> Option<&'static dyn Policy> {
    POLICIES.iter().copied().find(|policy| policy.name() == name)
}
