//! Backends that take few streams, leave, die, refuse and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::backend::{Backend, Options};
use crate::support::client::{Client, held, message};
use crate::support::frames::{self, END_STREAM, HEADERS, RST_STREAM};
use crate::support::gateway::{Gateway, one_service};
use crate::support::{eventually, raw, soon};

const REFUSED_STREAM: u32 = 7;

/// The status of each call, however many there were.
async fn codes(mut calls: JoinSet<Code>) -> Vec<Code> {
    let mut codes = Vec::new();
    while let Some(code) = soon("all calls end", calls.join_next()).await {
        codes.push(code.unwrap());
    }
    codes
}

fn all_ok(codes: &[Code]) -> bool {
    codes.iter().all(|code| *code == Code::Ok)
}

fn call(calls: &mut JoinSet<Code>, client: &Client) {
    let mut client = client.clone();
    calls.spawn(async move {
        client.unary(message("x")).await.map_or_else(|status| status.code(), |_| Code::Ok)
    });
}

fn hold(calls: &mut JoinSet<Code>, client: &Client) {
    let mut client = client.clone();
    calls.spawn(async move {
        client.unary(held()).await.map_or_else(|status| status.code(), |_| Code::Ok)
    });
}

#[tokio::test]
async fn more_connections_are_opened_when_a_backend_takes_few_streams() {
    for most in [1, 3] {
        let backend =
            Backend::with(Options { max_streams: Some(most), ..Options::default() }).await;
        let most_connections = "max_connections: 8";
        let gateway = Gateway::start(&one_service(&[backend.address], most_connections)).await;
        let client = gateway.client().await;
        let mut calls = JoinSet::new();
        let held_calls = 8 * most as usize;
        for _ in 0..held_calls {
            hold(&mut calls, &client);
        }
        eventually("all are at the backend at once", async || backend.seen.active() == held_calls)
            .await;
        for _ in 0..100 {
            call(&mut calls, &client); // wait for room
        }
        backend.release();
        assert!(all_ok(&codes(calls).await));
        let page = gateway.metrics().await;
        let connections = page.value("equipoise_connections", &[("side", "upstream")]);
        assert_eq!(connections, 8.0);
    }
}

/// Calls without pause until told to stop; gives the codes of all.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    calls: JoinSet<Vec<Code>>,
}

impl Load {
    async fn start(gateway: &Gateway, callers: usize) -> Load {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut load = Load { stop, done, calls: JoinSet::new() };
        for _ in 0..callers {
            let mut client = gateway.client().await;
            let (stop, done) = (Arc::clone(&load.stop), Arc::clone(&load.done));
            load.calls.spawn(async move {
                let mut codes = Vec::new();
                while !stop.load(SeqCst) {
                    let result = client.unary(message("x")).await;
                    codes.push(result.map_or_else(|status| status.code(), |_| Code::Ok));
                    done.fetch_add(1, SeqCst);
                }
                codes
            });
        }
        load
    }

    /// Waits until so many more calls are over.
    async fn more(&self, calls: usize) {
        let until = self.done.load(SeqCst) + calls;
        eventually("calls go on", async || self.done.load(SeqCst) >= until).await;
    }

    async fn codes(mut self) -> Vec<Code> {
        self.stop.store(true, SeqCst);
        let mut codes = Vec::new();
        while let Some(some) = soon("the load ends", self.calls.join_next()).await {
            codes.extend(some.unwrap());
        }
        codes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_leaves_and_comes_back_costs_no_call() {
    let mut leaving = Backend::start().await;
    let staying = Backend::start().await;
    let gateway = Gateway::to(&[leaving.address, staying.address]).await;
    let mut held_calls = JoinSet::new();
    let client = gateway.client().await;
    for _ in 0..20 {
        hold(&mut held_calls, &client);
    }
    let both = async || leaving.seen.active() + staying.seen.active() == 20;
    eventually("calls are held", both).await;
    let load = Load::start(&gateway, 8).await;
    load.more(200).await;
    leaving.leave();
    load.more(500).await;
    leaving.release();
    staying.release();
    assert!(all_ok(&codes(held_calls).await), "those in flight finish");

    let address = leaving.address;
    leaving.kill();
    let options = Options { address: Some(address), ..Options::default() };
    let back = Backend::with(options).await;
    eventually("it is used again", async || back.seen.requests() > 50).await;
    let codes = load.codes().await;
    let failed: Vec<_> = codes.iter().filter(|code| **code != Code::Ok).collect();
    assert!(failed.is_empty(), "{failed:?} of {}", codes.len());
}

#[tokio::test]
async fn a_backend_that_dies_takes_only_its_own_calls_along() {
    let mut dying = Backend::start().await;
    let living = Backend::start().await;
    let yaml = one_service(&[dying.address, living.address], "balancer: { policy: round_robin }");
    let gateway = Gateway::start(&yaml).await;
    let client = gateway.client().await;
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        hold(&mut calls, &client);
    }
    eventually("all are there", async || (dying.seen.active(), living.seen.active()) == (20, 20))
        .await;
    dying.kill();
    eventually("its calls are over", async || calls.len() - 20 <= finished(&mut calls)).await;
    living.release();
    let mut more = JoinSet::new();
    for _ in 0..100 {
        call(&mut more, &client);
    }
    assert!(all_ok(&codes(more).await), "new calls go elsewhere");
    assert!(all_ok(&codes(calls).await), "those of the other backend finish");
    gateway.idle().await;
    let page = gateway.metrics().await;
    let dead = dying.address.to_string();
    let labels = [("backend", &*dead), ("code", "UNAVAILABLE")];
    assert_eq!(page.value("equipoise_requests_total", &labels), 20.0);
}

/// How many calls are over; each of them must be unavailable.
fn finished(calls: &mut JoinSet<Code>) -> usize {
    let mut finished = 0;
    while let Some(code) = calls.try_join_next() {
        assert_eq!(code.unwrap(), Code::Unavailable);
        finished += 1;
    }
    finished
}

#[tokio::test]
async fn who_cannot_be_reached_is_passed_over() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = nobody.local_addr().unwrap();
    drop(nobody);
    let backend = Backend::start().await;
    let yaml = one_service(&[refusing, backend.address], "balancer: { policy: round_robin }");
    let gateway = Gateway::start(&yaml).await;
    let mut client = gateway.client().await;
    for _ in 0..100 {
        client.unary(message("x")).await.unwrap();
    }
    assert_eq!(backend.seen.requests(), 100);
}

#[tokio::test]
async fn when_all_are_down_that_is_the_answer() {
    let mut backends = [Backend::start().await, Backend::start().await];
    let addresses = backends.each_ref().map(|backend| backend.address);
    let gateway = Gateway::start(&one_service(&addresses, "pending_timeout: 50ms")).await;
    let mut client = gateway.client().await;
    eventually("it works", async || client.unary(message("x")).await.is_ok()).await;
    backends.iter_mut().for_each(Backend::kill);
    for _ in 0..20 {
        let status = client.unary(message("x")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
    let options = Options { address: Some(backends[0].address), ..Options::default() };
    let _back = Backend::with(options).await;
    eventually("it works again", async || client.unary(message("x")).await.is_ok()).await;
}

#[tokio::test]
async fn a_request_that_is_refused_is_tried_once_more() {
    let ok = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")];
    let (calls, always) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counter, refuse) = (Arc::clone(&calls), Arc::clone(&always));
    let backend = frames::backend(move |mut frames| {
        let (calls, always) = (Arc::clone(&counter), Arc::clone(&refuse));
        async move {
            // Waits for the whole request, so that it is seen that all of it comes again.
            while let Some(frame) = frames.next().await {
                let data_or_head = frame.kind == HEADERS || frame.kind == frames::DATA;
                if !data_or_head || !frame.is(frame.kind, END_STREAM) {
                    continue;
                }
                assert_eq!(frame.payload, frames::message(b"again"));
                if calls.fetch_add(1, SeqCst).is_multiple_of(2) || always.load(SeqCst) {
                    let code = REFUSED_STREAM.to_be_bytes();
                    frames.send(RST_STREAM, 0, frame.stream, &code).await;
                } else {
                    frames.head(frame.stream, END_STREAM, &ok).await;
                }
            }
        }
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let client = raw::connect(gateway.front()).await;
    let ask = async || {
        let (response, mut body) = raw::open(&client, raw::grpc("/echo.Echo/Unary")).await;
        body.send_data(frames::message(b"again").into(), true).unwrap();
        raw::Answer::of(response).await
    };
    assert_eq!(ask().await.header("grpc-status"), Some(&b"0"[..]));
    assert_eq!(calls.load(SeqCst), 2);
    always.store(true, SeqCst);
    assert_eq!(ask().await.header("grpc-status"), Some(&b"14"[..]));
    assert_eq!(calls.load(SeqCst), 4, "once more, and not again");
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_retries_total", &[]), 2.0);
    gateway.idle().await;
}
