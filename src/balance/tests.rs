//! The contract of all policies, and the properties of each. Seeds are fixed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounded;
mod cases;
mod closed;
mod contract;
mod hashing;
mod least_request;
mod p2c_ewma;
mod settings;
mod setup;
mod simulation;
mod slow_start;
mod streams;
mod table;

use setup::{bounded, configured, factories, set, set_of};

use super::{Factory, POLICIES, PickCx, Picker, Policy, policy};
use crate::model::{Endpoint, EndpointSet, EwmaParams, ExchangeClass, Member, Time};
use crate::text::{ParamValue, Params};

fn wants_key(factory: &dyn Factory) -> bool {
    factory.key().is_some()
}

/// One pick, with a random key.
fn pick(picker: &dyn Picker, tried: &[usize], rng: &mut fastrand::Rng) -> usize {
    let key = rng.u64(..).to_le_bytes();
    let cx =
        &mut PickCx { key: Some(&key), class: ExchangeClass::Call, tried, rng, now: Time::ZERO };
    picker.pick(cx)
}

/// How often each member is picked.
fn counts(picker: &dyn Picker, members: usize, picks: usize, seed: u64) -> Vec<u64> {
    let rng = &mut fastrand::Rng::with_seed(seed);
    let mut counts = vec![0; members];
    for _ in 0..picks {
        counts[pick(picker, &[], rng)] += 1;
    }
    counts
}
