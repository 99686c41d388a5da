use std::collections::HashMap;

use super::*;

fn split(shares: &[(usize, u32)]) -> Split {
    let share =
        |&(service, weight): &(usize, u32)| Share::new(service, &format!("s{service}"), weight);
    Split::new(shares.iter().map(share))
}

#[test]
fn chance_follows_the_weights() {
    let split = split(&[(7, 90), (8, 0), (9, 10)]);
    let mut rng = fastrand::Rng::with_seed(42);
    let mut counts = HashMap::new();
    for _ in 0..100_000 {
        *counts
            .entry(split.shares()[split.choose(None, &mut rng).unwrap()].service)
            .or_insert(0u32) += 1;
    }
    assert_eq!(counts.len(), 2);
    // Standard deviation 95; six sigma.
    assert!(counts[&9].abs_diff(10_000) < 570, "{counts:?}");
}

#[test]
fn a_split_of_zero_weights_picks_nothing() {
    let mut rng = fastrand::Rng::with_seed(42);
    for shares in [&[(1, 0)][..], &[(1, 0), (2, 0)], &[]] {
        assert!(split(shares).choose(None, &mut rng).is_none());
        assert!(split(shares).choose(Some(b"key"), &mut rng).is_none());
    }
}

/// The services that 20,000 keys go to.
fn keyed(shares: &[(usize, u32)]) -> Vec<usize> {
    let split = split(shares);
    // The seeds differ: with a key the random generator is not used.
    let place = |n: u32| {
        let key = format!("user-{n}");
        let mut rng = fastrand::Rng::with_seed(u64::from(n));
        split.shares()[split.choose(Some(key.as_bytes()), &mut rng).unwrap()].service
    };
    (0..20_000).map(place).collect()
}

#[test]
fn a_key_always_goes_to_the_same_service() {
    assert_eq!(keyed(&[(1, 70), (2, 30)]), keyed(&[(1, 70), (2, 30)]));
    // Neither the order in the file, nor shares of weight 0, nor the unit of weights matters.
    assert_eq!(keyed(&[(1, 70), (2, 30)]), keyed(&[(2, 30), (3, 0), (1, 70)]));
    assert_eq!(keyed(&[(1, 7), (2, 3)]), keyed(&[(1, 70), (2, 30)]));
}

#[test]
fn keys_follow_the_weights() {
    let services = keyed(&[(1, 60), (2, 30), (3, 10)]);
    for (service, expected) in [(1, 12_000), (2, 6_000), (3, 2_000)] {
        let count = services.iter().filter(|s| **s == service).count();
        // Standard deviation at most 69; six sigma.
        assert!(count.abs_diff(expected) < 420, "{service}: {count}");
    }
}

#[test]
fn a_change_of_weights_moves_as_few_keys_as_can_be() {
    let before = keyed(&[(1, 90), (2, 10)]);
    let after = keyed(&[(1, 80), (2, 20)]);
    let moved: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).collect();
    assert!(moved.iter().all(|moved| *moved == (&1, &2)), "none moves the other way");
    assert!(moved.len().abs_diff(2_000) < 420, "{}", moved.len());
    let third = keyed(&[(1, 80), (2, 20), (3, 25)]);
    assert!(after.iter().zip(&third).all(|(a, b)| a == b || *b == 3));
}

#[test]
fn one_service_may_have_several_shares() {
    let services = keyed(&[(1, 50), (2, 25), (2, 25)]);
    let count = services.iter().filter(|s| **s == 1).count();
    assert!(count.abs_diff(10_000) < 430, "{count}");
}

#[test]
fn keys_stay_where_they_were_in_earlier_versions() {
    let services = &keyed(&[(1, 1), (2, 1), (3, 1)])[..16];
    assert_eq!(services, [1usize, 3, 3, 2, 3, 3, 1, 3, 2, 3, 3, 2, 1, 1, 3, 3]);
}
