//! Backends whose process is stopped: connections stay, and nothing comes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use equipoise::net::Memory;
use equipoise::service::BackendView;
use http::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use super::eventually;
use super::stage::{Gateway, Stage};

/// From one request to the next.
const PACE: Duration = Duration::from_millis(10);

/// A backend.
pub struct Backend {
    frozen: watch::Sender<bool>,
    /// How long its answers take.
    takes: Rc<Cell<Duration>>,
}

impl Backend {
    /// One that speaks HTTP/2, by the h2 crate, which answers PINGs.
    pub fn start(stage: &Stage, number: u8) -> Backend {
        let backend = Backend::new();
        let (mut accepted, frozen) = (stage.backend_of(number), backend.frozen.subscribe());
        let takes = Rc::clone(&backend.takes);
        spawn_local(async move {
            while let Some(connection) = accepted.recv().await {
                spawn_local(serve(connection, frozen.clone(), Rc::clone(&takes)));
            }
        });
        backend
    }

    /// One that speaks HTTP/1.1.
    fn start_http1(stage: &Stage, number: u8) -> Backend {
        let backend = Backend::new();
        let (mut accepted, frozen) = (stage.backend_of(number), backend.frozen.subscribe());
        let takes = Rc::clone(&backend.takes);
        spawn_local(async move {
            while let Some(connection) = accepted.recv().await {
                spawn_local(serve_http1(connection, frozen.clone(), Rc::clone(&takes)));
            }
        });
        backend
    }

    fn new() -> Backend {
        let takes = Rc::new(Cell::new(Duration::from_millis(3)));
        Backend { frozen: watch::Sender::new(false), takes }
    }

    pub fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

async fn serve(
    connection: Memory,
    mut frozen: watch::Receiver<bool>,
    takes: Rc<Cell<Duration>>,
) -> Option<()> {
    frozen.wait_for(|frozen| !frozen).await.ok()?;
    let mut connection = h2::server::handshake(connection).await.ok()?;
    loop {
        frozen.wait_for(|frozen| !frozen).await.ok()?;
        let accepted = tokio::select! {
            biased;
            stops = frozen.wait_for(|frozen| *frozen) => {
                stops.ok()?;
                continue;
            }
            accepted = connection.accept() => accepted,
        };
        let (_, mut respond) = accepted?.ok()?;
        let takes = takes.get();
        spawn_local(async move {
            sleep(takes).await;
            let head = Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "0");
            let _ = respond.send_response(head.body(()).unwrap(), true); // the gateway may be gone
        });
    }
}

async fn serve_http1(
    mut connection: Memory,
    mut frozen: watch::Receiver<bool>,
    takes: Rc<Cell<Duration>>,
) -> Option<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let read = connection.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        assert!(buffer[..read].ends_with(b"\r\n\r\n"), "a head comes at once");
        sleep(takes.get()).await;
        frozen.wait_for(|frozen| !frozen).await.ok()?;
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.ok()?;
    }
}

/// What has come of calls.
#[derive(Default)]
pub struct Ended {
    pub well: Cell<usize>,
    pub failed: RefCell<Vec<String>>,
}

/// Sends a request each 10 ms until the result is dropped.
pub async fn load(gateway: &Gateway) -> (Rc<Ended>, watch::Sender<()>) {
    let (client, connection) = h2::client::handshake(gateway.dial()).await.unwrap();
    spawn_local(connection);
    let (stop, stopped) = watch::channel(());
    let ended = Rc::<Ended>::default();
    let counted = Rc::clone(&ended);
    spawn_local(async move {
        let mut ready = client.ready().await.unwrap();
        while stopped.has_changed().is_ok() {
            let request = Request::post("http://shop/shop.Orders/Get")
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(())
                .unwrap();
            let (response, _) = ready.send_request(request, true).unwrap();
            let counted = Rc::clone(&counted);
            spawn_local(async move {
                let response = response.await.unwrap();
                let status = response.headers().get("grpc-status").map(|it| it.to_str().unwrap());
                match status {
                    Some("0") => counted.well.set(counted.well.get() + 1),
                    None if response.status() == 200 => counted.well.set(counted.well.get() + 1),
                    status => counted.failed.borrow_mut().push(format!("{status:?}")),
                }
            });
            sleep(PACE).await;
            ready = ready.ready().await.unwrap();
        }
    });
    (ended, stop)
}

/// The backend of this number, as operators see it.
fn backend(gateway: &Gateway, number: usize) -> BackendView {
    gateway.registry.get("shop").unwrap().view().backends[number].clone()
}

fn calls(gateway: &Gateway, number: usize) -> u32 {
    backend(gateway, number).endpoint.load().calls()
}

pub fn is_suspect(gateway: &Gateway, number: usize) -> bool {
    backend(gateway, number).condition.suspect.is_some()
}

/// What is open there waits, the rest goes elsewhere, and it is back at once.
pub async fn a_frozen_backend_gets_nothing_more_and_is_back_with_its_first_word(stage: Stage) {
    let backends = [0, 1, 2].map(|number| Backend::start(&stage, number));
    let gateway = stage.gateway_of(3, "", "balancer: round_robin").await;
    let (ended, stop) = load(&gateway).await;
    sleep(Duration::from_secs(3)).await;
    backends[1].freeze(true);
    sleep(Duration::from_millis(700)).await;
    assert!(is_suspect(&gateway, 1));
    let open = calls(&gateway, 1);
    assert!((15..30).contains(&open), "{open}");
    sleep(Duration::from_secs(3)).await;
    assert!(is_suspect(&gateway, 1));
    assert_eq!(calls(&gateway, 1), open, "there are no others");
    backends[1].freeze(false);
    eventually("it is back", || !is_suspect(&gateway, 1)).await;
    let before = backend(&gateway, 1).endpoint.requests();
    sleep(Duration::from_secs(1)).await;
    let since = backend(&gateway, 1).endpoint.requests() - before;
    assert!(since > 25, "{since} of its share of 33");
    drop(stop);
    assert_eq!(*ended.failed.borrow(), [""; 0]);
    eventually("all is answered", || (0..3).all(|number| calls(&gateway, number) == 0)).await;
}

/// Its connection is found dead, and what is open there fails; another connection brings it back.
pub async fn one_that_stays_frozen_is_lost_and_comes_back(stage: Stage) {
    let backends = [0, 1, 2].map(|number| Backend::start(&stage, number));
    let gateway = stage.gateway_of(3, "", "balancer: round_robin, preconnect: 3").await;
    let (ended, _load) = load(&gateway).await;
    sleep(Duration::from_secs(3)).await;
    backends[1].freeze(true);
    sleep(Duration::from_millis(700)).await;
    let open = calls(&gateway, 1) as usize;
    sleep(Duration::from_secs(12)).await;
    assert_eq!((calls(&gateway, 1) as usize, ended.failed.borrow().len()), (open, 0), "they wait");
    sleep(Duration::from_secs(4)).await;
    assert_eq!((calls(&gateway, 1), ended.failed.borrow().len()), (0, open));
    backends[1].freeze(false);
    sleep(Duration::from_secs(2)).await;
    let before = backend(&gateway, 1).endpoint.requests();
    sleep(Duration::from_secs(1)).await;
    let since = backend(&gateway, 1).endpoint.requests() - before;
    assert!(since > 25, "{since} of its share of 33");
    assert_eq!(ended.failed.borrow().len(), open);
}

/// There is no PING: three calls that are open for much longer than usual say as much.
pub async fn over_http1_three_calls_tell(stage: Stage) {
    let backends = [0, 1, 2].map(|number| Backend::start_http1(&stage, number));
    let gateway = stage.gateway_of(3, "", "protocol: http1, balancer: round_robin").await;
    let (mut client, connection) = h2::client::handshake(gateway.dial()).await.unwrap();
    spawn_local(connection);
    let done = Rc::<Cell<usize>>::default();
    let mut open = 0;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(8) {
        client = client.ready().await.unwrap();
        let request = Request::get("http://shop/").body(()).unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        let done = Rc::clone(&done);
        spawn_local(async move {
            assert_eq!(response.await.unwrap().status(), 200);
            done.set(done.get() + 1);
        });
        sleep(PACE).await;
        let passed = start.elapsed().as_millis();
        match passed {
            4000..4020 => backends[1].freeze(true),
            4740..4760 => open = calls(&gateway, 1),
            6000..6020 => assert_eq!(calls(&gateway, 1), open, "there are no others"),
            6500..6520 => backends[1].freeze(false),
            _ => {}
        }
        assert!(!(4800..6500).contains(&passed) || is_suspect(&gateway, 1), "{passed}");
    }
    assert!(!is_suspect(&gateway, 1));
    eventually("all is answered", || (0..3).all(|number| calls(&gateway, number) == 0)).await;
}

/// Answers that take long are none that do not come.
pub async fn who_is_slow_is_never_suspected(stage: Stage) {
    let backends = [0, 1, 2].map(|number| Backend::start(&stage, number));
    let gateway = stage.gateway_of(3, "", "balancer: round_robin, ejection: false").await;
    let (ended, _load) = load(&gateway).await;
    for (number, takes) in [(1, 203), (2, 5000), (0, 5000), (1, 5000)] {
        backends[number].takes.set(Duration::from_millis(takes));
        for _ in 0..100 {
            sleep(Duration::from_millis(50)).await;
            assert!((0..3).all(|number| !is_suspect(&gateway, number)));
        }
    }
    assert_eq!(*ended.failed.borrow(), [""; 0]);
    assert!(ended.well.get() > 400);
}

/// Nobody has said anything since: it may be the network.
pub async fn where_all_are_frozen_all_serve(stage: Stage) {
    let backends = [0, 1].map(|number| Backend::start(&stage, number));
    let gateway = stage.gateway_of(2, "", "balancer: round_robin").await;
    let (ended, _load) = load(&gateway).await;
    sleep(Duration::from_secs(2)).await;
    backends.iter().for_each(|backend| backend.freeze(true));
    for _ in 0..40 {
        sleep(Duration::from_millis(100)).await;
        assert!((0..2).all(|number| !is_suspect(&gateway, number)));
    }
    backends.iter().for_each(|backend| backend.freeze(false));
    eventually("all is answered", || (0..2).all(|number| calls(&gateway, number) < 3)).await;
    assert_eq!(*ended.failed.borrow(), [""; 0]);
}
