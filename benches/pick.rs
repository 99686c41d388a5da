//! What a pick costs, and the building of a picker: each policy, on sets of three sizes, with
//! requests in flight and samples.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use equipoise::balance::{Factory, POLICIES, PickCx, Policy};
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

/// Every policy, and those with bounded load once more.
fn factories() -> Vec<(String, Arc<dyn Factory>)> {
    let plain = POLICIES.iter().map(|policy| (policy.name().to_owned(), configured(*policy)));
    let bounded = POLICIES
        .iter()
        .filter_map(|policy| Some((format!("{}, bounded", policy.name()), bounded(*policy)?)));
    plain.chain(bounded).collect()
}

/// Members of different weight and latency, some with requests in flight.
fn set(len: u32) -> Arc<EndpointSet> {
    let ewma = EwmaParams::default();
    let member = |n: u32| {
        let address = format!("10.0.{}.{}:50051", n / 256, n % 256);
        let endpoint = Endpoint::new(&address, 2, Time::ZERO);
        let latency = Duration::from_micros(u64::from(500 + 100 * (n % 5)));
        endpoint.load().observe(latency, Time::ZERO, &ewma);
        (0..n % 4).for_each(|_| endpoint.load().begin());
        Member { endpoint: Arc::new(endpoint), weight: 1 + n % 3 }
    };
    let members: Vec<_> = (0..len).map(member).collect();
    Arc::new(EndpointSet::new(members, ewma))
}

fn pick(criterion: &mut Criterion) {
    for (name, factory) in factories() {
        let mut group = criterion.benchmark_group(name);
        for len in [3, 100, 1000] {
            let picker = factory.build(set(len));
            let mut rng = fastrand::Rng::with_seed(1);
            let mut nanos = 5_000_000;
            group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
                bencher.iter(|| {
                    let key = rng.u64(..).to_le_bytes();
                    nanos += 1_000; // as at a million requests a second
                    picker.pick(black_box(&mut PickCx {
                        key: Some(&key),
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
        let (factory, set) = (configured(*policy), set(1000));
        group.bench_function(policy.name(), |bencher| {
            bencher.iter(|| black_box(factory.build(Arc::clone(&set))));
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
