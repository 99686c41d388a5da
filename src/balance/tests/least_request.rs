//! `least_request` with backends of different weight and speed.

use std::sync::Arc;

use super::closed::{SHARES, assert_by_weight};
use super::simulation::{Backends, Service, Simulation, ok};
use super::{Factory, policy};
use crate::text::{ParamValue, Params};

fn with_choices(choices: u32) -> Arc<dyn Factory> {
    let choices = ("choices".into(), ParamValue::Text(choices.to_string()));
    policy("least_request").unwrap().configure(Params::new([choices])).unwrap()
}

fn least(weights: &[u32], backends: Backends, seed: u64) -> Simulation {
    Simulation::named("least_request", weights, backends, seed)
}

#[test]
fn shares_follow_weights_at_any_concurrency() {
    for weights in SHARES {
        for concurrency in [1, 2, 4, 16, 64, 256] {
            for micros in [|_, _| ok(300.0), |_, _| ok(5_000.0)] {
                let done = least(weights, micros, 1).closed(concurrency, 20_000);
                assert_by_weight(weights, &done, &format!("{concurrency} in flight"));
            }
        }
    }
}

/// Its share relative to its weight. If weights were divided by requests in flight, shares would
/// follow the square root of the latencies: a third at best.
#[test]
fn a_slow_backend_gets_little() {
    let backends: Backends = |index, _| ok(if index == 0 { 50_000.0 } else { 5_000.0 });
    let busy = |weights: &[u32], choices| {
        let simulation = Simulation::of(with_choices(choices), weights, Service::new(backends), 5);
        // Eight requests in flight for each member, were all fast.
        let rate = 1_600.0 * weights.len() as f64;
        let done = simulation.open(rate, 6.0).open(rate, 16.0);
        let total: u32 = weights.iter().sum();
        done.share(0) * f64::from(total) / f64::from(weights[0])
    };
    for (weights, most) in [(&[1, 1][..], 0.25), (&[1; 10], 0.25), (&[20, 80], 0.25)] {
        let of_due = busy(weights, 2);
        assert!(of_due < most, "{weights:?}: {of_due}");
    }
    // A heavy one is drawn first more often than its turn comes to lose.
    for (weights, most) in [(&[3, 2, 1][..], 0.35), (&[80, 20], 0.6)] {
        let of_due = busy(weights, 2);
        assert!(of_due < most, "{weights:?}: {of_due}");
    }
    assert!(busy(&[1; 10], 5) < busy(&[1; 10], 2), "more choices find the idle sooner");
}

#[test]
fn more_choices_keep_the_weights_too() {
    for weights in SHARES {
        for concurrency in [1, 16, 256] {
            let simulation =
                Simulation::of(with_choices(5), weights, Service::new(|_, _| ok(5_000.0)), 1);
            let done = simulation.closed(concurrency, 20_000);
            assert_by_weight(weights, &done, &format!("{concurrency} in flight"));
        }
    }
}

#[test]
fn settings_that_are_wrong_are_named_with_the_fix() {
    for (choices, says) in [
        ("1", "choices: `1` is out of range: write 2 to 16"),
        ("17", "choices: `17` is out of range: write 2 to 16"),
        ("two", "choices: `two` is not a whole number: write digits alone, such as 16"),
    ] {
        let choices = ("choices".into(), ParamValue::Text(choices.into()));
        let result = policy("least_request").unwrap().configure(Params::new([choices]));
        assert_eq!(result.unwrap_err().to_string(), says);
    }
}
