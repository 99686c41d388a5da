//! Slow start, of a newcomer and of backends that are back.

use std::collections::HashMap;
use std::time::Duration;

use equipoise::balance::POLICIES;
use equipoise::service::{BackendState, Change, EndpointSpec};
use tokio::time::{Instant, sleep};

use super::load::Load;
use super::stage::{Stage, address};

/// The window of all.
const WINDOW: u64 = 10;

impl Load {
    /// Has an operator add the backend of this number.
    async fn add(&self, number: u8) {
        let (ip, port) = address(number);
        let address = std::net::SocketAddr::from((ip, port)).to_string();
        let added = Change::Add(vec![EndpointSpec { address, weight: 1 }]);
        let service = self.gateway.registry.get("shop").expect("it is there");
        service.change(added, Default::default(), "operator".into()).await.unwrap();
    }

    /// The part of its share that a backend is said to get, if it starts slowly.
    fn ramp(&self, backend: usize) -> Option<f64> {
        let now = self.gateway.registry.get("shop").expect("it is there").view().now();
        self.view(backend).standing(now).ramp
    }

    /// Adds the fifth backend. Its share of each second, of a fifth.
    async fn parts(&self) -> Vec<f64> {
        self.add(4).await;
        let mut parts = Vec::new();
        for _ in 0..WINDOW + 2 {
            parts.push(self.share(4).await * 5.0);
        }
        parts
    }
}

/// The settings of a policy, by a key where it wants one.
fn settings(policy: &str) -> String {
    let keyed = policy == "maglev" || policy == "consistent_hash";
    let key = if keyed { ", key: { header: x-key }" } else { "" };
    format!("slow_start: {WINDOW}s, balancer: {{ policy: {policy}{key} }}")
}

/// What the fifth of five should have of its share in a second of its start.
fn due(second: usize) -> f64 {
    ((second as f64 + 0.5) / WINDOW as f64).clamp(0.1, 1.0)
}

async fn newcomer(stage: Stage, policy: &str, interval: Duration, latency: Duration) -> Vec<f64> {
    let load = Load::of(stage, [4, 1], interval, &settings(policy)).await;
    load.backends.iter().for_each(|backend| backend.latency.set(latency));
    sleep(Duration::from_secs(5)).await;
    let parts = load.parts().await;
    assert_eq!(load.ramp(4), None, "it is over");
    assert!(load.failed.borrow().is_empty());
    parts
}

pub async fn a_newcomer_in_five_gets_its_share_evenly_under_each_policy(stage: Stage) {
    let resolver = stage.into_resolver();
    for policy in POLICIES.iter().map(|policy| policy.name()) {
        let stage = Stage::new(resolver.clone());
        let every = Duration::from_millis(2);
        let parts = newcomer(stage, policy, every, Duration::from_millis(10)).await;
        // A ring's shares are not exact.
        let own = parts[WINDOW as usize..].iter().sum::<f64>() / 2.0;
        println!("{policy}: {parts:.2?}");
        assert!((0.7..1.3).contains(&own), "{policy}: {parts:?}");
        for (second, part) in parts.iter().enumerate() {
            let due = due(second) * own;
            assert!((part - due).abs() < 0.2, "{policy}: {part} for {due}, {parts:?}");
        }
    }
}

pub async fn with_much_in_flight_it_is_no_faster(stage: Stage) {
    let resolver = stage.into_resolver();
    for policy in ["least_request", "p2c_ewma"] {
        let stage = Stage::new(resolver.clone());
        let every = Duration::from_millis(2);
        let parts = newcomer(stage, policy, every, Duration::from_millis(200)).await;
        println!("{policy}: {parts:.2?}");
        for (second, part) in parts.iter().enumerate().take(WINDOW as usize) {
            let due = due(second);
            assert!((part - due).abs() < 0.15, "{policy}: {part} for {due}, {parts:?}");
        }
    }
}

pub async fn only_keys_of_the_newcomer_move(stage: Stage) {
    let resolver = stage.into_resolver();
    for policy in ["consistent_hash", "maglev"] {
        let stage = Stage::new(resolver.clone());
        let load = Load::of(stage, [4, 1], Duration::from_millis(1), &settings(policy)).await;
        sleep(Duration::from_secs(2)).await;
        // Where each key is, in a second.
        let homes = || async {
            load.backends.iter().for_each(|backend| backend.had.borrow_mut().clear());
            sleep(Duration::from_millis(1100)).await;
            let had = load.backends.iter().enumerate().flat_map(|(at, backend)| {
                let numbers = backend.had.take();
                numbers.into_iter().map(move |number| (number % 1000, at))
            });
            had.collect::<HashMap<u64, usize>>()
        };
        let before = homes().await;
        load.add(4).await;
        let mut course = vec![before];
        for _ in 0..WINDOW + 1 {
            course.push(homes().await);
        }
        let last = course.last().unwrap().clone();
        let mut moved = [0, 0];
        for (key, home) in &last {
            let stays: Vec<usize> = course.iter().map(|homes| homes[key]).collect();
            let mut places = stays.clone();
            places.dedup();
            moved[usize::from(*home == 4)] += usize::from(places.len() > 1);
            let arrived = stays.iter().position(|at| at == home).unwrap();
            assert!(
                stays[arrived..].iter().all(|at| at == home),
                "{policy}: {key} is at {stays:?}"
            );
            assert!(places.len() <= 3, "{policy}: {key} is at {stays:?}");
        }
        // A table of maglev moves a few others when a member comes.
        let most = if policy == "maglev" { 60 } else { 0 };
        assert!(moved[0] <= most && moved[1] > 100, "{policy}: {moved:?}");
    }
}

pub async fn who_is_back_from_an_ejection_starts_after_its_trial(stage: Stage) {
    let settings = "slow_start: 10s, balancer: round_robin";
    let load = Load::begin(stage, settings).await;
    sleep(Duration::from_secs(1)).await;
    load.backends[0].failing.set(1);
    let ejected = || load.view(0).condition.ejected;
    super::eventually("it is ejected", || ejected().is_some()).await;
    load.backends[0].failing.set(0);
    super::eventually("it is on trial", || ejected().is_some_and(|it| it.on_trial)).await;
    assert_eq!(load.ramp(0), None, "on trial it does not start");
    super::eventually("it is back", || ejected().is_none()).await;
    assert_eq!(load.ramp(0), Some(0.1));
    let view = load.view(0);
    let now = load.gateway.registry.get("shop").expect("it is there").view().now();
    let standing = view.standing(now);
    assert_eq!((standing.state, standing.weight), (BackendState::Ready, 1));
    assert_eq!(standing.reason.name(), "starting: 10 % of its share");
    assert!(load.share(0).await < 0.06);
    sleep(Duration::from_secs(4)).await;
    let half = load.share(0).await;
    assert!((0.13..0.24).contains(&half), "{half}");
    sleep(Duration::from_secs(6)).await;
    assert!((load.share(0).await - 1.0 / 3.0).abs() < 0.02);
}

pub async fn who_was_away_for_long_starts_and_for_a_moment_does_not(stage: Stage) {
    let load = Load::begin(stage, "slow_start: 10s, balancer: round_robin").await;
    for (seconds, starts) in [(5, false), (12, true)] {
        sleep(Duration::from_secs(2)).await;
        assert_eq!(load.ramp(0), None);
        load.stage.crash();
        sleep(Duration::from_secs(seconds)).await;
        load.backends[0].listen(&load.stage, 0);
        super::eventually("it is back", || load.view(0).condition.is_available()).await;
        assert_eq!(load.ramp(0).is_some(), starts, "{seconds}");
        sleep(Duration::from_secs(12)).await;
        assert_eq!(load.ramp(0), None, "it is over");
    }
}

pub async fn where_all_come_back_all_have_their_share(stage: Stage) {
    let load =
        Load::begin(stage, "slow_start: 10s, balancer: round_robin, pending_timeout: 1s").await;
    sleep(Duration::from_secs(1)).await;
    (0..3).for_each(|number| load.stage.crash_of(number));
    sleep(Duration::from_secs(15)).await;
    for number in 0..3 {
        load.backends[usize::from(number)].listen(&load.stage, number);
    }
    let back = || (0..3).all(|number| load.view(number).condition.is_available());
    super::eventually("all are back", back).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        let counts = load.counts().await;
        let all: usize = counts.iter().sum();
        assert!(
            counts.iter().all(|count| count * 4 > all),
            "{counts:?} after {:?}",
            begun.elapsed()
        );
    }
}
