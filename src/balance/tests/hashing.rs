//! What holds for every policy that hashes a key.

use std::sync::Arc;

use super::super::{Factory, POLICIES, PickCx, policy};
use super::{configured, set_of, wants_key};
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
    let home = |key: u64| {
        let cx = &mut PickCx {
            key: Some(&key.to_le_bytes()),
            class: ExchangeClass::Call,
            tried,
            rng: &mut fastrand::Rng::new(),
            now: Time::ZERO,
        };
        set.members()[picker.pick(cx)].endpoint.address().to_owned()
    };
    (0..KEYS).map(home).collect()
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
