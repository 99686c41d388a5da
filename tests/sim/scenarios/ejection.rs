//! Ejection, with its defaults, between three backends that are asked 100 times a second.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use equipoise::service::{BackendView, Cause};
use http::{Request, Response};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until};

use super::stage::{Gateway, Stage};

/// From one request to the next.
const INTERVAL: Duration = Duration::from_millis(10);

/// How long an answer takes where nothing is wrong.
const USUAL: Duration = Duration::from_millis(10);

/// What a backend does.
struct Backend {
    /// How long it takes for an answer.
    latency: Cell<Duration>,
    /// It answers nothing before.
    paused: Cell<Instant>,
    /// One of so many requests it refuses; none if 0.
    failing: Cell<usize>,
    asked: Cell<usize>,
    open: Cell<usize>,
    most_open: Cell<usize>,
}

/// A gateway with its backends, under load.
struct Load {
    stage: Stage,
    gateway: Gateway,
    backends: [Rc<Backend>; 3],
    /// When requests failed.
    failed: Rc<RefCell<Vec<Instant>>>,
}

impl Load {
    async fn begin(stage: Stage, settings: &str) -> Load {
        let backends = [0, 1, 2].map(|number| {
            let backend = Rc::new(Backend::new());
            backend.listen(&stage, number);
            backend
        });
        let gateway = stage.gateway_of(3, "max_connections: 1000", settings).await;
        let failed = Rc::<RefCell<Vec<Instant>>>::default();
        let (mut client, connection) = h2::client::handshake(gateway.dial()).await.unwrap();
        spawn_local(connection);
        let failures = Rc::clone(&failed);
        spawn_local(async move {
            loop {
                sleep(INTERVAL).await;
                let request = Request::post("http://shop.example/shop.Orders/Get");
                let request =
                    request.header("content-type", "application/grpc").header("te", "trailers");
                client = client.ready().await.unwrap();
                let (answer, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
                let failures = Rc::clone(&failures);
                spawn_local(async move {
                    let fails = answer.await.is_ok_and(|head| {
                        head.headers().get("grpc-status").is_none_or(|status| status != "0")
                    });
                    if fails {
                        failures.borrow_mut().push(Instant::now());
                    }
                });
            }
        });
        Load { stage, gateway, backends, failed }
    }

    /// The share of the first backend in the requests of the next second.
    async fn share(&self) -> f64 {
        let asked = || self.backends.each_ref().map(|backend| backend.asked.get());
        let before = asked();
        sleep(Duration::from_secs(1)).await;
        let after = asked();
        let [first, ..] = [after[0] - before[0]];
        let all: usize = after.iter().zip(before).map(|(after, before)| after - before).sum();
        first as f64 / all as f64
    }

    fn first(&self) -> BackendView {
        self.gateway.registry.get("shop").expect("it is there").view().backends[0].clone()
    }

    fn cause(&self) -> Option<Cause> {
        self.first().condition.ejected.map(|ejected| ejected.cause)
    }

    /// Until the first backend is ejected.
    async fn ejected(&self) -> Cause {
        super::eventually("it is ejected", || self.cause().is_some()).await;
        self.cause().unwrap()
    }
}

impl Backend {
    fn new() -> Backend {
        Backend {
            latency: Cell::new(USUAL),
            paused: Cell::new(Instant::now()),
            failing: Cell::new(0),
            asked: Cell::new(0),
            open: Cell::new(0),
            most_open: Cell::new(0),
        }
    }

    fn listen(self: &Rc<Backend>, stage: &Stage, number: u8) {
        let (backend, mut accepted) = (Rc::clone(self), stage.backend_of(number));
        spawn_local(async move {
            while let Some(connection) = accepted.recv().await {
                let backend = Rc::clone(&backend);
                spawn_local(async move {
                    let mut connection = h2::server::handshake(connection).await?;
                    while let Some(Ok((_, respond))) = connection.accept().await {
                        spawn_local(Rc::clone(&backend).answer(respond));
                    }
                    Ok::<_, h2::Error>(())
                });
            }
        });
    }

    async fn answer(self: Rc<Backend>, mut respond: h2::server::SendResponse<bytes::Bytes>) {
        let number = self.asked.replace(self.asked.get() + 1);
        self.open.set(self.open.get() + 1);
        self.most_open.set(self.most_open.get().max(self.open.get()));
        sleep(self.latency.get()).await;
        sleep_until(self.paused.get()).await;
        self.open.set(self.open.get() - 1);
        let fails = self.failing.get() > 0 && number.is_multiple_of(self.failing.get());
        let head = Response::builder().header("content-type", "application/grpc");
        let head = head.header("grpc-status", if fails { "14" } else { "0" });
        let _ = respond.send_response(head.body(()).unwrap(), true);
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
    let share = load.share().await;
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
    let share = load.share().await;
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
    assert!(load.share().await > 0.3);
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
