//! Open streams do not affect calls except by their messages; new ones go to the backend with the
//! fewest; and a backend in trouble soon gets its share again, whatever streams are open.

use std::sync::Arc;
use std::time::Duration;

use super::super::{Factory, PickCx, Picker, policy};
use super::simulation::{Answer, Backends, Service, Simulation, Streams, ok};
use super::{bounded, configured, set};
use crate::model::{EndpointSet, ExchangeClass, Time};

fn at(seconds: f64) -> Time {
    Time::from_nanos((seconds * 1e9) as u64)
}

/// The policies that balance by what is open.
fn by_load() -> Vec<(&'static str, Arc<dyn Factory>)> {
    vec![
        ("p2c_ewma", configured(policy("p2c_ewma").unwrap())),
        ("least_request", configured(policy("least_request").unwrap())),
        ("bounded", bounded(policy("maglev").unwrap(), "1.25").unwrap()),
    ]
}

/// Opens a stream where the picker wants it.
fn open(picker: &dyn Picker, set: &EndpointSet, key: u64, now: Time) -> usize {
    let cx = &mut PickCx {
        key: Some(&key.to_le_bytes()),
        class: ExchangeClass::Stream,
        tried: &[],
        rng: &mut fastrand::Rng::with_seed(key),
        now,
    };
    let picked = picker.pick(cx);
    set.members()[picked].endpoint.load().begin(ExchangeClass::Stream, now);
    picked
}

fn opened(set: &EndpointSet) -> Vec<u32> {
    set.members().iter().map(|member| member.endpoint.load().streams().count()).collect()
}

#[test]
fn idle_streams_take_no_calls_away() {
    for streams in [|index| u32::from(index == 0), |index| 1_000 * index as u32] {
        for (name, factory) in by_load() {
            let simulation = Simulation::of(factory, &[1; 4], Service::new(|_, _| ok(5e3)), 3);
            for (index, member) in simulation.set.members().iter().enumerate() {
                let load = member.endpoint.load();
                (0..streams(index)).for_each(|_| load.begin(ExchangeClass::Stream, Time::ZERO));
            }
            let done = simulation.open(200.0, 120.0);
            for index in 0..4 {
                let share = done.share(index);
                assert!((share - 0.25).abs() < 0.02, "{name}: {index} has {share}");
            }
        }
    }
}

#[test]
fn new_streams_are_even_though_calls_are_not() {
    for (name, factory) in by_load() {
        let set = set(&[1; 4]);
        let picker = factory.build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
        for (index, member) in set.members().iter().enumerate() {
            let load = member.endpoint.load();
            (0..50 * index).for_each(|_| load.begin(ExchangeClass::Call, Time::ZERO));
            load.observe(Duration::from_millis(1 + 40 * index as u64), at(1.0), set.ewma());
        }
        for key in 0..40 {
            open(&*picker, &set, key, at(1.0));
        }
        let most = if name == "bounded" { 13 } else { 10 }; // a quarter above the share
        assert!(opened(&set).iter().all(|count| *count <= most), "{name}: {:?}", opened(&set));
    }
}

#[test]
fn streams_follow_weights_among_few_and_many() {
    for weights in [vec![3, 1], vec![5, 3, 2], vec![2; 100]] {
        for name in ["p2c_ewma", "least_request"] {
            let set = set(&weights);
            let picker = configured(policy(name).unwrap())
                .build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
            let total: u32 = weights.iter().sum();
            for key in 0..u64::from(total) * 10 {
                open(&*picker, &set, key, at(1.0));
            }
            for (count, weight) in opened(&set).into_iter().zip(&weights) {
                let off = count.abs_diff(weight * 10);
                assert!(off <= 2, "{name}: {:?}", opened(&set));
            }
        }
    }
}

#[test]
fn a_stream_keeps_clear_of_a_backend_in_trouble_but_tries_it_now_and_then() {
    let set = set(&[1; 4]);
    let picker = configured(policy("p2c_ewma").unwrap())
        .build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
    for (index, member) in set.members().iter().enumerate() {
        let load = member.endpoint.load();
        for ms in 0..20 {
            let now = Time::from_nanos(ms * 1_000_000);
            match index {
                0 => load.observe_failure(Duration::ZERO, now, set.ewma()),
                _ => load.observe(Duration::from_millis(5), now, set.ewma()),
            }
        }
        load.mark_picked(at(0.02));
    }
    for key in 0..30 {
        open(&*picker, &set, key, at(0.5));
    }
    assert_eq!(opened(&set), [0, 10, 10, 10]);
    for key in 0..3 {
        open(&*picker, &set, key, at(2.0));
    }
    assert_eq!(opened(&set)[0], 1, "one trial: {:?}", opened(&set));
}

#[test]
fn a_newcomer_gets_one_stream_until_it_has_answered() {
    let set = set(&[1; 3]);
    let picker = configured(policy("p2c_ewma").unwrap())
        .build(Arc::clone(&set), &mut fastrand::Rng::with_seed(1));
    for member in &set.members()[1..] {
        let load = member.endpoint.load();
        load.observe(Duration::from_millis(5), at(1.0), set.ewma());
        (0..20).for_each(|_| load.begin(ExchangeClass::Stream, at(1.0)));
    }
    for key in 0..10 {
        open(&*picker, &set, key, at(1.0));
    }
    assert_eq!(opened(&set)[0], 1, "{:?}", opened(&set));
    set.members()[0].endpoint.load().observe(Duration::from_millis(5), at(1.5), set.ewma());
    for key in 0..10 {
        open(&*picker, &set, key, at(1.5));
    }
    assert_eq!(opened(&set)[0], 11, "then all until it has as many");
}

#[test]
fn what_is_said_on_streams_is_work() {
    fn talking(index: usize) -> Streams {
        Streams { open: 10, messages: if index == 0 { 300.0 } else { 0.0 } }
    }
    for (name, factory) in by_load().into_iter().take(2) {
        let service = Service { servers: 4, streams: talking, ..Service::new(|_, _| ok(10_000.0)) };
        // The others have 1.5 in flight for 150 calls a second, the first 3 for its messages.
        let done = Simulation::of(factory, &[1; 4], service, 5).open(600.0, 60.0);
        let share = done.share(0);
        assert!((0.02..0.15).contains(&share), "{name}: {share}");
    }
}

/// The fault of the first of four backends from second 10 on, for this many seconds.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Fails,
    Hangs,
    IsSlow,
}

fn recovers(trouble: Trouble, seconds: u32, rate: f64, streams: fn(usize) -> Streams) {
    fn backend(trouble: Trouble, seconds: f64, index: usize, now: f64) -> Answer {
        let over = 10.0 + seconds;
        match trouble {
            _ if index > 0 || !(10.0..over).contains(&now) => ok(5e3),
            Trouble::Fails => Answer { micros: 200.0, failed: true },
            Trouble::Hangs => ok((over - now) * 1e6 + 5e3),
            Trouble::IsSlow => ok(200e3),
        }
    }
    let backends: Backends = match (trouble, seconds) {
        (Trouble::Fails, 2) => |index, now| backend(Trouble::Fails, 2.0, index, now),
        (Trouble::Fails, _) => |index, now| backend(Trouble::Fails, 30.0, index, now),
        (Trouble::Hangs, 2) => |index, now| backend(Trouble::Hangs, 2.0, index, now),
        (Trouble::Hangs, _) => |index, now| backend(Trouble::Hangs, 30.0, index, now),
        (Trouble::IsSlow, 2) => |index, now| backend(Trouble::IsSlow, 2.0, index, now),
        (Trouble::IsSlow, _) => |index, now| backend(Trouble::IsSlow, 30.0, index, now),
    };
    let service = Service { streams, jitter: |_| 1.0, ..Service::new(backends) };
    for seed in 1..=5 {
        let p2c = configured(policy("p2c_ewma").unwrap());
        let simulation = Simulation::of(p2c, &[1; 4], service, seed).open(rate, 10.0);
        let over = 10.0 + f64::from(seconds);
        let during = simulation.open(rate, over);
        let avoided = during.share(0);
        let after = during.open(rate, over + 3.0).open(rate, over + 23.0);
        let share = after.share(0);
        let case = format!("{trouble:?} for {seconds} s at {rate}/s, seed {seed}");
        assert!(share > 0.2, "{case}: {share}");
        assert!(avoided < 0.15, "{case}: {avoided} during the trouble");
    }
}

/// Whatever it was, and with streams open there and elsewhere.
#[test]
fn three_seconds_after_a_hiccup_a_backend_has_its_share_again() {
    for trouble in [Trouble::Fails, Trouble::Hangs, Trouble::IsSlow] {
        for seconds in [2, 30] {
            for rate in [100.0, 200.0, 2_000.0] {
                recovers(trouble, seconds, rate, |_| Streams::default());
                recovers(trouble, seconds, rate, |index| Streams {
                    open: 40 * index as u32 + 10,
                    messages: 0.0,
                });
            }
        }
    }
}

#[test]
fn after_an_idle_pause_a_slow_first_answer_does_not_cost_the_share() {
    let cold: Backends =
        |index, now| ok(if index == 0 && (60.0..60.2).contains(&now) { 400e3 } else { 2e3 });
    for seed in 1..=5 {
        let p2c = configured(policy("p2c_ewma").unwrap());
        let warm = Simulation::of(p2c, &[1; 4], Service::new(cold), seed).open(200.0, 5.0);
        let paused = warm.open(1e-6, 60.0);
        let after = paused.open(200.0, 63.0);
        assert!(after.share(0) > 0.12, "of 600, seed {seed}: {:?}", after.picks);
    }
}
