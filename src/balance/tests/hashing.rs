//! What holds for every policy that hashes a key.

use std::sync::Arc;

use super::super::{Factory, POLICIES, PickCx, policy};
use super::{configured, set_of, wants_key};
use crate::model::{EwmaParams, ParamValue, Params, Time};

const KEYS: u64 = 20_000;

fn hashing() -> impl Iterator<Item = Arc<dyn Factory>> {
    POLICIES.iter().map(|policy| configured(*policy)).filter(|factory| wants_key(&**factory))
}

/// The address that each of the keys goes to.
fn homes(factory: &dyn Factory, members: &[(&str, u32)], tried: &[usize]) -> Vec<String> {
    let set = set_of(members.iter().copied(), &EwmaParams::default());
    let picker = factory.build(Arc::clone(&set));
    let home = |key: u64| {
        let cx = &mut PickCx {
            key: Some(&key.to_le_bytes()),
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

/// Slack: the ring gives a member its share give or take a quarter of it.
#[test]
fn a_member_gone_or_come_moves_no_more_than_its_share_of_keys() {
    for factory in hashing() {
        for gone in 0..FIVE.len() {
            let mut rest = FIVE.to_vec();
            let (address, weight) = rest.remove(gone);
            let full = homes(&*factory, &FIVE, &[]);
            let less = homes(&*factory, &rest, &[]);
            let share = f64::from(weight) / 8.0;
            assert!(share_of_moved(&full, &less) < share * 1.25);
            for (with, without) in full.iter().zip(&less) {
                assert!(with == without || with == address);
            }
        }
    }
}

#[test]
fn a_weight_moves_keys_only_to_or_from_its_member() {
    for factory in hashing() {
        let mut more = FIVE;
        more[1].1 = 3;
        let before = homes(&*factory, &FIVE, &[]);
        let after = homes(&*factory, &more, &[]);
        let gained = 3.0 / 10.0 - 1.0 / 8.0;
        assert!(share_of_moved(&before, &after) < gained * 1.25);
        assert!(before.iter().zip(&after).all(|(b, a)| b == a || a == "b:1"));
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
fn the_ring_is_the_same_in_every_build() {
    let factory = configured(policy("consistent_hash").unwrap());
    let homes = homes(&*factory, &FIVE, &[]);
    assert_eq!(homes[..12].concat().replace(":1", ""), "babddedbadab");
}

#[test]
fn a_large_ring_is_halved_and_still_follows_weights() {
    let factory = configured(policy("consistent_hash").unwrap());
    let homes = homes(&*factory, &[("a:1", 1000), ("b:1", 250)], &[]);
    let heavy = homes.iter().filter(|home| *home == "a:1").count() as f64;
    assert!((heavy / KEYS as f64 - 0.8).abs() < 0.02, "{heavy}");
}

#[test]
fn settings_that_are_wrong_are_named_with_the_fix() {
    let map = |kind: &str, name: &str| ParamValue::Map(vec![(kind.into(), name.into())]);
    let text = |text: &str| ParamValue::Text(text.into());
    let cases = [
        (vec![], "key: is missing; write `key: { header: x-user-id }`"),
        (vec![("key", text("x-user-id"))], "does not say where the key is"),
        (vec![("key", map("cookie", "id"))], "`cookie` is not supported, only `header` is"),
        (vec![("key", map("header", "not a name"))], "`not a name` is not a header's name"),
        (vec![("key", ParamValue::Map(vec![]))], "exactly one source"),
        (vec![("key", map("header", "x")), ("replicas", text("0"))], "replicas: must be from 1"),
        (vec![("key", map("header", "x")), ("replica", text("9"))], "replica: unknown setting"),
    ];
    for (entries, message) in cases {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value));
        let result = policy("consistent_hash").unwrap().configure(Params::new(entries));
        let error = result.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
