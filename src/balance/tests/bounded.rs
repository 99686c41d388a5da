//! Bounded load, for every policy that hashes a key.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::{Factory, POLICIES, PickCx, Picker};
use super::{bounded, set};
use crate::model::{EndpointSet, ExchangeClass, Time};

/// Every policy that hashes, with this setting.
fn hashing(factor: &str) -> impl Iterator<Item = Arc<dyn Factory>> {
    POLICIES.iter().filter_map(move |policy| bounded(*policy, factor))
}

fn pick(picker: &dyn Picker, key: u64, tried: &[usize], now: Time) -> usize {
    let key = &key.to_le_bytes()[..];
    let rng = &mut fastrand::Rng::with_seed(1);
    picker.pick(&mut PickCx { key: Some(key), class: ExchangeClass::Call, tried, rng, now })
}

fn in_flight(set: &EndpointSet, index: usize) -> u32 {
    set.members()[index].endpoint.load().calls()
}

fn begin(set: &EndpointSet, index: usize, requests: u32) {
    (0..requests)
        .for_each(|_| set.members()[index].endpoint.load().begin(ExchangeClass::Call, Time::ZERO));
}

/// The bound of a member for `all` requests, by its weight.
fn limit(set: &EndpointSet, index: usize, factor: f64, all: f64) -> f64 {
    let total: u64 = set.members().iter().map(|member| u64::from(member.weight)).sum();
    factor * all * f64::from(set.members()[index].weight) / total as f64
}

#[test]
fn one_hot_key_spreads_as_far_as_the_bound_says() {
    for factory in hashing("1.25") {
        let set = set(&[1; 10]);
        let picker = factory.build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
        for request in 0..1000u32 {
            let picked = pick(&*picker, 7, &[], Time::ZERO);
            let limit = limit(&set, picked, 1.25, f64::from(request + 1)).ceil() as u32;
            assert!(in_flight(&set, picked) < limit.max(1), "{request}");
            begin(&set, picked, 1);
        }
        // As few members as possible share the load, each up to its bound.
        let used = (0..10).filter(|index| in_flight(&set, *index) >= 100);
        assert_eq!(used.count(), 8);
    }
}

#[test]
fn a_key_stays_at_home_while_there_is_room_and_comes_back() {
    for (factory, unbounded) in hashing("1.5").zip(hashing("100")) {
        let set = set(&[2, 1, 1, 3, 1]);
        let picker = factory.build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
        let homes = unbounded.build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
        for key in 0..500 {
            let home = pick(&*homes, key, &[], Time::ZERO);
            assert_eq!(pick(&*picker, key, &[], Time::ZERO), home);
        }
        let home = pick(&*homes, 1, &[], Time::ZERO);
        begin(&set, home, 100);
        let elsewhere = pick(&*picker, 1, &[], Time::ZERO);
        assert_ne!(elsewhere, home);
        assert_eq!(pick(&*picker, 1, &[], Time::ZERO), elsewhere, "always the same way out");
        assert!(![home, elsewhere].contains(&pick(&*picker, 1, &[elsewhere], Time::ZERO)));
        // A request that failed elsewhere may go to a member without room.
        let others: Vec<_> = (0..5).filter(|index| *index != home).collect();
        assert_eq!(pick(&*picker, 1, &others, Time::ZERO), home);
        (0..100)
            .for_each(|_| set.members()[home].endpoint.load().end(ExchangeClass::Call, Time::ZERO));
        assert_eq!(pick(&*picker, 1, &[], Time::from_nanos(1_000_000)), home);
    }
}

#[test]
fn the_keys_of_a_full_member_spread_over_all_others() {
    for factory in hashing("1.25") {
        let weights = [2, 1, 1, 3, 1];
        let set = set(&weights);
        let picker = factory.build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
        let keys: Vec<_> =
            (0..20_000).filter(|key| pick(&*picker, *key, &[], Time::ZERO) == 3).collect();
        begin(&set, 3, 1000);
        let mut counts = [0.0; 5];
        for (turn, key) in (1..).zip(&keys) {
            counts[pick(&*picker, *key, &[], Time::from_nanos(turn * 1_000_000))] += 1.0;
        }
        assert_eq!(counts[3], 0.0);
        for index in [0, 1, 2, 4] {
            let due = keys.len() as f64 * f64::from(weights[index]) / 5.0;
            assert!((counts[index] / due - 1.0).abs() < 0.4, "{counts:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))] // each builds large tables

    #[test]
    fn no_member_gets_more_than_its_bound(
        weights in prop::collection::vec(1u32..10, 1..100),
        factor in 1.0..3.0f64,
        keys in 1u64..50,
        most in 1usize..400,
        seed: u64,
    ) {
        let set = set(&weights);
        for factory in hashing(&factor.to_string()) {
            let picker = factory.build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
            let rng = &mut fastrand::Rng::with_seed(seed);
            let mut running = Vec::new();
            for turn in 0..1500 {
                // Requests that ended within the last millisecond may still be counted in part.
                let slack = running.len().max(weights.len()) as f64 / 16.0;
                let all = running.len() as f64 + 1.0 + slack;
                let picked = pick(&*picker, rng.u64(..keys), &[], Time::from_nanos(turn * 10_000));
                let limit = limit(&set, picked, factor, all).ceil();
                prop_assert!(f64::from(in_flight(&set, picked)) < limit, "{limit}");
                begin(&set, picked, 1);
                running.push(picked);
                if running.len() > most {
                    let ended = running.swap_remove(rng.usize(..running.len()));
                    set.members()[ended].endpoint.load().end(ExchangeClass::Call, Time::ZERO);
                }
            }
            for ended in running {
                set.members()[ended].endpoint.load().end(ExchangeClass::Call, Time::ZERO);
            }
        }
    }
}
