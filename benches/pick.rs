//! What a pick costs, and the building of a picker: each policy, on sets of three sizes, with
//! requests in flight and samples.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../src/balance/tests/setup.rs"]
mod setup;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use equipoise::balance::{Factory, POLICIES, PickCx, Policy};
use equipoise::model::{Endpoint, EndpointSet, EwmaParams, ExchangeClass, Member, Time};
use equipoise::text::{ParamValue, Params};
use setup::{configured, factories, set};

/// Members of different weight and latency, some with requests in flight.
fn busy(len: u32) -> Arc<EndpointSet> {
    let weights: Vec<_> = (0..len).map(|n| 1 + n % 3).collect();
    let set = set(&weights);
    for (n, member) in (0..).zip(set.members()) {
        let load = member.endpoint.load();
        let latency = Duration::from_micros(500 + 100 * (n % 5));
        load.observe(latency, Time::ZERO, set.ewma());
        (0..n % 4).for_each(|_| load.begin(ExchangeClass::Call, Time::ZERO));
    }
    set
}

/// How many endpoints there are, and how long keys are: a number, or a user's id.
const SHAPES: [(u32, usize); 4] = [(3, 8), (100, 8), (1000, 8), (1000, 36)];

fn pick(criterion: &mut Criterion) {
    for (name, factory) in factories() {
        let mut group = criterion.benchmark_group(name);
        let needs_keys = factory.key().is_some();
        for (len, key_len) in SHAPES.into_iter().filter(|(_, len)| *len == 8 || needs_keys) {
            let mut rng = fastrand::Rng::with_seed(1);
            let picker = factory.build(busy(len), &mut rng);
            let mut nanos = 5_000_000;
            let mut key = vec![b'7'; key_len];
            let id = if key_len == 8 { len.to_string() } else { format!("{len}, long keys") };
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    key[..8].copy_from_slice(&rng.u64(..).to_le_bytes());
                    nanos += 1_000; // as at a million requests a second
                    picker.pick(black_box(&mut PickCx {
                        key: Some(&key),
                        class: ExchangeClass::Call,
                        tried: &[],
                        rng: &mut rng,
                        now: Time::from_nanos(nanos),
                    }))
                });
            });
        }
        group.finish();
    }
}

fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    for policy in POLICIES {
        let (factory, set) = (configured(*policy), busy(1000));
        let mut rng = fastrand::Rng::with_seed(1);
        group.bench_function(policy.name(), |bencher| {
            bencher.iter(|| black_box(factory.build(Arc::clone(&set), &mut rng)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = pick, build
}
criterion_main!(benches);
