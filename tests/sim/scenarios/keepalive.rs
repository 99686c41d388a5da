//! Backends that say nothing while they owe an answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use equipoise::net::Memory;
use equipoise::telemetry::{CloseReason, Side};
use h2::RecvStream;
use h2::client::ResponseFuture;
use http::Request;
use tokio::io::AsyncReadExt as _;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use super::frames::{ACK, Frames, GOAWAY, HEADERS, PING, SETTINGS};
use super::soon;
use super::stage::{Gateway, Stage};

const ENHANCE_YOUR_CALM: u32 = 11;

/// What a backend has seen.
#[derive(Default)]
struct Seen {
    connections: Cell<usize>,
    /// The seconds after the request at which PINGs came.
    pings: RefCell<Vec<u64>>,
}

/// A backend that answers requests with a head, and PINGs, if it is `alive`, and says nothing else.
/// Past `most` PINGs on a connection it says that they were too many.
fn backend(stage: &Stage, alive: bool, most: usize) -> Rc<Seen> {
    let (mut accepted, seen) = (stage.backend(), Rc::<Seen>::default());
    let shared = Rc::clone(&seen);
    spawn_local(async move {
        while let Some(connection) = accepted.recv().await {
            shared.connections.set(shared.connections.get() + 1);
            spawn_local(serve(connection, alive, most, Rc::clone(&shared)));
        }
    });
    seen
}

async fn serve(connection: Memory, alive: bool, most: usize, seen: Rc<Seen>) {
    let mut frames = Frames::server(connection).await;
    let (mut asked, mut came) = (Instant::now(), 0);
    while let Some((kind, flags, stream, payload)) = next(&mut frames).await {
        match kind {
            SETTINGS if flags & ACK == 0 => frames.send(SETTINGS, ACK, 0, &[]).await,
            HEADERS => {
                asked = Instant::now();
                if alive {
                    let head = [(":status", "200"), ("content-type", "application/grpc")];
                    frames.head(stream, 0, &head).await;
                }
            }
            PING => {
                came += 1;
                seen.pings.borrow_mut().push(asked.elapsed().as_secs());
                if came > most {
                    let code = [u32::MAX >> 1, ENHANCE_YOUR_CALM].map(u32::to_be_bytes).concat();
                    frames.send(GOAWAY, 0, 0, &[&code, &b"too_many_pings"[..]].concat()).await;
                    return;
                }
                if alive {
                    frames.send(PING, ACK, 0, &payload).await;
                }
            }
            _ => {}
        }
    }
}

/// The next frame, however long it takes: its kind, flags, stream and payload.
async fn next(frames: &mut Frames<Memory>) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    frames.socket.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    frames.socket.read_exact(&mut payload).await.ok()?;
    Some((kind, flags, u32::from_be_bytes(stream), payload))
}

/// Sends a request, which the client leaves open for as long as it is answered.
async fn ask(gateway: &Gateway) -> ResponseFuture {
    let (client, connection) = h2::client::handshake(gateway.dial()).await.unwrap();
    spawn_local(connection);
    let request = Request::post("http://shop/shop.Orders/Watch")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let mut client = client.ready().await.unwrap();
    client.send_request(request, true).unwrap().0
}

/// The status that a call ends with.
async fn status(response: ResponseFuture) -> String {
    let response = response.await.unwrap();
    let status =
        |headers: &http::HeaderMap| Some(headers.get("grpc-status")?.to_str().ok()?.into());
    if let Some(status) = status(response.headers()) {
        return status;
    }
    let mut body: RecvStream = response.into_body();
    while let Some(data) = body.data().await {
        data.unwrap();
    }
    status(&body.trailers().await.unwrap().unwrap_or_default()).unwrap_or_default()
}

/// A stream on which nothing happens for half an hour costs no strike that a gRPC server would close
/// the connection for, and no connection.
pub async fn a_silent_stream_is_asked_after_as_seldom_as_servers_permit(stage: Stage) {
    let seen = backend(&stage, true, usize::MAX);
    let gateway = stage.gateway("").await;
    let open = spawn_local(status(ask(&gateway).await));
    sleep(Duration::from_secs(1800)).await;
    assert!(!open.is_finished());
    assert_eq!(*seen.pings.borrow(), [10, 20, 330, 640, 950, 1260, 1570]);
    assert_eq!((seen.connections.get(), gateway.metrics.open(Side::Upstream)), (1, 1));
}

/// Where the backends permit it, there is one at each interval.
pub async fn backends_that_permit_it_are_asked_at_each_interval(stage: Stage) {
    let seen = backend(&stage, true, usize::MAX);
    let gateway = stage.gateway("keepalive: { interval: 2s, permitted: true }").await;
    let open = spawn_local(status(ask(&gateway).await));
    sleep(Duration::from_secs(11)).await;
    assert!(!open.is_finished());
    assert_eq!(*seen.pings.borrow(), [2, 4, 6, 8, 10]);
}

/// Who has no stream open owes nothing.
pub async fn nobody_is_asked_who_owes_nothing(stage: Stage) {
    let seen = backend(&stage, true, usize::MAX);
    let gateway = stage.gateway("preconnect: 1").await;
    sleep(Duration::from_secs(1800)).await;
    assert_eq!((seen.connections.get(), seen.pings.borrow().len()), (1, 0));
    assert_eq!(gateway.metrics.open(Side::Upstream), 1);
}

/// Whoever does not answer the PING is dead: what is open there ends.
pub async fn calls_end_with_a_connection_that_is_dead(stage: Stage) {
    let seen = backend(&stage, false, usize::MAX);
    let gateway = stage.gateway("keepalive: { interval: 3s, timeout: 2s }").await;
    let sent = Instant::now();
    let status = soon("the end", status(ask(&gateway).await)).await;
    assert_eq!((status.as_str(), sent.elapsed().as_secs()), ("14", 5));
    assert_eq!(*seen.pings.borrow(), [3]);
    assert_eq!(gateway.metrics.closed(Side::Upstream, CloseReason::Keepalive), 1);
}

/// A server that has had too many is sent half as many.
pub async fn who_says_too_many_gets_half_as_many(stage: Stage) {
    let seen = backend(&stage, true, 1);
    let gateway = stage.gateway("keepalive: { permitted: true }").await;
    for pings in [[10, 20], [20, 40], [40, 80]] {
        seen.pings.borrow_mut().clear();
        let status = status(ask(&gateway).await).await;
        assert_eq!(status, "14");
        assert_eq!(*seen.pings.borrow(), pings);
    }
}
