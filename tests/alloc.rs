//! What must not allocate: a pick, whatever the policy, and finding a route, whatever it asks for.
//! A binary of its own, as it replaces the global allocator by one that counts.

#![allow(clippy::unwrap_used)]

#[path = "../src/balance/tests/setup.rs"]
mod setup;

use std::sync::Arc;
use std::time::Duration;

use equipoise::balance::{Factory, POLICIES, PickCx, Policy};
use equipoise::model::{Endpoint, EndpointSet, EwmaParams, ExchangeClass, Member, Time};
use equipoise::route::{
    Conditions, FieldMatch, Forward, HostMatch, Match, PathMatch, Pattern, Route, RouteQuery,
    RouteTableBuilder, Share, SourceLocation, Split, ValueMatch,
};
use equipoise::text::{ParamValue, Params};
use setup::{factories, set};

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1u8; 64])));
    assert_eq!(counted.count_total, 1);
}

#[test]
fn a_pick_allocates_nothing() {
    assert_eq!(factories().len(), POLICIES.len() + 2, "two that know bounded load");
    for (name, factory) in factories() {
        let set = set(&(0..1000).map(|n| 1 + n % 7).collect::<Vec<_>>());
        let picker = factory.build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
        let rng = &mut fastrand::Rng::with_seed(1);
        let counted = allocation_counter::measure(|| {
            for turn in 0..2_000u64 {
                let now = Time::from_nanos(turn * 20_000_000);
                let key = turn.to_le_bytes();
                for (key, tried) in [(Some(&key[..]), &[][..]), (None, &[]), (Some(&key), &[3, 4])]
                {
                    let class = [ExchangeClass::Call, ExchangeClass::Stream][turn as usize % 2];
                    let cx = &mut PickCx { key, class, tried, rng, now };
                    let load = set.members()[picker.pick(cx)].endpoint.load();
                    load.begin(class, now);
                    load.observe(Duration::from_millis(turn % 50), now, set.ewma());
                    if turn % 3 > 0 {
                        load.end(class, now);
                    }
                }
            }
        });
        assert_eq!(counted.count_total, 0, "{name}");
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
            let split = Split::new(shares.map(share));
            let route = Route::Forward(Forward::to(split));
            let matched = Match { host: host(), path: path.clone(), conditions };
            table.insert(None, matched, route, SourceLocation::default()).unwrap();
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
