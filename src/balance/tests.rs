//! What every policy promises, and what each promises besides. Seeds are fixed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounded;
mod contract;
mod hashing;
mod least_request;
mod p2c_ewma;
mod settings;
mod simulation;
mod table;

use std::sync::Arc;

use super::{Factory, PickCx, Picker, Policy};
use crate::model::{Endpoint, EndpointSet, EwmaParams, Member, ParamValue, Params, Time};

/// A member at each address, of the weight beside it.
fn set_of<'a>(
    members: impl IntoIterator<Item = (&'a str, u32)>,
    ewma: &EwmaParams,
) -> Arc<EndpointSet> {
    let member = |(address, weight)| Member {
        endpoint: Arc::new(Endpoint::new(address, 1, Time::ZERO)),
        weight,
    };
    Arc::new(EndpointSet::new(members.into_iter().map(member), ewma.clone()))
}

/// Members `10.0.0.0:1`, `10.0.0.1:1` ... of these weights.
fn set(weights: &[u32]) -> Arc<EndpointSet> {
    let addresses: Vec<_> = (0..weights.len()).map(|n| format!("10.0.0.{n}:1")).collect();
    set_of(
        addresses.iter().map(String::as_str).zip(weights.iter().copied()),
        &EwmaParams::default(),
    )
}

/// The policy with its defaults, and with a header as its key if it insists on one.
fn configured(policy: &dyn Policy) -> Arc<dyn Factory> {
    let header = vec![("header".into(), "x-key".into())];
    let keyed = [("key".into(), ParamValue::Map(header))];
    policy.configure(Params::default()).or_else(|_| policy.configure(Params::new(keyed))).unwrap()
}

fn wants_key(factory: &dyn Factory) -> bool {
    factory.key().is_some()
}

/// One pick, with a random key.
fn pick(picker: &dyn Picker, tried: &[usize], rng: &mut fastrand::Rng) -> usize {
    let key = rng.u64(..).to_le_bytes();
    let cx = &mut PickCx { key: Some(&key), tried, rng, now: Time::ZERO };
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
