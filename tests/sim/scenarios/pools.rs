//! Connection pools: queue timeouts, reconnects, idle timeout and maximum age.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use equipoise::model::RejectReason;
use equipoise::net::Memory;
use equipoise::telemetry::{CloseReason, Side};
use http::{Request, Response};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep};

use super::stage::{Gateway, Stage};
use super::{eventually, soon};

/// Resolution of timers.
const TICK: Duration = Duration::from_millis(10);

/// A backend with one stream per connection, which answers once released.
struct Backend {
    active: Rc<Cell<usize>>,
    release: watch::Sender<bool>,
}

impl Backend {
    fn on(stage: &Stage) -> Backend {
        let (release, released) = watch::channel(false);
        let active = Rc::<Cell<usize>>::default();
        let shared = Rc::clone(&active);
        let mut accepted = stage.backend();
        spawn_local(async move {
            while let Some(connection) = accepted.recv().await {
                spawn_local(serve(connection, Rc::clone(&shared), released.clone()));
            }
        });
        Backend { active, release }
    }
}

async fn serve(connection: Memory, active: Rc<Cell<usize>>, released: watch::Receiver<bool>) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let handshake = builder.handshake::<_, bytes::Bytes>(connection);
    let mut connection = handshake.await.expect("the gateway speaks HTTP/2");
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let (active, mut released) = (Rc::clone(&active), released.clone());
        active.set(active.get() + 1);
        spawn_local(async move {
            released.wait_for(|released| *released).await.expect("the backend is there");
            let head = Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "0");
            respond.send_response(head.body(()).unwrap(), true).unwrap();
            active.set(active.get() - 1);
        });
    }
}

/// Makes a call on its own connection; returns its `grpc-status` and when it came.
fn ask(gateway: &Gateway) -> JoinHandle<(String, Instant)> {
    let connection = gateway.dial();
    spawn_local(async move {
        let (mut sender, driver) = h2::client::handshake(connection).await.unwrap();
        let driver = spawn_local(driver);
        let request = Request::post("http://test/shop.Orders/Get")
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        let response = soon("an answer", response).await.unwrap();
        driver.abort();
        (response.headers()["grpc-status"].to_str().unwrap().to_owned(), Instant::now())
    })
}

async fn status(asked: JoinHandle<(String, Instant)>) -> String {
    asked.await.unwrap().0
}

/// Requests wait for a stream slot of the only connection, up to the queue's limits of number and
/// time.
pub async fn waiting_for_room_has_an_end(stage: Stage) {
    let backend = Backend::on(&stage);
    let settings = "max_connections: 1, max_pending: 2, pending_timeout: 100ms";
    let gateway = stage.gateway(settings).await;
    let first = ask(&gateway);
    eventually("the first is there", || backend.active.get() == 1).await;
    let begun = Instant::now();
    let asked: Vec<_> = (0..10).map(|_| ask(&gateway)).collect();
    let mut waited = Vec::new();
    for asked in asked {
        let (status, at) = asked.await.unwrap();
        assert_eq!(status, "14");
        waited.push(at - begun);
    }
    waited.sort();
    assert!(waited[7] < TICK, "there is no place to wait: {waited:?}");
    let pending = Duration::from_millis(100);
    assert!(waited[8] >= pending && waited[9] <= pending + TICK, "{waited:?}");
    let service = gateway.registry.get("shop").unwrap();
    assert_eq!(service.rejections().totals()[RejectReason::Overloaded as usize], 10);
    backend.release.send_replace(true);
    assert_eq!(status(first).await, "0");
}

/// The longest pause between two attempts to reach a backend that is down.
const PAUSE: Duration = Duration::from_millis(150);

/// When all backends are down, requests wait for the first that is back, as long as they may.
pub async fn who_waits_for_a_backend_goes_on_when_it_is_back(stage: Stage) {
    let backend = Backend::on(&stage);
    let gateway = stage.gateway("pending_timeout: 1s, max_pending: 5").await;
    backend.release.send_replace(true);
    assert_eq!(status(ask(&gateway)).await, "0");
    stage.crash();
    let begun = Instant::now();
    let (status, at) = ask(&gateway).await.unwrap();
    assert_eq!(status, "14");
    let pending = Duration::from_secs(1);
    assert!((pending..=pending + TICK).contains(&(at - begun)), "{:?}", at - begun);

    let asked: Vec<_> = (0..7).map(|_| ask(&gateway)).collect();
    sleep(Duration::from_millis(700)).await;
    let begun = Instant::now();
    let back = Backend::on(&stage);
    back.release.send_replace(true);
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(asked.await.unwrap());
    }
    let (waited, refused) = answers.split_at(5);
    assert!(waited.iter().all(|(status, _)| status == "0"), "{answers:?}");
    assert!(refused.iter().all(|(status, at)| status == "14" && *at < begun), "{answers:?}");
    assert!(waited.is_sorted_by_key(|(_, at)| *at), "they go on in order");
    assert!(waited[0].1 - begun <= PAUSE + TICK, "{answers:?}");
}

/// An endpoint that nobody asks for is tried now and then; who asks again has it tried at once.
pub async fn who_asks_has_it_tried_at_once(stage: Stage) {
    let backend = Backend::on(&stage);
    let gateway = stage.gateway("pending_timeout: 1s").await;
    backend.release.send_replace(true);
    assert_eq!(status(ask(&gateway)).await, "0");
    stage.crash();
    assert_eq!(status(ask(&gateway)).await, "14");
    sleep(Duration::from_secs(200)).await;
    let begun = Instant::now();
    let asked = ask(&gateway);
    sleep(TICK).await;
    let back = Backend::on(&stage);
    back.release.send_replace(true);
    let (status, at) = asked.await.unwrap();
    assert_eq!(status, "0");
    assert!(at - begun <= PAUSE + 2 * TICK, "{:?}", at - begun);
}

/// Of two idle connections one is kept warm, and the other is closed at its idle timeout.
pub async fn what_is_kept_outlasts_the_idle_timeout(stage: Stage) {
    let backend = Backend::on(&stage);
    let gateway = stage.gateway("preconnect: 1, limits: { idle_timeout: 60s }").await;
    let open = || gateway.metrics.open(Side::Upstream);
    eventually("one is there", || open() == 1).await;
    let asked = [ask(&gateway), ask(&gateway)];
    eventually("both are there", || backend.active.get() == 2).await;
    backend.release.send_replace(true);
    for asked in asked {
        assert_eq!(status(asked).await, "0");
    }
    sleep(Duration::from_secs(60) - TICK).await;
    assert_eq!(open(), 2);
    sleep(3 * TICK).await;
    assert_eq!((open(), gateway.metrics.closed(Side::Upstream, CloseReason::Idle)), (1, 1));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(open(), 1);
}

/// Healthy connections are closed with the right reason, on either side.
pub async fn whoever_is_idle_or_old_is_told_to_go_for_that(stage: Stage) {
    let backend = Backend::on(&stage);
    backend.release.send_replace(true);
    let limits = "limits: { idle_timeout: 60s, max_age: 100s }";
    let gateway = stage.gateway_for(limits, limits).await;
    let closed = |side, reason| gateway.metrics.closed(side, reason);
    let reason = CloseReason::Idle;
    for nth in 1..3 {
        let (mut sender, driver) = h2::client::handshake(gateway.dial()).await.unwrap();
        let driver = spawn_local(driver);
        let request = Request::post("http://test/shop.Orders/Get");
        let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        soon("an answer", response).await.unwrap();
        sleep(Duration::from_secs(60) - TICK).await;
        assert_eq!(closed(Side::Downstream, reason) + 1, nth);
        sleep(4 * TICK).await;
        let both = [Side::Downstream, Side::Upstream].map(|side| closed(side, reason));
        assert_eq!(both, [nth; 2]);
        driver.await.unwrap().expect("it ends in good order");
    }
    // A busy one reaches its maximum age, jittered by a tenth.
    let (mut sender, driver) = h2::client::handshake(gateway.dial()).await.unwrap();
    let driver = spawn_local(driver);
    for _ in 0..5 {
        let request = Request::post("http://test/shop.Orders/Get");
        let Ok((response, _)) = sender.send_request(request.body(()).unwrap(), true) else { break };
        let _ = response.await; // the last one may be too late
        sleep(Duration::from_secs(25)).await;
    }
    soon("its end", driver).await.unwrap().expect("it ends in good order");
    assert_eq!(closed(Side::Downstream, CloseReason::MaxAge), 1);
    assert_eq!(closed(Side::Upstream, CloseReason::MaxAge), 1);
    assert_eq!(
        closed(Side::Downstream, CloseReason::Drain) + closed(Side::Upstream, CloseReason::Drain),
        0
    );
}
