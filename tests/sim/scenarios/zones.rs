//! Preference of a zone: the gateway's has every third backend.

use std::collections::HashSet;
use std::time::Duration;

use equipoise::balance::POLICIES;
use tokio::time::sleep;

use super::load::Load;
use super::stage::Stage;

/// Backends, of which a third is near.
const BACKENDS: u8 = 9;

fn is_near(number: usize) -> bool {
    number.is_multiple_of(3)
}

/// Asked 200 times a second. A backend takes 25 ms for each.
async fn begin(stage: Stage, policy: &str) -> Load {
    let keyed = policy == "maglev" || policy == "consistent_hash";
    let key = if keyed { ", key: { header: x-key }" } else { "" };
    let settings = format!("prefer_zone: true, balancer: {{ policy: {policy}{key} }}");
    let load = Load::of(stage, [BACKENDS, 0], Duration::from_millis(5), &settings).await;
    load.backends.iter().for_each(|backend| backend.latency.set(Duration::from_millis(25)));
    load
}

impl Load {
    /// The part of the requests of the next seconds that stays near.
    async fn near(&self, seconds: usize) -> f64 {
        let (mut near, mut all) = (0, 0);
        for _ in 0..seconds {
            let counts = self.counts().await;
            all += counts.iter().sum::<usize>();
            near += counts.iter().step_by(3).sum::<usize>();
        }
        near as f64 / all as f64
    }

    /// Has the near backends, or the others, do so many requests at a time.
    fn has_slots(&self, near: bool, slots: usize) {
        let backends =
            self.backends.iter().enumerate().filter(|(number, _)| is_near(*number) == near);
        backends.for_each(|(_, backend)| backend.has_slots(slots));
    }

    /// Requests that wait at near backends, or are done there.
    fn open_near(&self) -> usize {
        self.backends.iter().step_by(3).map(|backend| backend.open()).sum()
    }
}

pub async fn in_calm_nothing_leaves_under_any_policy(stage: Stage) {
    let resolver = stage.into_resolver();
    for policy in POLICIES.iter().map(|policy| policy.name()) {
        let load = begin(Stage::new(resolver.clone()), policy).await;
        sleep(Duration::from_secs(1)).await;
        let counts = load.counts().await;
        println!("{policy}: {counts:?}");
        let far = counts.iter().enumerate().filter(|(number, _)| !is_near(*number));
        assert_eq!(far.map(|(_, count)| count).sum::<usize>(), 0, "{policy}: {counts:?}");
        assert!(counts.iter().step_by(3).all(|count| *count > 30), "{policy}: {counts:?}");
        assert_eq!(load.near(3).await, 1.0, "{policy}");
        assert!(load.failed.borrow().is_empty());
    }
}

pub async fn what_near_ones_cannot_do_leaves_and_the_rest_stays(stage: Stage) {
    let resolver = stage.into_resolver();
    for policy in ["p2c_ewma", "round_robin", "consistent_hash"] {
        let load = begin(Stage::new(resolver.clone()), policy).await;
        sleep(Duration::from_secs(3)).await;
        // 150 of the 200 that come in a second.
        load.has_slots(true, 2);
        load.backends.iter().for_each(|it| it.latency.set(Duration::from_millis(40)));
        let first = load.near(5).await;
        sleep(Duration::from_secs(12)).await;
        let held = load.near(15).await;
        let waiting = load.open_near();
        // And then again as many as are wanted.
        load.has_slots(true, 100);
        sleep(Duration::from_secs(20)).await;
        let back = load.near(4).await;
        println!("{policy}: {first:.2}, {held:.2} with {waiting} waiting, {back:.2}");
        assert!(first < 0.9, "{policy}: it leaves soon: {first}");
        // By hash some have more than others, and leave sooner.
        assert!((0.35..0.8).contains(&held), "{policy}: not all of it leaves: {held}");
        assert!(waiting < 40, "{policy}: {waiting}");
        assert!(back > 0.99, "{policy}: it comes home: {back}");
        assert!(load.failed.borrow().is_empty());
    }
}

pub async fn where_all_are_slow_nothing_is_won_by_leaving(stage: Stage) {
    let load = begin(stage, "p2c_ewma").await;
    sleep(Duration::from_secs(3)).await;
    load.backends.iter().for_each(|backend| backend.latency.set(Duration::from_millis(150)));
    let (first, then) = (load.near(8).await, load.near(8).await);
    println!("{first:.2} {then:.2}");
    assert!(first > 0.7 && then > 0.95, "{first} {then}");
}

pub async fn who_is_lost_is_made_up_for_at_once(stage: Stage) {
    let load = begin(stage, "round_robin").await;
    sleep(Duration::from_secs(2)).await;
    load.stage.crash_of(0);
    sleep(Duration::from_secs(1)).await;
    let two_of_three = load.near(5).await;
    assert!((two_of_three - 1.4 * 2.0 / 3.0).abs() < 0.04, "{two_of_three}");
    load.stage.crash_of(3);
    load.stage.crash_of(6);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(load.near(5).await, 0.0);
    for number in [0, 3, 6] {
        load.backends[usize::from(number)].listen(&load.stage, number);
    }
    sleep(Duration::from_secs(10)).await;
    assert_eq!(load.near(5).await, 1.0);
}

pub async fn the_same_keys_leave_and_come_home(stage: Stage) {
    let load = begin(stage, "consistent_hash").await;
    let homes = async || {
        load.backends.iter().for_each(|backend| backend.had.borrow_mut().clear());
        sleep(Duration::from_secs(7)).await;
        let keys = load.backends.iter().enumerate().flat_map(|(number, backend)| {
            let had: Vec<u64> = backend.had.borrow().clone();
            had.into_iter().map(move |request| (request % 1000, number))
        });
        keys.collect::<HashSet<_>>()
    };
    sleep(Duration::from_secs(2)).await;
    let calm = homes().await;
    load.stage.crash_of(0); // 93 % of the keys stay near
    sleep(Duration::from_secs(2)).await;
    let (one, again) = (homes().await, homes().await);
    assert_eq!(one, again, "a key is at one place");
    let left = one.iter().filter(|(_, at)| !is_near(*at)).count();
    assert!((30..130).contains(&left), "{left} of 1000");
    load.backends[0].listen(&load.stage, 0);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(homes().await, calm);
}
