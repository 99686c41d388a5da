//! Streams beside calls: what is open for long must not decide where calls go.

use std::net::SocketAddr;

use equipoise::control::proto::{self, BackendState};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Streaming};

use crate::support::backend::{Backend, Options};
use crate::support::client::{self, Client, held, message, with};
use crate::support::echo::Message;
use crate::support::eventually;
use crate::support::gateway::{Gateway, one_service};

const BACKENDS: usize = 4;

async fn several() -> Vec<Backend> {
    let mut backends = Vec::new();
    for _ in 0..BACKENDS {
        backends.push(Backend::start().await);
    }
    backends
}

async fn gateway(backends: &[Backend], settings: &str) -> Gateway {
    let addresses: Vec<SocketAddr> = backends.iter().map(|backend| backend.address).collect();
    Gateway::start(&one_service(&addresses, settings)).await
}

/// A stream that is open until this is dropped.
struct Open {
    backend: SocketAddr,
    requests: mpsc::Sender<Message>,
    answers: Streaming<Message>,
}

impl Open {
    async fn at(client: &mut Client) -> Open {
        let (requests, receiver) = mpsc::channel(1);
        let answer = client.bidi(ReceiverStream::new(receiver)).await.unwrap();
        Open { backend: client::backend(&answer), requests, answers: answer.into_inner() }
    }

    /// Sends a message and waits for its echo, so many times.
    async fn talk(&mut self, times: u32) {
        for _ in 0..times {
            self.requests.send(message("x")).await.unwrap();
            self.answers.message().await.unwrap().unwrap();
        }
    }
}

/// How many of so many calls, one after the other, each backend gets.
async fn calls(client: &mut Client, backends: &[Backend], count: usize) -> Vec<usize> {
    let before: Vec<usize> = backends.iter().map(|backend| backend.seen.requests()).collect();
    for _ in 0..count {
        let _ = client.unary(message("x")).await; // some are to fail
    }
    backends.iter().zip(before).map(|(backend, before)| backend.seen.requests() - before).collect()
}

fn index(backends: &[Backend], address: SocketAddr) -> usize {
    backends.iter().position(|backend| backend.address == address).unwrap()
}

/// Of 400 calls, a fair quarter is 100; nearly five standard deviations below that is 60.
const CALLS: usize = 400;
const FEW: usize = 60;

/// Waits until a backend gets a part of the calls that chance explains. At once it need not, as
/// on a busy machine one may really be slow.
async fn has_its_share(client: &mut Client, backends: &[Backend], index: usize) {
    let what = format!("{} gets calls", backends[index].address);
    eventually(&what, async || calls(client, backends, CALLS).await[index] > FEW).await;
}

/// A penalty that no latency comes near.
const PENALTY: &str = "balancer: { policy: p2c_ewma, penalty: 1h }";

/// Whether none of the penalty is in what is known of a backend.
fn is_unblemished(backend: &proto::Backend) -> bool {
    backend.ewma_seconds < 60.0
}

#[tokio::test]
async fn an_idle_stream_takes_no_calls_away() {
    for policy in ["p2c_ewma", "least_request"] {
        let backends = several().await;
        let gateway = gateway(&backends, &format!("balancer: {{ policy: {policy} }}")).await;
        let mut client = gateway.client().await;
        let mut stream = Open::at(&mut client).await;
        stream.talk(2).await;
        has_its_share(&mut client, &backends, index(&backends, stream.backend)).await;
    }
}

/// The head alone has to do: the backend has nothing to say yet.
#[tokio::test]
async fn a_stream_on_which_nothing_was_said_is_one_too() {
    let backends = several().await;
    let gateway = gateway(&backends, "").await;
    let mut client = gateway.client().await;
    let stream = Open::at(&mut client).await;
    has_its_share(&mut client, &backends, index(&backends, stream.backend)).await;
}

#[tokio::test]
async fn messages_are_counted_both_ways_whether_a_stream_was_known_or_not() {
    for settings in ["", "streams: [ echo.Echo/Bidi ]"] {
        let backends = several().await;
        let gateway = gateway(&backends, settings).await;
        let mut client = gateway.client().await;
        for _ in 0..2 {
            Open::at(&mut client).await.talk(10).await;
        }
        let page = gateway.metrics().await;
        for direction in ["request", "response"] {
            let counted = page.samples("equipoise_stream_messages_total").iter();
            let counted = counted.filter(|sample| sample.labels["direction"] == direction);
            let sum: f64 = counted.map(|sample| sample.value).sum();
            assert_eq!(sum, 20.0, "{direction} `{settings}`");
        }
    }
}

/// A call that owes its answer stays a call, whatever its client sends.
#[tokio::test]
async fn a_call_that_hangs_is_no_stream_however_much_its_client_says() {
    let backends = several().await;
    let gateway = gateway(&backends, "").await;
    let mut client = gateway.client().await;
    let mut hung = Vec::new();
    for _ in 0..20 {
        let (requests, receiver) = mpsc::channel(4);
        for _ in 0..3 {
            requests.send(message("x")).await.unwrap();
        }
        let mut client = client.clone();
        let mut request = Request::new(ReceiverStream::new(receiver));
        request.metadata_mut().insert("x-hold", "1".parse().unwrap());
        hung.push((requests, tokio::spawn(async move { client.bidi(request).await })));
    }
    let mut control = gateway.control().await;
    let in_flight = |all: &[proto::Backend]| -> Vec<u32> {
        all.iter().map(|backend| backend.in_flight).collect()
    };
    let all = |all: &[proto::Backend]| in_flight(all).iter().sum::<u32>() == 20;
    control.backends_once("all hang", all).await;
    let _ = calls(&mut client, &backends, 100).await;
    assert!(all(&control.backends().await));
    backends.iter().for_each(Backend::release);
}

#[tokio::test]
async fn after_a_hiccup_a_backend_gets_its_share_though_streams_are_open() {
    let backends = several().await;
    let gateway = gateway(&backends, "").await;
    let mut client = gateway.client().await;
    let mut streams = Vec::new();
    for _ in 0..40 {
        let mut stream = Open::at(&mut client).await;
        stream.talk(2).await;
        streams.push(stream);
    }
    backends[0].fail(true);
    let got = calls(&mut client, &backends, CALLS).await;
    assert!(got[0] < 50, "it is avoided: {got:?}");
    backends[0].fail(false);
    has_its_share(&mut client, &backends, 0).await;
}

#[tokio::test]
async fn new_streams_are_even_whatever_calls_are_in_flight() {
    for settings in ["", "balancer: { policy: least_request }", "streams: [ echo.Echo/Bidi ]"] {
        let backends = several().await;
        let gateway = gateway(&backends, settings).await;
        let mut client = gateway.client().await;
        let mut hung = Vec::new();
        for number in 0..30 {
            let mut client = client.clone();
            hung.push(tokio::spawn(async move { client.unary(held()).await }));
            let active = || backends.iter().map(|backend| backend.seen.active()).sum::<usize>();
            eventually("it hangs", async || active() > number).await;
        }
        let mut streams = Vec::new();
        let mut open = vec![0; BACKENDS];
        for _ in 0..40 {
            let mut stream = Open::at(&mut client).await;
            if !settings.contains("Bidi") {
                stream.talk(2).await; // so that it is learnt
            }
            open[index(&backends, stream.backend)] += 1;
            streams.push(stream);
        }
        assert!(open.iter().all(|count| (9..=11).contains(count)), "`{settings}`: {open:?}");
        backends.iter().for_each(Backend::release);
        for call in hung {
            call.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn the_life_of_a_stream_is_no_latency() {
    let backends = several().await;
    let gateway = gateway(&backends, "").await;
    let mut client = gateway.client().await;
    for _ in 0..10 {
        let mut stream = Open::at(&mut client).await;
        stream.talk(3).await;
        drop(stream.requests);
        assert!(stream.answers.message().await.unwrap().is_none(), "it ends well");
    }
    let _ = calls(&mut client, &backends, 30).await;
    gateway.idle().await;
    let page = gateway.metrics().await;
    let durations = page.samples("equipoise_request_duration_seconds").iter();
    let counts = durations.filter(|sample| sample.name.ends_with("_count"));
    assert_eq!(counts.map(|sample| sample.value).sum::<f64>(), 30.0);
}

#[tokio::test]
async fn nonsense_drives_no_traffic_away_from_a_backend() {
    let nonsense = [
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::ResourceExhausted,
        Code::Unimplemented,
        Code::Internal,
    ];
    for code in nonsense {
        let backends = several().await;
        let gateway = gateway(&backends, PENALTY).await;
        let mut client = gateway.client().await;
        for _ in 0..CALLS {
            let mut request = with("x", "x-status", &i32::from(code).to_string());
            let only = backends[0].address.to_string();
            request.metadata_mut().insert("x-status-of", only.parse().unwrap());
            let _ = client.unary(request).await;
        }
        let known = gateway.control().await.backends().await;
        assert!(known.iter().all(is_unblemished), "{code:?}: {known:?}");
    }
}

#[tokio::test]
async fn a_backend_that_was_killed_has_its_share_as_soon_as_it_is_connected_again() {
    let mut backends = several().await;
    let gateway = gateway(&backends, PENALTY).await;
    let (mut client, mut control) = (gateway.client().await, gateway.control().await);
    let _ = calls(&mut client, &backends, 100).await;
    let address = backends[0].address;
    backends[0].kill();
    eventually("it is known to be away", async || {
        let _ = calls(&mut client, &backends, 10).await;
        control.backends().await[0].effective_weight == 0
    })
    .await;
    let options = Options { address: Some(address), ..Options::default() };
    backends[0] = Backend::with(options).await;
    // No call has to be risked on it: it is tried again by itself.
    let state = |all: &[proto::Backend]| all[0].state();
    let ready = |all: &[proto::Backend]| state(all) == BackendState::Ready;
    let known = control.backends_once("it is connected", ready).await;
    assert!(is_unblemished(&known[0]), "{known:?}");
    has_its_share(&mut client, &backends, 0).await;
}
