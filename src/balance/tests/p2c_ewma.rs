//! `p2c_ewma` with backends that are slow, fail, hang, are new or recover.

use std::time::Duration;

use super::cases::{CASES, simulated};
use super::closed::{SHARES, assert_by_weight};
use super::simulation::{Answer, Backends, Service, Simulation, ok};
use super::{configured, policy};
use crate::model::Time;

fn p2c(weights: &[u32], backends: Backends, seed: u64) -> Simulation {
    Simulation::named("p2c_ewma", weights, backends, seed)
}

#[test]
fn shares_follow_weights_at_any_concurrency() {
    for weights in SHARES {
        for concurrency in [1, 2, 4, 16, 64, 256] {
            for micros in [|_, _| ok(300.0), |_, _| ok(5_000.0)] {
                let done = p2c(weights, micros, 1).closed(concurrency, 20_000);
                assert_by_weight(weights, &done, &format!("{concurrency} in flight"));
            }
        }
    }
}

#[test]
fn neither_hiccups_nor_small_differences_overrule_the_weights() {
    let hiccup = |rng: &mut fastrand::Rng| {
        let scale = if rng.u32(0..500) == 0 { 60.0 } else { 1.0 };
        scale * (0.7 + 0.6 * rng.f64())
    };
    let heavy_tail = |rng: &mut fastrand::Rng| (2.0 * (rng.f64() + rng.f64() - 1.0)).exp();
    let a_little_slower: Backends = |index, _| ok(if index == 0 { 2_000.0 } else { 2_500.0 });
    let by_a_fraction_of_a_millisecond: Backends =
        |index, _| ok(if index == 0 { 200.0 } else { 400.0 });
    for concurrency in [1, 4, 16, 100] {
        let closed = |backends| p2c(&[80, 20], backends, 3).closed(concurrency, 20_000);
        for jitter in [hiccup, heavy_tail] {
            let service = Service { jitter, ..Service::new(|_, _| ok(300.0)) };
            let p2c = configured(policy("p2c_ewma").unwrap());
            let done = Simulation::of(p2c, &[80, 20], service, 3).closed(concurrency, 20_000);
            assert_by_weight(&[80, 20], &done, "jitter");
        }
        for backends in [a_little_slower, by_a_fraction_of_a_millisecond] {
            assert_by_weight(&[80, 20], &closed(backends), "slower");
        }
    }
}

#[test]
fn a_backend_ten_times_as_slow_is_fled() {
    let from_the_start: Backends = |index, _| ok(if index == 0 { 50_000.0 } else { 5_000.0 });
    let after_a_while: Backends = |index, seconds| {
        let slow = index == 0 && seconds > 5.0;
        ok(if slow { 50_000.0 } else { 5_000.0 })
    };
    for members in [3, 5, 10, 20] {
        for backends in [from_the_start, after_a_while] {
            let weights = vec![1; members];
            let rate = 100.0 * members as f64;
            let run = |name| {
                let simulation = Simulation::named(name, &weights, backends, 5);
                simulation.open(rate, 6.0).open(rate, 16.0)
            };
            let (p2c, round_robin) = (run("p2c_ewma"), run("round_robin"));
            let of_fair = p2c.share(0) * members as f64;
            assert!(of_fair < 0.1, "{members}: {of_fair}");
            let p99 = p2c.summary().p99 / round_robin.summary().p99;
            assert!(p99 < 0.2, "{members}: {p99}");
        }
    }
}

#[test]
fn among_twenty_with_queues_one_ten_times_as_slow_is_fled_and_one_failing_fast() {
    let under = |policy_name, case_name| {
        let factory = configured(policy(policy_name).unwrap());
        let case = CASES.iter().find(|case| case.name == case_name).unwrap();
        simulated(case, &*factory, 5.0)
    };
    let [p2c, round_robin] =
        ["p2c_ewma", "round_robin"].map(|name| under(name, "one ten times as slow").summary());
    assert!(p2c.p99 <= 0.2 * round_robin.p99, "{} and {}", p2c.p99, round_robin.p99);
    let failing = under("p2c_ewma", "one failing fast");
    assert!(failing.summary().failures < 0.005, "a tenth of its share");
}

#[test]
fn a_backend_that_fails_fast_is_fled_and_comes_back_when_it_recovers() {
    let backends: Backends = |index, seconds| {
        let failed = index == 0 && seconds < 60.0;
        let micros = if failed { 100.0 } else { 10_000.0 };
        Answer { micros, failed }
    };
    for members in [2, 3, 10] {
        for rate in [50.0, 500.0] {
            let p2c = p2c(&vec![1; members], backends, 7).open(rate, 1.0);
            let p2c = p2c.open(rate, 2.0);
            assert!(p2c.share(0) < 0.1, "in the second second: {}", p2c.share(0));
            let p2c = p2c.open(rate, 60.0);
            assert!(p2c.share(0) < 0.05, "for long: {}", p2c.share(0));
            let p2c = p2c.open(rate, 120.0).open(rate, 180.0);
            let of_fair = p2c.share(0) * members as f64;
            assert!((0.85..1.15).contains(&of_fair), "recovered: {of_fair}");
        }
    }
}

/// Within five seconds, half the decay.
#[test]
fn a_backend_that_was_slow_is_soon_as_good_as_before() {
    let backends: Backends = |index, seconds| {
        let slow = index == 0 && (10.0..20.0).contains(&seconds);
        ok(if slow { 80_000.0 } else { [5_000.0, 10_000.0, 40_000.0][index] })
    };
    for rate in [300.0, 3000.0] {
        let before = p2c(&[1; 3], backends, 7).open(rate, 5.0).open(rate, 10.0);
        let was = before.share(0);
        let while_slow = before.open(rate, 12.0).open(rate, 20.0);
        assert!(while_slow.share(0) < 0.15, "{rate}: {}", while_slow.share(0));
        let again = while_slow.open(rate, 25.0).open(rate, 30.0);
        assert!((again.share(0) / was - 1.0).abs() < 0.1, "{rate}: {was} {}", again.share(0));
    }
}

#[test]
fn a_backend_that_hangs_gets_no_more_than_a_few() {
    let backends: Backends = |index, seconds| {
        let hangs = index == 0 && seconds > 1.0;
        ok(if hangs { 1e9 } else { 5_000.0 })
    };
    let p2c = p2c(&[1, 1, 1], backends, 9).open(300.0, 1.0);
    let p2c = p2c.open(300.0, 11.0);
    assert!(p2c.picks[0] < 30, "{:?}", p2c.picks);
}

#[test]
fn on_rare_requests_weights_hold_and_a_failing_backend_is_fled() {
    let well: Backends = |_, _| ok(5_000.0);
    let p2c_well = p2c(&[80, 20], well, 11).open(0.2, 100_000.0);
    assert_by_weight(&[80, 20], &p2c_well, "rare");
    let failing: Backends = |index, _| Answer { micros: 5_000.0, failed: index == 1 };
    let p2c = p2c(&[80, 20], failing, 11).open(0.2, 100.0).open(0.2, 10_000.0);
    assert!(p2c.share(1) < 0.2 * 0.5, "{}", p2c.share(1));
}

#[test]
fn a_light_member_that_lost_is_not_tried_more_often_than_its_share() {
    let backends: Backends = |index, _| ok(if index == 1 { 100_000.0 } else { 1_000.0 });
    let p2c = p2c(&[999, 1], backends, 13).open(200.0, 100.0);
    assert!(p2c.share(1) < 0.001, "{}", p2c.share(1));
}

#[test]
fn a_newcomer_is_judged_by_its_first_answer() {
    let p2c = p2c(&[80, 20], |_, _| ok(500.0), 15);
    for _ in 0..1_000 {
        let load = p2c.set.members()[0].endpoint.load();
        load.observe(Duration::from_micros(500), Time::ZERO, p2c.set.ewma());
    }
    assert_by_weight(&[80, 20], &p2c.closed(4, 20_000), "newcomer");
}
