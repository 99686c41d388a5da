//! Ejection, with its defaults, between three backends that are asked 100 times a second.

use std::time::Duration;

use equipoise::service::Cause;
use tokio::time::{Instant, sleep};

use super::load::{Load, USUAL};
use super::stage::Stage;

impl Load {
    fn cause(&self) -> Option<Cause> {
        self.view(0).condition.ejected.map(|ejected| ejected.cause)
    }

    /// Until the first backend is ejected.
    async fn ejected(&self) -> Cause {
        super::eventually("it is ejected", || self.cause().is_some()).await;
        self.cause().unwrap()
    }
}

pub async fn three_seconds_after_a_hiccup_a_backend_has_its_share_again(stage: Stage) {
    hiccup(stage, "p2c_ewma").await;
}

pub async fn a_hiccup_under_round_robin_ejects_nobody(stage: Stage) {
    hiccup(stage, "round_robin").await;
}

async fn hiccup(stage: Stage, policy: &str) {
    let load = Load::begin(stage, &format!("balancer: {policy}")).await;
    sleep(Duration::from_secs(20)).await;
    load.backends[0].paused.set(Instant::now() + Duration::from_secs(1));
    sleep(Duration::from_secs(3)).await; // the hiccup, and two more
    let share = load.share(0).await;
    assert!(share >= 0.2, "{share}, {:?}", load.cause());
    assert_eq!(load.cause(), None);
}

pub async fn who_returns_has_its_share_within_a_second(stage: Stage) {
    let load = Load::begin(stage, "balancer: p2c_ewma").await;
    sleep(Duration::from_secs(20)).await;
    load.stage.crash();
    sleep(Duration::from_secs(5)).await;
    let asked = load.backends[0].asked.get();
    load.backends[0].listen(&load.stage, 0);
    super::eventually("it has a request", || load.backends[0].asked.get() > asked).await;
    sleep(Duration::from_secs(1)).await;
    let share = load.share(0).await;
    assert!(share >= 0.25, "{share}, {:?}", load.cause());
}

pub async fn an_outlier_by_success_ratio_is_out_within_two_seconds(stage: Stage) {
    let ejection = "ejection: { consecutive: 1000 }, balancer: round_robin";
    let load = Load::begin(stage, ejection).await;
    sleep(Duration::from_secs(20)).await;
    load.backends[0].failing.set(2);
    let begun = Instant::now();
    let cause = load.ejected().await;
    assert!(matches!(cause, Cause::SuccessRatio { .. }), "{cause}");
    assert!(begun.elapsed() <= Duration::from_secs(2), "{:?}", begun.elapsed());
    load.backends[0].failing.set(0);
    super::eventually("it is back", || load.cause().is_none()).await;
    // Its time, three trials, and no relapse by what it did before.
    assert!(begun.elapsed() <= Duration::from_millis(3500), "{:?}", begun.elapsed());
    sleep(Duration::from_secs(12)).await;
    assert_eq!(load.cause(), None);
}

pub async fn a_slow_backend_is_out_most_of_the_time_where_nothing_else_avoids_it(stage: Stage) {
    let load = Load::begin(stage, "balancer: round_robin").await;
    sleep(Duration::from_secs(5)).await;
    load.backends[0].latency.set(Duration::from_millis(210));
    let cause = load.ejected().await;
    assert!(matches!(cause, Cause::Latency { .. }), "{cause}");
    let (begun, asked) = (Instant::now(), load.backends[0].asked.get());
    while begun.elapsed() < Duration::from_secs(300) {
        let view = load.gateway.registry.get("shop").expect("it is there").view();
        let ejected = view.backends.iter().filter(|it| it.condition.ejected.is_some()).count();
        assert!(ejected <= 1);
        sleep(Duration::from_millis(100)).await;
    }
    let share = (load.backends[0].asked.get() - asked) as f64 / (300.0 * 100.0);
    assert!(share < 0.15, "{share}");
    load.backends[0].latency.set(USUAL);
    sleep(Duration::from_secs(65)).await;
    assert_eq!(load.cause(), None);
    assert!(load.share(0).await > 0.3);
}

pub async fn a_trial_is_one_request_at_a_time(stage: Stage) {
    let load = Load::begin(stage, "balancer: round_robin").await;
    sleep(Duration::from_secs(1)).await;
    load.backends[0].failing.set(1);
    load.ejected().await;
    load.backends[0].failing.set(0);
    load.backends[0].latency.set(Duration::from_millis(100));
    sleep(Duration::from_millis(500)).await;
    let failed = load.failed.borrow().len();
    assert!((5..12).contains(&failed), "{failed}");
    load.backends[0].most_open.set(0);
    super::eventually("it is back", || load.cause().is_none()).await;
    assert_eq!(load.backends[0].most_open.get(), 1);
}
