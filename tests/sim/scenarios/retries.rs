//! Retries and hedging by a route's policy.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use super::frozen::{self, is_suspect, load};
use super::soon;
use super::stage::{Gateway, Stage};

/// Resolution of timers.
const TICK: Duration = Duration::from_millis(5);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// How a backend answers.
#[derive(Clone, Copy)]
enum Way {
    /// After this time.
    Well(Duration),
    /// UNAVAILABLE, and when to come again.
    Fails(Option<i64>),
    /// UNIMPLEMENTED.
    Lacks,
    /// UNAVAILABLE so long after a head.
    FailsAfterHead(Duration),
    /// A message so long after a head.
    LateMessage(Duration),
}

/// A backend, and what came to it.
struct Backend {
    /// How it answers the next requests; the last one remains.
    ways: RefCell<VecDeque<Way>>,
    asked: RefCell<Vec<Instant>>,
    /// When requests were cancelled.
    cancelled: RefCell<Vec<Instant>>,
}

impl Backend {
    fn start(stage: &Stage, number: u8, ways: &[Way]) -> Rc<Backend> {
        let backend = Rc::new(Backend {
            ways: RefCell::new(ways.iter().copied().collect()),
            asked: RefCell::default(),
            cancelled: RefCell::default(),
        });
        let (started, mut accepted) = (Rc::clone(&backend), stage.backend_of(number));
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
        started
    }

    fn become_(&self, way: Way) {
        *self.ways.borrow_mut() = [way].into();
    }

    fn count(&self) -> usize {
        self.asked.borrow().len()
    }

    async fn answer(self: Rc<Backend>, mut respond: h2::server::SendResponse<Bytes>) {
        self.asked.borrow_mut().push(Instant::now());
        let way = {
            let mut ways = self.ways.borrow_mut();
            if ways.len() > 1 { ways.pop_front().unwrap() } else { ways[0] }
        };
        let head = || {
            let head = Response::builder().header("content-type", "application/grpc");
            head.body(()).unwrap()
        };
        let status = |code: u8| {
            HeaderMap::from_iter([("grpc-status".parse().unwrap(), u16::from(code).into())])
        };
        let message = Bytes::from_static(b"\0\0\0\0\x02ok");
        // Where these fail the gateway is gone.
        match way {
            Way::Well(time) => {
                let reset = std::future::poll_fn(|cx| respond.poll_reset(cx));
                if timeout(time, reset).await.is_ok() {
                    return self.cancelled.borrow_mut().push(Instant::now());
                }
                let mut stream = respond.send_response(head(), false).unwrap();
                let _ = stream.send_data(message, false);
                let _ = stream.send_trailers(status(0));
            }
            Way::Lacks => {
                let mut head = head();
                head.headers_mut().extend(status(12));
                let _ = respond.send_response(head, true);
            }
            Way::Fails(pushback) => {
                let mut head = head();
                head.headers_mut().extend(status(14));
                if let Some(time) = pushback {
                    head.headers_mut().insert("grpc-retry-pushback-ms", time.into());
                }
                let _ = respond.send_response(head, true);
            }
            Way::FailsAfterHead(time) => {
                let mut stream = respond.send_response(head(), false).unwrap();
                sleep(time).await;
                let _ = stream.send_trailers(status(14));
            }
            Way::LateMessage(time) => {
                let mut stream = respond.send_response(head(), false).unwrap();
                sleep(time).await;
                let _ = stream.send_data(message, false);
                let _ = stream.send_trailers(status(0));
            }
        }
    }
}

/// A client of the gateway.
struct Client(SendRequest<Bytes>);

/// What a client has of a call.
struct Answer {
    status: String,
    /// How long the head took, and all of it.
    head: Duration,
    all: Duration,
}

impl Client {
    async fn of(gateway: &Gateway) -> Client {
        let (client, connection) = h2::client::handshake(gateway.dial()).await.unwrap();
        spawn_local(connection);
        Client(client.ready().await.unwrap())
    }

    /// A call, which begins now.
    fn begin(&self, path: &str) -> impl Future<Output = Answer> + use<> {
        let request = Request::post(format!("http://shop.example{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let begun = Instant::now();
        let mut sender = self.0.clone();
        let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        async move {
            let (parts, mut body) = response.await.unwrap().into_parts();
            let head = begun.elapsed();
            while let Some(data) = body.data().await {
                let _ = body.flow_control().release_capacity(data.unwrap().len());
            }
            let trailers = body.trailers().await.unwrap();
            let status = trailers.as_ref().and_then(|it| it.get("grpc-status"));
            let status = status.or(parts.headers.get("grpc-status")).unwrap();
            let status = status.to_str().unwrap().to_owned();
            Answer { status, head, all: begun.elapsed() }
        }
    }

    async fn call(&self) -> Answer {
        soon("a call", self.begin("/shop.Orders/Get")).await
    }
}

fn within(time: Duration, expected: Duration) -> bool {
    time >= expected && time <= expected + TICK
}

pub async fn a_backend_says_when_to_come_again_and_that_nobody_may(stage: Stage) {
    let well = Way::Well(Duration::ZERO);
    let backend = Backend::start(&stage, 0, &[well, Way::Fails(Some(300)), well]);
    let gateway = stage.gateway_on(1, "ejection: false", "retry: {}").await;
    let client = Client::of(&gateway).await;
    client.call().await;
    let answer = client.call().await;
    assert!(answer.status == "0" && within(answer.all, ms(300)), "{:?}", answer.all);
    backend.become_(Way::Fails(Some(-1)));
    let (before, answer) = (backend.count(), client.call().await);
    assert_eq!((&*answer.status, backend.count() - before), ("14", 1));
}

pub async fn pauses_are_drawn_from_all_up_to_their_bound(stage: Stage) {
    let backend = Backend::start(&stage, 0, &[Way::Fails(None)]);
    let retry = "retry: { attempts: 5, backoff: { first: 40ms, max: 100ms } }";
    let settings = "ejection: false, retry_budget: { min_per_second: 100000 }";
    let gateway = stage.gateway_on(1, settings, retry).await;
    let client = Client::of(&gateway).await;
    let bounds = [40, 80, 100, 100].map(ms);
    let mut sums = [Duration::ZERO; 4];
    for _ in 0..200 {
        backend.asked.borrow_mut().clear();
        assert_eq!(client.call().await.status, "14");
        let asked = backend.asked.borrow();
        assert_eq!(asked.len(), 5);
        for (n, pair) in asked.windows(2).enumerate() {
            let pause = pair[1] - pair[0];
            assert!(pause <= bounds[n] + TICK, "{pause:?} after {n}");
            sums[n] += pause;
        }
    }
    for (sum, bound) in sums.iter().zip(bounds) {
        let mean = (*sum / 200).as_secs_f64() / bound.as_secs_f64();
        assert!((0.42..0.65).contains(&mean), "{mean} of {bound:?}");
    }
}

pub async fn a_head_is_held_back_for_as_long_as_the_route_says(stage: Stage) {
    let backend = Backend::start(&stage, 0, &[Way::LateMessage(ms(5000))]);
    let settings = "ejection: false, streams: [ shop.Orders/Watch ]";
    let gateway = stage.gateway_on(1, settings, "retry: { hold: 30ms }").await;
    let client = Client::of(&gateway).await;
    let watch = soon("a stream", client.begin("/shop.Orders/Watch")).await;
    assert!(watch.head <= ms(1) && watch.all >= ms(5000), "{:?}", watch.head);
    let late = soon("a late one", client.begin("/shop.Orders/Late")).await;
    assert!(within(late.head, ms(30)) && late.all >= ms(5000), "{:?}", late.head);
    // What comes first ends it.
    backend.become_(Way::LateMessage(ms(12)));
    assert!(within(client.call().await.head, ms(12)));
    *backend.ways.borrow_mut() = [Way::FailsAfterHead(ms(25)), Way::Well(Duration::ZERO)].into();
    let before = backend.count();
    assert_eq!((&*client.call().await.status, backend.count() - before), ("0", 2));
    backend.become_(Way::FailsAfterHead(ms(40)));
    let (before, failed) = (backend.count(), client.call().await);
    assert_eq!((&*failed.status, backend.count() - before), ("14", 1), "its head was sent");
    assert!(within(failed.head, ms(30)), "{:?}", failed.head);
}

/// 300 calls a second.
async fn storm_of(client: &Client, time: Duration, failed: &Rc<Cell<usize>>) -> usize {
    let (begun, mut sent) = (Instant::now(), 0);
    while begun.elapsed() < time {
        for _ in 0..3 {
            let (call, failed) = (client.begin("/shop.Orders/Get"), Rc::clone(failed));
            spawn_local(async move {
                if call.await.status != "0" {
                    failed.set(failed.get() + 1);
                }
            });
            sent += 1;
        }
        sleep(ms(10)).await;
    }
    sent
}

pub async fn where_all_fail_the_load_is_a_fifth_more_and_soon_calm(stage: Stage) {
    let backends = [0, 1, 2].map(|n| Backend::start(&stage, n, &[Way::Well(ms(3))]));
    let gateway = stage.gateway_on(3, "balancer: p2c_ewma", "retry: {}").await;
    let client = Client::of(&gateway).await;
    let failed = Rc::<Cell<usize>>::default();
    let asked = || backends.iter().map(|backend| backend.count()).sum::<usize>();
    storm_of(&client, ms(15_000), &failed).await;
    assert_eq!(failed.get(), 0);
    backends.iter().for_each(|backend| backend.become_(Way::Fails(None)));
    let (begun, before) = (Instant::now(), asked());
    let sent = storm_of(&client, ms(30_000), &failed).await;
    let load = (asked() - before) as f64 / sent as f64;
    assert!((1.1..=1.2).contains(&load), "{load}");
    // In any ten seconds: 3000 requests, and a fifth more.
    let all: Vec<_> = backends.iter().flat_map(|it| it.asked.borrow().clone()).collect();
    for start in 0..200 {
        let from = begun + ms(100) * start;
        let window = all.iter().filter(|at| (from..from + ms(10_000)).contains(at)).count();
        // What was in its pause as the ten seconds began or ended.
        assert!(window <= 3600 + 6, "{window} from {start}");
    }
    backends.iter().for_each(|backend| backend.become_(Way::Well(ms(3))));
    storm_of(&client, ms(2000), &failed).await;
    let (failures, before) = (failed.get(), asked());
    let sent = storm_of(&client, ms(3000), &failed).await;
    sleep(ms(100)).await;
    assert_eq!((failed.get() - failures, asked() - before), (0, sent));
}

pub async fn p95_needs_a_hundred_calls_of_the_last_thirty_seconds(stage: Stage) {
    let usual = Way::Well(ms(20));
    let backends = [0, 1].map(|number| Backend::start(&stage, number, &[usual]));
    let settings = "balancer: round_robin, ejection: false";
    let gateway = stage.gateway_on(2, settings, "hedge: { after: p95 }").await;
    let client = Client::of(&gateway).await;
    let asked = || backends.iter().map(|backend| backend.count()).sum::<usize>();
    let slow = async || {
        backends.iter().for_each(|it| *it.ways.borrow_mut() = [Way::Well(ms(800)), usual].into());
        let (before, answer) = (asked(), client.call().await);
        backends.iter().for_each(|backend| backend.become_(usual));
        (asked() - before, answer.all)
    };
    for _ in 0..98 {
        client.call().await;
    }
    sleep(ms(1000)).await;
    assert_eq!(slow().await.0, 1, "99 calls");
    for _ in 0..100 {
        client.call().await;
    }
    sleep(ms(1000)).await;
    // p95 is 20 ms, as exactly as the histogram has it; the hedge is as slow.
    let (attempts, _) = slow().await;
    assert_eq!(attempts, 2);
    sleep(ms(40_000)).await;
    client.call().await; // it is asked for again
    sleep(ms(1000)).await;
    assert_eq!(slow().await.0, 1, "long ago");
}

pub async fn who_has_failed_is_asked_again_where_the_others_lack_the_method(stage: Stage) {
    let has = Backend::start(&stage, 0, &[Way::Fails(None)]);
    let lacks = [1, 2].map(|number| Backend::start(&stage, number, &[Way::Lacks]));
    let settings = "balancer: round_robin, ejection: false";
    let gateway = stage.gateway_on(3, settings, "retry: {}").await;
    let client = Client::of(&gateway).await;
    for _ in 0..20 {
        *has.ways.borrow_mut() = [Way::Fails(None), Way::Well(Duration::ZERO)].into();
        assert_eq!(client.call().await.status, "0");
    }
    assert!(lacks.iter().all(|backend| backend.count() == 1));
}

pub async fn what_fails_after_its_head_does_not_end_the_other(stage: Stage) {
    let ways = [Way::Well(ms(200)), Way::FailsAfterHead(ms(5))];
    let _backends = [0, 1].map(|n| Backend::start(&stage, n, &ways[n as usize..][..1]));
    let settings = "balancer: round_robin, ejection: false";
    let route = "retry: { attempts: 2 }, hedge: { after: 50ms }";
    let gateway = stage.gateway_on(2, settings, route).await;
    let client = Client::of(&gateway).await;
    for _ in 0..4 {
        let answer = client.call().await;
        assert!(answer.status == "0" && answer.all <= ms(250), "{:?}", answer.all);
    }
}

pub async fn who_loses_is_told_at_once(stage: Stage) {
    let backends = [Way::Well(ms(500)), Way::Well(ms(30))];
    let backends = [0, 1].map(|n| Backend::start(&stage, n, &backends[n as usize..][..1]));
    let settings = "balancer: round_robin, ejection: false";
    let gateway = stage.gateway_on(2, settings, "hedge: { after: 50ms }").await;
    let client = Client::of(&gateway).await;
    for _ in 0..10 {
        let begun = Instant::now();
        let before = backends[0].cancelled.borrow().len();
        let answer = client.call().await;
        assert!(answer.status == "0" && answer.all <= ms(80) + TICK, "{:?}", answer.all);
        sleep(ms(1)).await;
        if let Some(at) = backends[0].cancelled.borrow().get(before) {
            assert!(*at - begun <= answer.head + ms(1), "{:?}", *at - begun);
        }
    }
    assert_eq!(backends[0].cancelled.borrow().len(), 5);
    assert_eq!(gateway.open(), 0);
}

pub async fn a_backend_that_is_frozen_is_found_by_hedges(stage: Stage) {
    let backends = [0, 1, 2].map(|number| frozen::Backend::start(&stage, number));
    let settings = "balancer: round_robin";
    let gateway = stage.gateway_on(3, settings, "hedge: { after: 50ms }").await;
    let (ended, _load) = load(&gateway).await;
    sleep(ms(3000)).await;
    backends[1].freeze(true);
    sleep(ms(1000)).await;
    assert!(is_suspect(&gateway, 1));
    sleep(ms(3000)).await;
    assert!(is_suspect(&gateway, 1));
    backends[1].freeze(false);
    super::eventually("it is back", || !is_suspect(&gateway, 1)).await;
    sleep(ms(1000)).await;
    assert_eq!(*ended.failed.borrow(), [""; 0]);
}

pub async fn a_black_hole_fails_nothing_where_attempts_have_a_limit(stage: Stage) {
    for hedge in ["", ", hedge: { after: 1s }"] {
        let backends = [0, 1, 2].map(|number| frozen::Backend::start(&stage, number));
        let retry = format!("retry: {{ per_attempt_timeout: 500ms }}{hedge}");
        let gateway = stage.gateway_on(3, "balancer: round_robin", &retry).await;
        let (ended, _load) = load(&gateway).await;
        sleep(ms(3000)).await;
        backends[1].freeze(true);
        sleep(ms(10_000)).await;
        assert_eq!(*ended.failed.borrow(), [""; 0]);
        assert!(ended.well.get() > 1200, "{}", ended.well.get());
    }
}
