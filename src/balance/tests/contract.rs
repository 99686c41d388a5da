//! Properties of every policy in `POLICIES`.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::{POLICIES, PickCx, Ramps, expected_shares};
use super::{configured, counts, factories, pick, set, wants_key};
use crate::model::{ExchangeClass, Member, Time};

/// Pearson's statistic of `counts` against the shares that `weights` ask for.
fn chi_square(counts: &[u64], weights: &[u32]) -> f64 {
    let picks: u64 = counts.iter().sum();
    let total: u32 = weights.iter().sum();
    let term = |(&count, &weight): (&u64, &u32)| {
        let expected = picks as f64 * f64::from(weight) / f64::from(total);
        (count as f64 - expected).powi(2) / expected
    };
    counts.iter().zip(weights).map(term).sum()
}

/// What the statistic exceeds by chance once in ten thousand times (Wilson and Hilferty).
fn critical(members: usize) -> f64 {
    let k = (members - 1) as f64;
    let spread = 2.0 / (9.0 * k);
    k * (1.0 - spread + 3.72 * spread.sqrt()).powi(3)
}

#[test]
fn shares_follow_weights() {
    let cases: [&[u32]; 7] =
        [&[80, 20], &[1, 1, 1], &[3, 1], &[1, 2, 3, 4, 5], &[1000, 1, 1], &[7; 50], &[500, 499]];
    for policy in POLICIES {
        for (seed, weights) in (1..).zip(cases) {
            let factory = configured(*policy);
            let picker = factory.build(set(weights), &mut fastrand::Rng::with_seed(1));
            let counts = counts(&*picker, weights.len(), 100_000, seed);
            let name = policy.name();
            if wants_key(&*factory) {
                let total: u32 = weights.iter().sum();
                for (&count, &weight) in counts.iter().zip(weights) {
                    let expected = 1e5 * f64::from(weight) / f64::from(total);
                    let off = (count as f64 - expected).abs() / expected;
                    assert!(off < 0.25, "{name} {weights:?}: {counts:?}");
                }
            } else {
                let statistic = chi_square(&counts, weights);
                let critical = critical(weights.len());
                assert!(statistic < critical, "{name} {weights:?}: {counts:?}");
            }
        }
    }
}

#[test]
fn a_tried_member_is_left_alone_while_there_is_another() {
    let weights = [1000, 1, 50, 50];
    for (name, factory) in factories() {
        let picker = factory.build(set(&weights), &mut fastrand::Rng::with_seed(1));
        let rng = &mut fastrand::Rng::with_seed(1);
        for tried in [&[0][..], &[0, 2], &[2, 3, 0], &[1, 1, 1], &[3, 99]] {
            for _ in 0..500 {
                let picked = pick(&*picker, tried, rng);
                assert!(!tried.contains(&picked), "{name} {tried:?}");
            }
        }
        assert!(pick(&*picker, &[0, 1, 2, 3], rng) < weights.len());
    }
}

#[test]
fn without_a_key_shares_follow_weights_too() {
    for policy in POLICIES {
        let weights = [6, 3, 1];
        let picker = configured(*policy).build(set(&weights), &mut fastrand::Rng::with_seed(1));
        let rng = &mut fastrand::Rng::with_seed(3);
        for key in [None, Some(&b""[..])] {
            let mut counts = vec![0; 3];
            for _ in 0..20_000 {
                let cx = &mut PickCx {
                    key,
                    class: ExchangeClass::Call,
                    tried: &[],
                    rng,
                    now: Time::ZERO,
                };
                counts[picker.pick(cx)] += 1;
            }
            let statistic = chi_square(&counts, &weights);
            assert!(statistic < critical(3), "{}: {counts:?}", policy.name());
        }
    }
}

#[test]
fn pickers_are_shared_by_workers() {
    for policy in POLICIES {
        let picker: Arc<dyn super::Picker> =
            configured(*policy).build(set(&[3, 1]), &mut fastrand::Rng::with_seed(1)).into();
        let workers: Vec<_> = (0..4)
            .map(|seed| {
                let picker = Arc::clone(&picker);
                std::thread::spawn(move || counts(&*picker, 2, 5_000, seed))
            })
            .collect();
        let heavy: u64 = workers.into_iter().map(|w| w.join().unwrap()[0]).sum();
        assert!((12_000..18_000).contains(&heavy), "{}: {heavy}", policy.name());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))] // each builds a large ring

    #[test]
    fn a_pick_is_in_range_and_a_weight_of_0_gets_none(
        weights in prop::collection::vec(prop_oneof![Just(0), 0u32..5, 0u32..=1000, Just(u32::MAX)], 1..40),
        tried in prop::collection::vec(0usize..40, 0..4),
        seed: u64,
    ) {
        let set = set(&weights);
        prop_assume!(!set.is_empty());
        prop_assert!(set.members().iter().all(|member| member.weight > 0));
        for policy in POLICIES {
            let picker = configured(*policy).build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
            let rng = &mut fastrand::Rng::with_seed(seed);
            for _ in 0..50 {
                let picked = pick(&*picker, &tried, rng);
                prop_assert!(picked < set.len(), "{}", policy.name());
                let another = (0..set.len()).any(|index| !tried.contains(&index));
                prop_assert!(!another || !tried.contains(&picked), "{}", policy.name());
            }
        }
    }
}

proptest! {
    #[test]
    fn round_robin_is_exact_over_a_cycle_and_even_within(
        weights in prop::collection::vec(1u32..60, 1..12),
    ) {
        let set = set(&weights);
        let picker = configured(super::super::policy("round_robin").unwrap()).build(set, &mut fastrand::Rng::with_seed(1));
        let total: u32 = weights.iter().sum();
        let mut counts = vec![0u32; weights.len()];
        for turn in 1..=total {
            counts[pick(&*picker, &[], &mut fastrand::Rng::with_seed(0))] += 1;
            for (&count, &weight) in counts.iter().zip(&weights) {
                let due = f64::from(turn) * f64::from(weight) / f64::from(total);
                prop_assert!((f64::from(count) - due).abs() < 4.0, "{weights:?} {counts:?}");
            }
        }
        prop_assert_eq!(counts, weights);
    }
}

#[test]
fn expected_shares_are_those_of_picks_and_leave_no_trace() {
    let weights = [3, 1, 1, 5];
    for (name, factory) in factories() {
        let set = set(&weights);
        set.members()[1].endpoint.load().begin(ExchangeClass::Call, Time::ZERO);
        let picker = factory.build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
        let now = Time::from_millis(1);
        let rng = &mut fastrand::Rng::with_seed(2);
        let expected = expected_shares(&*picker, &Ramps::default(), None, weights.len(), now, rng);
        let idle = |member: &Member| member.endpoint.load().since_picked(Time::from_millis(9));
        assert!(set.members().iter().all(|m| idle(m).as_millis() == 9), "{name}");
        let counts = counts(&*picker, weights.len(), 20_000, 3);
        for (count, expected) in counts.iter().zip(expected) {
            let share = *count as f64 / 20_000.0;
            assert!((share - expected).abs() < 0.03, "{name}: {share} {expected}");
        }
        let costs = picker.costs(now);
        assert!([0, weights.len()].contains(&costs.len()), "{name}");
    }
}
