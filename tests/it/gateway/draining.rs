//! Draining of removed backends: requests finish, or are cut off at the timeout.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::support::backend::Backend;
use crate::support::client::{self, Client, held, message};
use crate::support::echo::Message;
use crate::support::gateway::{Gateway, one_service};
use crate::support::{eventually, soon};

/// A stream that stays open until its client or the gateway ends it.
struct Open {
    requests: mpsc::Sender<Message>,
    answers: Streaming<Message>,
}

impl Open {
    /// Opens one at each of these in order; the policy is `round_robin`.
    async fn at_each(client: &mut Client, backends: &[Backend]) -> Vec<Open> {
        let mut open = Vec::new();
        while open.len() < backends.len() {
            let (requests, receiver) = mpsc::channel(1);
            let answer = client.bidi(ReceiverStream::new(receiver)).await.unwrap();
            let at = client::backend(&answer);
            let at = backends.iter().position(|backend| backend.address == at).unwrap();
            if open.iter().all(|(known, _)| *known != at) {
                let mut stream = Open { requests, answers: answer.into_inner() };
                stream.talks().await;
                open.push((at, stream));
            }
        }
        open.sort_by_key(|(at, _)| *at);
        open.into_iter().map(|(_, stream)| stream).collect()
    }

    async fn talks(&mut self) {
        self.requests.send(message("x")).await.unwrap();
        soon("an echo", self.answers.message()).await.unwrap().unwrap();
    }

    /// How it ends, of which its client knows nothing.
    async fn ends(&mut self) -> Status {
        soon("the end", self.answers.message()).await.unwrap_err()
    }
}

fn is_cut_off(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("taken out of service"), "{status}");
}

/// Removed by a reload, and by an operator.
#[tokio::test]
async fn what_is_removed_finishes_within_its_time_and_is_cut_off_then() {
    let backends = [Backend::start().await, Backend::start().await];
    let [stays, goes] = backends.each_ref().map(|backend| backend.address);
    let limit = "balancer: round_robin\nendpoint_drain_timeout: 1s";
    let yaml = one_service(&[stays, goes], limit);
    let mut gateway = Gateway::start(&yaml).await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    for cut in 1..=2 {
        let mut streams = Open::at_each(&mut client, &backends).await;
        let (mut other, seen) = (gateway.client().await, backends[1].seen.requests());
        match cut {
            1 => assert!(gateway.reload(&one_service(&[stays], limit)).await),
            _ => control.remove(&[goes]).await,
        }
        is_cut_off(&streams[1].ends().await);
        streams[0].talks().await;
        other.unary(message("x")).await.unwrap();
        assert_eq!(backends[1].seen.requests(), seen, "nothing new");
        let page = gateway.metrics().await;
        assert_eq!(page.value("equipoise_drain_cut_total", &[("service", "echo")]), f64::from(cut));
        match cut {
            1 => assert!(gateway.reload(&yaml).await),
            _ => control.add(goes).await,
        }
    }
    drop(client);
    gateway.idle().await;
}

#[tokio::test]
async fn what_is_drained_goes_on_for_as_long_as_it_likes() {
    let backends = [Backend::start().await, Backend::start().await];
    let [stays, goes] = backends.each_ref().map(|backend| backend.address);
    let settings = "balancer: round_robin\nendpoint_drain_timeout: 1ms";
    let gateway = Gateway::start(&one_service(&[stays, goes], settings)).await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    let mut streams = Open::at_each(&mut client, &backends).await;
    control.drain(goes).await;
    // What is removed beside it is cut off meanwhile.
    control.remove(&[stays]).await;
    is_cut_off(&streams[0].ends().await);
    streams[1].talks().await;
    drop(streams);
    control.backends_once("it is empty", |all| all[0].open_streams == 0).await;
}

/// A removed service, and calls without a response yet.
#[tokio::test]
async fn what_a_service_has_open_when_it_goes_is_cut_off_too() {
    let backend = Backend::start().await;
    let settings = "endpoint_drain_timeout: 200ms";
    let mut gateway = Gateway::start(&one_service(&[backend.address], settings)).await;
    let mut client = gateway.client().await;
    let waiting = tokio::spawn(async move { client.unary(held()).await.unwrap_err() });
    eventually("it is there", async || backend.seen.active() == 1).await;
    let other = one_service(&[backend.address], settings).replace("echo", "other");
    assert!(gateway.reload(&other).await);
    is_cut_off(&soon("the end", waiting).await.unwrap());
    eventually("it is told", async || backend.seen.active() == 0).await;
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_drain_cut_total", &[("service", "echo")]), 1.0);
}
