//! Backends that do as they are told, and a client that asks for them at a rate.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use equipoise::net::Memory;
use equipoise::service::BackendView;
use h2::server::SendResponse;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until};

use super::stage::{Gateway, Stage};

/// How long an answer takes where nothing is wrong.
pub const USUAL: Duration = Duration::from_millis(10);

/// What a backend does.
pub struct Backend {
    /// How long it takes for an answer.
    pub latency: Cell<Duration>,
    /// It answers nothing before.
    pub paused: Cell<Instant>,
    /// One of so many requests it refuses; none if 0.
    pub failing: Cell<usize>,
    pub asked: Cell<usize>,
    open: Cell<usize>,
    /// How many requests it works on at a time.
    slots: RefCell<Rc<Semaphore>>,
    pub most_open: Cell<usize>,
    /// The numbers of the requests that it had since they were last taken.
    pub had: RefCell<Vec<u64>>,
}

/// A gateway with its backends, under load.
pub struct Load {
    pub stage: Stage,
    pub gateway: Gateway,
    pub backends: Vec<Rc<Backend>>,
    /// When requests failed.
    pub failed: Rc<RefCell<Vec<Instant>>>,
}

impl Load {
    /// Three backends that are asked 100 times a second.
    pub async fn begin(stage: Stage, settings: &str) -> Load {
        Load::of(stage, [3, 0], Duration::from_millis(10), settings).await
    }

    /// So many backends, and so many that the gateway does not know yet, and the time from one
    /// request to the next. Requests are numbered, and the last three digits are their `x-key`.
    pub async fn of(
        stage: Stage,
        [known, spare]: [u8; 2],
        interval: Duration,
        settings: &str,
    ) -> Load {
        let backends = (0..known + spare).map(|number| {
            let backend = Rc::new(Backend::new());
            backend.listen(&stage, number);
            backend
        });
        let backends = backends.collect();
        let gateway = stage.gateway_of(known, "max_connections: 1000", settings).await;
        let failed = Rc::<RefCell<Vec<Instant>>>::default();
        spawn_local(ask(gateway.dial(), interval, Rc::clone(&failed)));
        Load { stage, gateway, backends, failed }
    }

    /// The requests of each backend in the next second.
    pub async fn counts(&self) -> Vec<usize> {
        let asked = || self.backends.iter().map(|backend| backend.asked.get());
        let before: Vec<_> = asked().collect();
        sleep(Duration::from_secs(1)).await;
        asked().zip(before).map(|(after, before)| after - before).collect()
    }

    /// The share of a backend in the requests of the next second.
    pub async fn share(&self, backend: usize) -> f64 {
        let counts = self.counts().await;
        counts[backend] as f64 / counts.iter().sum::<usize>() as f64
    }

    /// What the gateway says of a backend.
    pub fn view(&self, backend: usize) -> BackendView {
        self.gateway.registry.get("shop").expect("it is there").view().backends[backend].clone()
    }
}

/// Asks at this interval for ever.
async fn ask(connection: Memory, interval: Duration, failed: Rc<RefCell<Vec<Instant>>>) {
    let (mut client, connection) = h2::client::handshake(connection).await.unwrap();
    spawn_local(connection);
    for number in 0u64.. {
        sleep(interval).await;
        let request = Request::post("http://shop.example/shop.Orders/Get")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-number", number)
            .header("x-key", number % 1000);
        client = client.ready().await.unwrap();
        let (answer, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
        let failed = Rc::clone(&failed);
        spawn_local(async move {
            let fails = answer
                .await
                .is_ok_and(|head| head.headers().get("grpc-status").is_none_or(|it| it != "0"));
            if fails {
                failed.borrow_mut().push(Instant::now());
            }
        });
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
            slots: RefCell::new(Rc::new(Semaphore::new(Semaphore::MAX_PERMITS))),
            most_open: Cell::new(0),
            had: RefCell::default(),
        }
    }

    /// Has it work on so many requests at a time, beside those that it has begun.
    pub fn has_slots(&self, slots: usize) {
        *self.slots.borrow_mut() = Rc::new(Semaphore::new(slots));
    }

    /// Requests that it has not answered.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// Takes connections at the place of this number.
    pub fn listen(self: &Rc<Backend>, stage: &Stage, number: u8) {
        let (backend, mut accepted) = (Rc::clone(self), stage.backend_of(number));
        spawn_local(async move {
            while let Some(connection) = accepted.recv().await {
                let backend = Rc::clone(&backend);
                spawn_local(async move {
                    let mut connection = h2::server::handshake(connection).await?;
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let number =
                            request.headers().get("x-number").and_then(|it| it.to_str().ok());
                        backend
                            .had
                            .borrow_mut()
                            .extend(number.and_then(|it| it.parse::<u64>().ok()));
                        spawn_local(Rc::clone(&backend).answer(respond));
                    }
                    Ok::<_, h2::Error>(())
                });
            }
        });
    }

    async fn answer(self: Rc<Backend>, mut respond: SendResponse<Bytes>) {
        let number = self.asked.replace(self.asked.get() + 1);
        self.open.set(self.open.get() + 1);
        self.most_open.set(self.most_open.get().max(self.open.get()));
        let slots = Rc::clone(&self.slots.borrow());
        let _slot = slots.acquire().await;
        sleep(self.latency.get()).await;
        sleep_until(self.paused.get()).await;
        self.open.set(self.open.get() - 1);
        let fails = self.failing.get() > 0 && number.is_multiple_of(self.failing.get());
        let head = Response::builder().header("content-type", "application/grpc");
        let head = head.header("grpc-status", if fails { "14" } else { "0" });
        let _ = respond.send_response(head.body(()).unwrap(), true);
    }
}
