//! Slow start, under every policy.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Accounts, Ramp, Ramps, Share, expected_shares};
use super::*;

const WINDOW: Duration = Duration::from_secs(10);

/// Picks in a second of virtual time.
const RATE: u64 = 4000;

fn ramp(since: u64) -> Ramp {
    Ramp::new(Time::from_millis(since * 1000), WINDOW, Time::ZERO).unwrap()
}

/// Those of `set` that start, each with its ramp.
fn ramps(set: &EndpointSet, starting: &[(usize, Ramp)], keyed: bool) -> Ramps {
    let total: u32 = set.members().iter().map(|member| member.weight).sum();
    let members = starting.iter().map(|(index, ramp)| {
        let Member { endpoint, weight } = &set.members()[*index];
        let of_all = f64::from(*weight) / f64::from(total);
        (*index, &**endpoint, *ramp, Share { of_all, of_near: 0.0 })
    });
    Ramps::new(members, keyed, None)
}

/// A second's picks from this one on, by keys of their own; how many each member gets.
fn a_second(picker: &dyn Picker, ramps: &Ramps, accounts: &Accounts, second: u64) -> Vec<u64> {
    let rng = &mut fastrand::Rng::with_seed(second);
    let (mut counts, mut avoided) = (vec![0; 5], Vec::new());
    for number in 0..RATE {
        let now = Time::from_millis(second * 1000 + number * 1000 / RATE);
        let key = rng.u64(..).to_le_bytes();
        let class = ExchangeClass::Call;
        let cx = &mut PickCx { key: Some(&key), class, tried: &[], rng, now };
        counts[ramps.pick(accounts, &mut avoided, cx, |cx| picker.pick(cx))] += 1;
    }
    counts
}

#[test]
fn the_part_grows_from_a_tenth_to_the_whole() {
    let at = |millis| Time::from_millis(millis);
    let ramp = Ramp::new(at(1000), WINDOW, at(1000)).unwrap();
    let factors = [0, 1000, 1500, 2000, 3500, 6000, 10_900, 11_000, 20_000];
    let factors = factors.map(|millis| (ramp.factor(at(millis)) * 100.0).round() as u32);
    assert_eq!(factors, [10, 10, 10, 10, 25, 50, 99, 100, 100]);
    assert!(!ramp.is_over(at(10_999)) && ramp.is_over(at(11_000)));
    assert_eq!(Ramp::new(at(1000), WINDOW, at(11_000)), None);
    for none in [Duration::ZERO, Duration::from_secs(1)] {
        assert_eq!(Ramp::new(at(0), none, at(0)), None);
    }
    assert_eq!(ramp.beside(at(1000)), None, "it is the first itself");
    let beside = Ramp::new(at(3000), WINDOW, at(3000)).unwrap().beside(at(1000)).unwrap();
    assert_eq!(beside.factor(at(5000)), 0.5, "0.2 of 0.4");
    assert_eq!(beside.factor(at(12_000)), 0.9, "the first has all");
}

#[test]
fn a_newcomer_in_five_gets_its_share_evenly() {
    for (name, factory) in factories() {
        for weights in [[1, 1, 1, 1, 1], [3, 1, 2, 1, 2]] {
            let rng = &mut fastrand::Rng::with_seed(7);
            let set = set(&weights);
            let due = f64::from(weights[4]) / f64::from(weights.iter().sum::<u32>());
            let picker = factory.build(Arc::clone(&set), rng);
            let share = |counts: &[u64]| counts[4] as f64 / RATE as f64;
            let none = Ramps::default();
            let own = share(&a_second(&*picker, &none, &Accounts::default(), 99));
            // A ring's shares are off by some; the others' are their weights.
            let expected = if wants_key(&*factory) { own } else { due };
            let ramps = ramps(&set, &[(4, ramp(0))], wants_key(&*factory));
            let accounts = Accounts::new(&ramps, rng);
            for second in 0..12 {
                let counts = a_second(&*picker, &ramps, &accounts, second);
                let middle = Time::from_millis(second * 1000 + 500);
                let part = ramp(0).factor(middle);
                let got = share(&counts) / expected;
                assert!((got - part).abs() < 0.1, "{name} {weights:?}: {got} of {part}");
                let others: u64 = counts[..4].iter().sum();
                assert!(counts[..4].iter().all(|count| count * 12 > others), "{counts:?}");
            }
        }
    }
}

#[test]
fn only_keys_of_the_newcomer_move_and_each_comes_home_once() {
    for policy in ["consistent_hash", "maglev"] {
        let factory = configured(super::super::policy(policy).unwrap());
        let rng = &mut fastrand::Rng::with_seed(7);
        let set = set(&[1; 5]);
        let picker = factory.build(Arc::clone(&set), rng);
        let ramps = ramps(&set, &[(4, ramp(0))], true);
        let accounts = Accounts::new(&ramps, rng);
        let mut avoided = Vec::new();
        let mut homecomings = [0; 11];
        for key in 0..5000u32 {
            let mut pick = |millis, ramps: &Ramps| {
                let (key, class) = (&key.to_le_bytes(), ExchangeClass::Call);
                let now = Time::from_millis(millis);
                let cx = &mut PickCx { key: Some(key), class, tried: &[], rng, now };
                ramps.pick(&accounts, &mut avoided, cx, |cx| picker.pick(cx))
            };
            let home = pick(0, &Ramps::default());
            let stays: Vec<usize> = (0..=100).map(|step| pick(step * 100, &ramps)).collect();
            let first = stays.iter().position(|at| *at == home).unwrap();
            assert!(stays[first..].iter().all(|at| *at == home), "{policy}: back and forth");
            assert!(stays[..first].windows(2).all(|two| two[0] == two[1]), "{policy}: elsewhere");
            assert!(first == 0 || home == 4, "{policy}: a key of another one moves");
            homecomings[first.div_ceil(10)] += usize::from(home == 4);
        }
        let all: usize = homecomings.iter().sum();
        let even = homecomings.iter().enumerate().filter(|(step, _)| *step != 1);
        for (step, count) in even {
            assert!((count * 10).abs_diff(all) * 3 < all, "{policy}: {count} of {all} at {step}");
        }
    }
}

#[test]
fn where_all_start_they_are_compared_with_the_first() {
    let set = set(&[4, 1]);
    let factory = configured(super::super::policy("weighted_random").unwrap());
    let rng = &mut fastrand::Rng::with_seed(7);
    let picker = factory.build(Arc::clone(&set), rng);
    // The second began two seconds after the first: at 4 s its part is 0.2 of 0.4.
    let later = Ramp::new(Time::from_millis(2000), WINDOW, Time::ZERO).unwrap();
    let ramps = ramps(&set, &[(1, later.beside(Time::ZERO).unwrap())], false);
    let accounts = Accounts::new(&ramps, rng);
    let counts = a_second(&*picker, &ramps, &accounts, 4);
    let share = counts[1] as f64 / RATE as f64;
    assert!((0.1..0.13).contains(&share), "{share}: {counts:?}");
}

#[test]
fn expected_shares_are_those_of_a_slow_start() {
    for (name, factory) in factories() {
        let rng = &mut fastrand::Rng::with_seed(7);
        let set = set(&[1; 5]);
        let picker = factory.build(Arc::clone(&set), rng);
        let now = Time::from_millis(5000);
        let mut share = |ramps: &Ramps| expected_shares(&*picker, ramps, None, 5, now, rng)[4];
        let own = share(&Ramps::default());
        let half = share(&ramps(&set, &[(4, ramp(0))], wants_key(&*factory)));
        assert!((half - own / 2.0).abs() < 0.02, "{name}: {half} of {own}");
    }
}

#[test]
fn a_tried_member_is_not_picked_while_another_is_left() {
    for (name, factory) in factories() {
        let rng = &mut fastrand::Rng::with_seed(7);
        let set = set(&[1; 5]);
        let picker = factory.build(Arc::clone(&set), rng);
        let starting = [(1, ramp(0)), (3, ramp(0)), (4, ramp(0))];
        let ramps = ramps(&set, &starting, wants_key(&*factory));
        let accounts = Accounts::new(&ramps, rng);
        let mut avoided = Vec::new();
        for tried in [&[0, 2][..], &[0, 1, 2], &[2, 4, 3, 0], &[1, 3]] {
            let picks = Cell::new(0);
            for _ in 0..500 {
                let key = rng.u64(..).to_le_bytes();
                let (class, now) = (ExchangeClass::Call, Time::ZERO);
                let cx = &mut PickCx { key: Some(&key), class, tried, rng, now };
                let picked = ramps.pick(&accounts, &mut avoided, cx, |cx| {
                    picks.set(picks.get() + 1);
                    picker.pick(cx)
                });
                assert!(!tried.contains(&picked), "{name}: {picked} of {tried:?}");
            }
            assert!(picks.get() <= 1000, "{name}: two picks at most");
        }
    }
}
