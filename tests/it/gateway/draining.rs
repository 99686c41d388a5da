//! Draining of removed backends: requests finish, or are cut off at the timeout.

use std::process::{Child, Command, Stdio};

use equipoise::control::proto::{self, BackendState::Draining};
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
                stream.talks().await; // by then it is known to be a stream
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

/// `equipoise ctl` with this line, started.
pub fn ctl(gateway: &Gateway, line: &str) -> Child {
    let control = gateway.control_address().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_equipoise"));
    command.args(["ctl", "--control", &control]).args(line.split_whitespace());
    command.env_remove("EQUIPOISE_CONTROL").stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Its standard output and standard error, once it has ended.
pub async fn over(child: Child) -> (String, String) {
    let ends = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap());
    let output = soon("the end", ends).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn who_drains_may_wait_until_it_is_empty() {
    let backends = [Backend::start().await, Backend::start().await];
    let addresses = backends.each_ref().map(|backend| backend.address);
    let gateway = Gateway::start(&one_service(&addresses, "balancer: round_robin")).await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    let mut streams = Open::at_each(&mut client, &backends).await;
    let line = format!("drain echo {} --wait", addresses[1]);
    let mut given_up = ctl(&gateway, &line);
    let is_drained = |all: &[proto::Backend]| all[1].state() == Draining;
    control.backends_once("it is drained", is_drained).await;
    given_up.kill().unwrap();
    given_up.wait().unwrap();
    let waiting = ctl(&gateway, &line);
    let revision = |all: &[proto::Backend]| all[1].since.as_ref().map(|since| since.revision);
    control.backends_once("it is drained again", |all| revision(all) == Some(3)).await;
    streams[1].talks().await;
    let about = control.backends().await;
    assert_eq!((about[1].state(), about[1].open_streams), (Draining, 1), "whoever has given up");
    drop(streams.pop());
    let (out, said) = over(waiting).await;
    assert!(out.ends_with(&format!(", {} is empty\n", addresses[1])), "{out}");
    assert_eq!(said, "1 request in flight, of them 1 streams\n");
    streams[0].talks().await;
}

#[tokio::test]
async fn who_drains_may_cut_off_what_is_left() {
    let backends = [Backend::start().await, Backend::start().await];
    let addresses = backends.each_ref().map(|backend| backend.address);
    let settings = "balancer: round_robin\nendpoint_drain_timeout: 0s";
    let gateway = Gateway::start(&one_service(&addresses, settings)).await;
    let mut client = gateway.client().await;
    let mut streams = Open::at_each(&mut client, &backends).await;
    let line = format!("drain echo {} --wait --timeout 300ms --output json", addresses[1]);
    let (out, said) = over(ctl(&gateway, &line)).await;
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        told,
        serde_json::json!({ "service": "echo", "revision": 2, "durable": false, "cut": 1 })
    );
    // On a busy machine all is over before the first look.
    assert!(["", "1 request in flight, of them 1 streams\n"].contains(&&*said), "{said}");
    is_cut_off(&streams[1].ends().await);
    streams[0].talks().await;
    // Once it is back, nothing of that holds.
    let mut control = gateway.control().await;
    control.undrain(addresses[1]).await;
    let mut streams = Open::at_each(&mut client, &backends).await;
    control.drain(addresses[1]).await;
    streams[1].talks().await;
}

#[tokio::test]
async fn only_a_drained_backend_is_followed() {
    let backends = [Backend::start().await, Backend::start().await];
    let [stays, goes] = backends.each_ref().map(|backend| backend.address);
    let gateway = Gateway::start(&one_service(&[stays, goes], "balancer: round_robin")).await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    let request = |backend: &str| proto::WatchDrainRequest {
        service: "echo".into(),
        backend: backend.into(),
    };
    let address = goes.to_string();
    let codes = [("nobody:1", Code::InvalidArgument), (&*address, Code::FailedPrecondition)];
    for (backend, code) in codes {
        let refused = control.0.watch_drain(request(backend)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
    let _streams = Open::at_each(&mut client, &backends).await;
    control.drain(goes).await;
    let mut progress = control.0.watch_drain(request(&address)).await.unwrap().into_inner();
    let now = proto::DrainProgress { in_flight: 0, open_streams: 1, cut: 0 };
    assert_eq!(progress.message().await.unwrap(), Some(now));
    control.undrain(goes).await;
    let aborted = soon("the end", progress.message()).await.unwrap_err();
    assert_eq!(aborted.code(), Code::Aborted, "{aborted}");
}
