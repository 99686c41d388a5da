//! What must not allocate: a pick, whatever the policy, and finding a route, whatever it asks for.
//! A binary of its own, as it replaces the global allocator by one that counts.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use equipoise::balance::{Factory, POLICIES, PickCx, Policy};
use equipoise::model::route::{
    Conditions, FieldMatch, Forward, HostMatch, Match, PathMatch, Pattern, Place, Route,
    RouteQuery, RouteTableBuilder, Share, Split, ValueMatch,
};
use equipoise::model::{Endpoint, EndpointSet, EwmaParams, Member, ParamValue, Params, Time};

fn configured(policy: &dyn Policy) -> Arc<dyn Factory> {
    let header = vec![("header".into(), "x-key".into())];
    let keyed = [("key".into(), ParamValue::Map(header))];
    policy.configure(Params::default()).or_else(|_| policy.configure(Params::new(keyed))).unwrap()
}

/// The policy with bounded load, if it knows that.
fn bounded(policy: &dyn Policy) -> Option<Arc<dyn Factory>> {
    let header = ParamValue::Map(vec![("header".into(), "x-key".into())]);
    let entries = [("key", header), ("bounded_load", ParamValue::Text("1.25".into()))];
    policy.configure(Params::new(entries.map(|(key, value)| (key.into(), value)))).ok()
}

fn set() -> Arc<EndpointSet> {
    let ewma = EwmaParams::default();
    let member = |n: u32| Member {
        endpoint: Arc::new(Endpoint::new(&format!("10.0.0.{n}:1"), 1, Time::ZERO)),
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
    let plain = POLICIES.iter().map(|policy| configured(*policy));
    let bounded: Vec<_> = POLICIES.iter().filter_map(|policy| bounded(*policy)).collect();
    assert_eq!(bounded.len(), 2);
    for factory in plain.chain(bounded) {
        let set = set();
        let picker = factory.build(Arc::clone(&set));
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
        assert_eq!(counted.count_total, 0, "{factory:?}");
    }
}

#[test]
fn finding_a_route_allocates_nothing() {
    let mut table = RouteTableBuilder::default();
    let field = |name: &str, value| FieldMatch { name: name.into(), value };
    let regex = || Pattern::new("[a-z]+,[a-z ]+").unwrap();
    let host = || HostMatch::parse("*.shop.example").unwrap();
    for (number, path) in [
        PathMatch::Regex(Pattern::new("/x.*").unwrap()),
        PathMatch::prefix("/api").unwrap(),
        PathMatch::exact("/api/v1").unwrap(),
        PathMatch::grpc("shop.Orders").unwrap(),
        PathMatch::Any,
    ]
    .into_iter()
    .enumerate()
    {
        let conditions = Conditions {
            method: Some("POST".into()),
            headers: [field("x-a", ValueMatch::Regex(regex()))].into(),
            query: [field("q", ValueMatch::Regex(regex()))].into(),
        };
        for (weight, conditions) in [(1, conditions), (0, Conditions::default())] {
            let shares = [(number, 2), (9, weight)];
            let share = |(service, weight)| Share::new(service, "s", weight);
            let split = Split::new(shares.map(share)).unwrap();
            let route = Route::Forward(Forward::to(split));
            let matched = Match { host: host(), path: path.clone(), conditions };
            table.insert(matched, route, Place::default()).unwrap();
        }
    }
    let table = table.finish();
    let fields = vec![("x-a", "alpha"), ("x-b", "c"), ("x-a", "beta")];
    let rng = &mut fastrand::Rng::with_seed(1);
    let mut found = 0;
    let counted = allocation_counter::measure(|| {
        for path in ["/xy", "/api/v1/z?a=b&q=a%2cb+c", "/api/v1?q=1", "/shop.Orders/Get", "/none"] {
            for method in [&b"GET"[..], b"POST"] {
                let (authority, path) = (&b"WWW.shop.example:80"[..], path.as_bytes());
                let query = RouteQuery { authority, path, method, grpc: true, fields: &fields };
                let Some(Route::Forward(forward)) = table.find(&query) else { continue };
                found += usize::from(forward.split.choose(Some(b"key"), rng).is_some());
                found += usize::from(forward.split.choose(None, rng).is_some());
            }
        }
    });
    assert_eq!(found, 20);
    assert_eq!(counted.count_total, 0);
}
