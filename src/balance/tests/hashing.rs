//! Properties of every policy that hashes a key.

use std::sync::Arc;

use super::super::{Factory, POLICIES, PickCx, Picker, policy};
use super::{bounded, configured, set_of, wants_key};
use crate::model::{EwmaParams, ExchangeClass, Time};

const KEYS: u64 = 20_000;

fn hashing() -> impl Iterator<Item = Arc<dyn Factory>> {
    POLICIES.iter().map(|policy| configured(*policy)).filter(|factory| wants_key(&**factory))
}

/// The policies that hash, and the share of keys that a change of the set may move although their
/// member is not concerned.
fn with_strays() -> impl Iterator<Item = (Arc<dyn Factory>, f64)> {
    let rows = POLICIES.iter().map(|policy| (configured(*policy), policy.name()));
    let strays = |name| if name == "maglev" { 0.005 } else { 0.0 };
    rows.filter(|(factory, _)| wants_key(&**factory)).map(move |(f, name)| (f, strays(name)))
}

/// The address that each of the keys goes to.
fn homes(factory: &dyn Factory, members: &[(&str, u32)], tried: &[usize]) -> Vec<String> {
    let set = set_of(members.iter().copied(), &EwmaParams::default());
    let picker = factory.build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
    let home = |index: usize| set.members()[index].endpoint.address().to_owned();
    picked(&*picker, tried).into_iter().map(home).collect()
}

/// The member that each of the keys goes to.
fn picked(picker: &dyn Picker, tried: &[usize]) -> Vec<usize> {
    let pick = |key: u64| {
        let cx = &mut PickCx {
            key: Some(&key.to_le_bytes()),
            class: ExchangeClass::Call,
            tried,
            rng: &mut fastrand::Rng::new(),
            now: Time::ZERO,
        };
        picker.pick(cx)
    };
    (0..KEYS).map(pick).collect()
}

fn share_of_moved(before: &[String], after: &[String]) -> f64 {
    let moved = before.iter().zip(after).filter(|(b, a)| b != a).count();
    moved as f64 / KEYS as f64
}

const FIVE: [(&str, u32); 5] = [("a:1", 2), ("b:1", 1), ("c:1", 1), ("d:1", 3), ("e:1", 1)];

#[test]
fn a_key_keeps_its_address_across_pickers_and_orders() {
    let mut turned = FIVE;
    turned.rotate_left(2);
    turned.swap(0, 1);
    for factory in hashing() {
        let homes_of = |members| homes(&*factory, members, &[]);
        assert_eq!(homes_of(&FIVE), homes_of(&FIVE));
        assert_eq!(homes_of(&FIVE), homes_of(&turned));
    }
}

/// The share of all keys that have moved, and are not of those that had to.
fn share_of_strays(
    before: &[String],
    after: &[String],
    had_to: impl Fn(&String, &String) -> bool,
) -> f64 {
    let pairs = before.iter().zip(after);
    pairs.filter(|(b, a)| b != a && !had_to(b, a)).count() as f64 / KEYS as f64
}

/// Slack: the ring gives a member its share give or take a quarter of it.
#[test]
fn a_member_gone_or_come_moves_no_more_than_its_share_of_keys() {
    for (factory, strays) in with_strays() {
        for gone in 0..FIVE.len() {
            let mut rest = FIVE.to_vec();
            let (address, weight) = rest.remove(gone);
            let full = homes(&*factory, &FIVE, &[]);
            let less = homes(&*factory, &rest, &[]);
            let share = f64::from(weight) / 8.0;
            assert!(share_of_moved(&full, &less) < share * 1.25);
            assert!(share_of_strays(&full, &less, |with, _| with == address) <= strays);
        }
    }
}

#[test]
fn a_weight_moves_keys_only_to_or_from_its_member() {
    for (factory, strays) in with_strays() {
        let mut more = FIVE;
        more[1].1 = 3;
        let before = homes(&*factory, &FIVE, &[]);
        let after = homes(&*factory, &more, &[]);
        let gained = 3.0 / 10.0 - 1.0 / 8.0;
        assert!(share_of_moved(&before, &after) < gained * 1.25);
        assert!(share_of_strays(&before, &after, |_, after| after == "b:1") <= strays);
    }
}

#[test]
fn the_keys_of_a_member_tried_in_vain_spread_over_all_others() {
    for factory in hashing() {
        let first = homes(&*factory, &FIVE, &[]);
        let next = homes(&*factory, &FIVE, &[3]);
        let others = FIVE.iter().filter(|(address, _)| *address != "d:1");
        for &(other, weight) in others {
            let pair = |(f, n): &(&String, &String)| *f == "d:1" && *n == other;
            let inherited = first.iter().zip(&next).filter(pair).count() as f64;
            let due = KEYS as f64 * 3.0 / 8.0 * f64::from(weight) / 5.0;
            assert!((inherited / due - 1.0).abs() < 0.4, "{other}: {inherited} of {due}");
        }
        let stays = |(f, n): (&String, &String)| f == "d:1" || f == n;
        assert!(first.iter().zip(&next).all(stays));
    }
}

/// Every policy that hashes, with bounded load and without.
fn hashing_in_all_ways() -> impl Iterator<Item = Arc<dyn Factory>> {
    hashing().chain(POLICIES.iter().filter_map(|policy| bounded(*policy, "100")))
}

#[test]
fn only_the_keys_of_an_excluded_member_move_and_they_come_back() {
    for factory in hashing_in_all_ways() {
        let set = set_of(FIVE, &EwmaParams::default());
        let picker = factory.build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
        let before = picked(&*picker, &[]);
        let one = picker.without(&[3]).unwrap();
        let during = picked(&*one, &[]);
        assert!(
            during.iter().zip(&before).all(|(now, home)| *now != 3 && (now == home || *home == 3))
        );
        assert_eq!(during, picked(&*picker, &[3]), "as those that were tried in vain");
        for (index, weight) in [(0, 2.0), (1, 1.0), (2, 1.0), (4, 1.0)] {
            let inherited = during.iter().zip(&before).filter(|pair| *pair == (&index, &3));
            let due = KEYS as f64 * 3.0 / 8.0 * weight / 5.0;
            assert!((inherited.count() as f64 / due - 1.0).abs() < 0.4, "{index}");
        }
        let two = one.without(&[0, 3]).unwrap();
        let fewer = picked(&*two, &[]);
        assert!(fewer.iter().zip(&during).all(|(now, home)| now == home || *home == 0));
        let back = two.without(&[]).unwrap();
        assert_eq!(picked(&*back, &[]), before);
    }
}

#[test]
fn an_excluded_member_is_never_picked() {
    for factory in hashing_in_all_ways() {
        let set = set_of(FIVE, &EwmaParams::default());
        let picker = factory.build(set, &mut fastrand::Rng::with_seed(1));
        let rng = &mut fastrand::Rng::with_seed(7);
        let left = picker.without(&[0, 1, 4]).unwrap();
        for tried in [&[][..], &[2], &[2, 3], &[0, 1, 2, 3, 4]] {
            for key in 0..400u64 {
                let bytes = key.to_le_bytes();
                let (class, now) = (ExchangeClass::Call, Time::ZERO);
                let key = (key % 2 == 0).then_some(&bytes[..]);
                let picked = left.pick(&mut PickCx { key, class, tried, rng, now });
                assert!([2, 3].contains(&picked), "{picked} of {tried:?}");
                assert!(tried != [2] || picked == 3, "{picked} of {tried:?}");
            }
        }
    }
}

#[test]
fn only_hashing_policies_exclude_members() {
    for policy in POLICIES {
        let factory = configured(*policy);
        let set = set_of(FIVE, &EwmaParams::default());
        let picker = factory.build(set, &mut fastrand::Rng::with_seed(1));
        assert_eq!(picker.without(&[1]).is_some(), wants_key(&*factory), "{}", policy.name());
    }
}

/// These may change only with a note to operators: it moves every key of every deployment.
#[test]
fn keys_lie_where_they_do_in_every_build() {
    for (name, expected) in [("consistent_hash", "babddedbadab"), ("maglev", "cdabddaeadbc")] {
        let factory = configured(policy(name).unwrap());
        let homes = homes(&*factory, &FIVE, &[]);
        assert_eq!(homes[..12].concat().replace(":1", ""), expected, "{name}");
    }
}

fn hundred(weight: impl Fn(usize) -> u32) -> Vec<(String, u32)> {
    (0..100).map(|n| (format!("10.0.0.{n}:50051"), weight(n))).collect()
}

fn borrowed(members: &[(String, u32)]) -> Vec<(&str, u32)> {
    members.iter().map(|(address, weight)| (&**address, *weight)).collect()
}

/// The ring moves only what it has to, the table of maglev as much again at most.
#[test]
fn of_a_hundred_members_one_goes() {
    for (factory, strays) in with_strays() {
        let all = hundred(|_| 1);
        let less: Vec<_> = all[..37].iter().chain(&all[38..]).cloned().collect();
        let before = homes(&*factory, &borrowed(&all), &[]);
        let after = homes(&*factory, &borrowed(&less), &[]);
        let astray = share_of_strays(&before, &after, |before, _| *before == all[37].0);
        assert!(astray <= strays * 2.0, "{astray}");
        assert!(share_of_moved(&before, &after) < 0.01 * 1.25 + strays * 2.0);
    }
}
