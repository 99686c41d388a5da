//! What must not allocate: a pick, whatever the policy. A binary of its own, as it replaces the
//! global allocator by one that counts.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use equipoise::balance::{Factory, POLICIES, PickCx, Policy};
use equipoise::model::{Endpoint, EndpointSet, EwmaParams, Member, ParamValue, Params, Time};

fn configured(policy: &dyn Policy) -> Arc<dyn Factory> {
    let header = vec![("header".into(), "x-key".into())];
    let keyed = [("key".into(), ParamValue::Map(header))];
    policy.configure(Params::default()).or_else(|_| policy.configure(Params::new(keyed))).unwrap()
}

fn set() -> Arc<EndpointSet> {
    let ewma = EwmaParams::default();
    let member = |n: u32| Member {
        endpoint: Arc::new(Endpoint::new(&format!("10.0.0.{n}:1"), 1, &ewma, Time::ZERO)),
        weight: 1 + n % 7,
    };
    let members: Vec<_> = (0..20).map(member).collect();
    Arc::new(EndpointSet::new(members, ewma))
}

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1u8; 64])));
    assert_eq!(counted.count_total, 1);
}

#[test]
fn a_pick_allocates_nothing() {
    for policy in POLICIES {
        let set = set();
        let picker = configured(*policy).build(Arc::clone(&set));
        let rng = &mut fastrand::Rng::with_seed(1);
        let counted = allocation_counter::measure(|| {
            for turn in 0..2_000u64 {
                let now = Time::from_nanos(turn * 20_000_000);
                let key = turn.to_le_bytes();
                for (key, tried) in [(Some(&key[..]), &[][..]), (None, &[]), (Some(&key), &[3, 4])]
                {
                    let cx = &mut PickCx { key, tried, rng, now };
                    let load = set.members()[picker.pick(cx)].endpoint.load();
                    load.begin();
                    load.observe(Duration::from_millis(turn % 50), now, set.ewma());
                    if turn % 3 > 0 {
                        load.end();
                    }
                }
            }
        });
        assert_eq!(counted.count_total, 0, "{}", policy.name());
    }
}
