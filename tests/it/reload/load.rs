//! A hundred reloads under load, with long streams open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use crate::support::backend::Backend;
use crate::support::client::{Client, message};
use crate::support::gateway::Gateway;
use crate::support::{eventually, soon};

const RELOADS: usize = 100;
const STREAMS: usize = 40;

/// A configuration that differs from the previous one in each part.
fn configuration(number: usize, backends: &[Backend]) -> String {
    let address = |i: usize| -> SocketAddr { backends[i % backends.len()].address };
    let policy = ["p2c_ewma", "round_robin", "weighted_random"][number % 3];
    let pending = 1000 + number % 2;
    let weight = 1 + number % 5;
    let (first, second) = (address(number), address(number + 1));
    let extra = if number.is_multiple_of(2) { "  - address: 127.0.0.2:0\n" } else { "" };
    let name = ["echo", "other"][number / 4 % 2];
    format!(
        "\
workers: 2
listeners:
  - address: 127.0.0.1:0
    limits: {{ max_streams: {weight}00 }}
{extra}control: {{ address: 127.0.0.1:0 }}
metrics: {{ address: 127.0.0.1:0 }}
services:
  {name}:
    balancer: {{ policy: {policy} }}
    connect_timeout: 60s
    pending_timeout: 60s
    max_pending: {pending}
    endpoints: [ {{ address: \"{first}\", weight: {weight} }}, {{ address: \"{second}\" }} ]
routes:
  - match: {{ grpc: echo.Echo/Unary }}
    service: {name}
  - service: {name}
"
    )
}

/// An open echo stream.
struct Talk {
    said: mpsc::Sender<crate::support::echo::Message>,
    answers: tonic::Streaming<crate::support::echo::Message>,
}

impl Talk {
    async fn begin(client: &mut Client) -> Talk {
        let (said, heard) = mpsc::channel(1);
        let answers = client.bidi(ReceiverStream::new(heard)).await.unwrap().into_inner();
        Talk { said, answers }
    }

    async fn say(&mut self, text: &str) {
        self.said.send(message(text)).await.unwrap();
        let answer = soon("an answer", self.answers.message()).await.unwrap().unwrap();
        assert_eq!(answer.payload, text.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_fail_no_request_and_close_no_stream() {
    let mut backends = Vec::new();
    for _ in 0..3 {
        backends.push(Backend::start().await);
    }
    let mut gateway = Gateway::start(&configuration(0, &backends)).await;
    let mut talks = Vec::new();
    for _ in 0..STREAMS / 10 {
        let mut client = gateway.client().await;
        for _ in 0..10 {
            talks.push(Talk::begin(&mut client).await);
        }
    }
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let mut client = gateway.client().await;
        let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
        callers.spawn(async move {
            while !stop.load(SeqCst) {
                client.unary(message("x")).await.unwrap();
                done.fetch_add(1, SeqCst);
            }
        });
    }
    for number in 1..=RELOADS {
        let before = done.load(SeqCst);
        assert!(gateway.reload(&configuration(number, &backends)).await);
        talks[number % STREAMS].say("in between").await;
        eventually("calls go on", async || done.load(SeqCst) > before + 20).await;
    }
    stop.store(true, SeqCst);
    while let Some(caller) = soon("the callers end", callers.join_next()).await {
        caller.unwrap();
    }
    for talk in &mut talks {
        talk.say("to the last").await;
    }
    for Talk { said, mut answers } in talks {
        drop(said);
        assert!(soon("it ends", answers.message()).await.unwrap().is_none());
    }
    gateway.idle().await;
    let page = gateway.metrics().await;
    let reloads = page.value("equipoise_config_reloads_total", &[("result", "success")]);
    assert_eq!(reloads, RELOADS as f64);
    // Only the last configuration's pools are left: 2 backends for each of 2 workers.
    eventually("old connections are parted with", async || {
        let page = gateway.metrics().await;
        page.value("equipoise_connections", &[("side", "upstream")]) <= 4.0
    })
    .await;
}
