//! Backends with rapid-reset guards: every cancellation is forwarded, and no guard is triggered.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use equipoise::net::Memory;
use equipoise::telemetry::{CloseReason, Side};
use http::Response;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::sleep;

use super::frames::{DATA, END_STREAM, Frames, HEADERS, RST_STREAM};
use super::netty::Netty;
use super::stage::Stage;
use super::{eventually, soon};

const CANCEL: [u8; 4] = 8u32.to_be_bytes();

/// Resets of streams that the backend may not have accepted yet are delayed by 20 ms and a tick.
const AT_ONCE: Duration = Duration::from_millis(60);

type Client = Frames<Memory>;

async fn at_once(what: &str, check: impl Fn() -> bool) {
    sleep(AT_ONCE).await;
    assert!(check(), "too late: {what}");
}

/// Opens a stream and waits for its response head.
async fn open(client: &mut Client, id: u32) {
    client.grpc(id, 0, "/shop.Orders/Watch", &[]).await;
    client.find(|frame| frame.kind == HEADERS && frame.stream == id).await;
}

/// Makes a call, which succeeds.
async fn call(client: &mut Client, id: u32) {
    client.grpc(id, END_STREAM, "/shop.Orders/Get", &[]).await;
    let frame = client.find(|frame| frame.stream == id).await;
    assert!(frame.is(HEADERS, END_STREAM), "{frame:?}");
    assert!(frame.payload.ends_with(b"0"), "{frame:?}");
}

/// Checks that the stream still works: the backend echoes.
async fn talk(client: &mut Client, id: u32) {
    client.send(DATA, 0, id, b"\0\0\0\0\x02ho").await;
    client.find(|frame| frame.kind == DATA && frame.stream == id).await;
}

/// Sequential streams, more than any backend lets one reset on one connection.
pub async fn every_cancellation_is_told_at_once(stage: Stage) {
    let backend = Netty::on(&stage);
    let gateway = stage.gateway("").await;
    let mut watcher = gateway.client().await;
    open(&mut watcher, 1).await;
    let mut client = gateway.client().await;
    for number in 0..900 {
        open(&mut client, 2 * number + 1).await;
        client.send(RST_STREAM, 0, 2 * number + 1, &CANCEL).await;
        if number % 150 == 149 {
            at_once("the backend knows of all", || backend.seen(|seen| seen.open()) == 1).await;
        }
    }
    assert_eq!(backend.seen(|seen| (seen.tripped, seen.resets)), (0, 900));
    talk(&mut watcher, 1).await;
}

/// A client disconnects with a thousand streams, and another's are unaffected.
pub async fn a_thousand_streams_are_given_up_at_once(stage: Stage) {
    let backend = Netty::on(&stage);
    let gateway = stage.gateway("").await;
    let mut watcher = gateway.client().await;
    open(&mut watcher, 1).await;
    let mut client = gateway.client().await;
    for number in 0..1000 {
        client.grpc(2 * number + 1, 0, "/shop.Orders/Watch", &[]).await;
    }
    eventually("all are open", || backend.seen(|seen| seen.open()) == 1001).await;
    drop(client);
    at_once("the backend knows of all", || backend.seen(|seen| seen.open()) == 1).await;
    assert_eq!(backend.seen(|seen| seen.tripped), 0);
    assert!(backend.seen(|seen| seen.most) <= 8);
    talk(&mut watcher, 1).await;
}

/// At the connection limit, connections without wanted streams are closed.
pub async fn the_end_of_a_connection_tells_of_all_that_was_on_it(stage: Stage) {
    let backend = Netty::on(&stage);
    let gateway = stage.gateway("max_connections: 1").await;
    let mut client = gateway.client().await;
    for number in 0..1000 {
        client.grpc(2 * number + 1, 0, "/shop.Orders/Watch", &[]).await;
    }
    eventually("all are open", || backend.seen(|seen| seen.open()) == 1000).await;
    assert_eq!(backend.seen(|seen| seen.made), 1);
    drop(client);
    at_once("the backend knows of all", || backend.seen(|seen| seen.open()) == 0).await;
    assert_eq!(backend.seen(|seen| seen.tripped), 0);
    let mut client = gateway.client().await;
    call(&mut client, 1).await;
    assert_eq!(gateway.metrics.closed(Side::Upstream, CloseReason::Cancelled), 1);
}

/// One client opens and cancels streams as fast as it can. Others' streams stay, their calls
/// succeed, and the number of connections stays bounded.
pub async fn a_flood_takes_nothing_from_others(stage: Stage) {
    let backend = Netty::on(&stage);
    let gateway = stage.gateway("max_connections: 2").await;
    let (stop, stopped) = watch::channel(false);
    let mut client = gateway.client().await;
    let flood = spawn_local(async move {
        for number in 0..2500 {
            open(&mut client, 2 * number + 1).await;
            client.send(RST_STREAM, 0, 2 * number + 1, &CANCEL).await;
        }
        stop.send_replace(true);
    });
    let mut others = JoinSet::new();
    for _ in 0..4 {
        let (mut client, stopped) = (gateway.client().await, stopped.clone());
        others.spawn_local(async move {
            open(&mut client, 1).await;
            for number in 1.. {
                call(&mut client, 2 * number + 1).await;
                if *stopped.borrow() {
                    break;
                }
            }
            talk(&mut client, 1).await;
            client
        });
    }
    soon("the flood is over", flood).await.unwrap();
    let clients = soon("the calls succeed", others.join_all()).await;
    at_once("the backend knows of all", || backend.seen(|seen| seen.open()) == 4).await;
    let (tripped, resets, most, made) =
        backend.seen(|seen| (seen.tripped, seen.resets, seen.most, seen.made));
    assert_eq!((tripped, resets), (0, 2500));
    // Twice the limit, and one that closes while the next opens.
    assert!(most <= 2 * 2 + 1, "{most} of {made} connections at a time");
    drop(clients);
}

/// Every connection up to the limit carries another's stream and was sent many resets: in the end
/// only the client that caused them is refused.
pub async fn only_who_gives_up_much_waits(stage: Stage) {
    let backend = Netty::on(&stage);
    let gateway = stage.gateway("max_connections: 1, pending_timeout: 200ms").await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(gateway.client().await);
    }
    let [mut first, mut second, mut flood] = <[Client; 3]>::try_from(clients).ok().unwrap();
    open(&mut first, 1).await;
    let (mut cancelled, mut pinned) = (0, false);
    loop {
        let id = 2 * cancelled + 1;
        flood.grpc(id, 0, "/shop.Orders/Watch", &[]).await;
        let head = flood.find(|frame| frame.kind == HEADERS && frame.stream == id).await;
        if head.flags & END_STREAM != 0 {
            break; // refused
        }
        flood.send(RST_STREAM, 0, id, &CANCEL).await;
        cancelled += 1;
        if !pinned && backend.seen(|seen| seen.made) == 2 {
            at_once("it is told", || backend.seen(|seen| seen.open()) == 1).await;
            open(&mut second, 1).await;
            pinned = true;
        }
        assert!(cancelled < 400, "it goes on as if nothing were");
    }
    assert!(cancelled > 250, "{cancelled}");
    let mut calm = gateway.client().await;
    call(&mut calm, 1).await;
    open(&mut calm, 3).await;
    calm.send(RST_STREAM, 0, 3, &CANCEL).await;
    at_once("the backend knows of all", || backend.seen(|seen| seen.open()) == 2).await;
    talk(&mut first, 1).await;
    talk(&mut second, 1).await;
    assert_eq!(backend.seen(|seen| (seen.tripped, seen.most)), (0, 2));
}

/// The h2 crate counts streams that were reset before it accepted them, and closes the connection
/// at 20: as would happen if cancelled requests were sent together with their resets.
pub async fn what_has_not_left_is_never_sent(stage: Stage) {
    let (reads, may_read) = watch::channel(false);
    let seen = h2_backend(&stage, may_read);
    let gateway = stage.gateway("").await;
    let mut client = gateway.client().await;
    client.grpc(1, 0, "/shop.Orders/Put", &[]).await;
    fill(&mut client, 1).await;
    for id in (3..103).step_by(2) {
        client.grpc(id, 0, "/shop.Orders/Put", &[]).await;
    }
    eventually("all are in flight", || gateway.calls() == 51).await;
    for id in (3..103).step_by(2) {
        client.send(RST_STREAM, 0, id, &CANCEL).await;
    }
    eventually("all are given up", || gateway.calls() == 1).await;
    reads.send_replace(true);
    call(&mut client, 201).await;
    assert_eq!((seen.requests.get(), seen.errors.get()), (2, 0));
}

/// Sends on a stream until no more credit is granted.
async fn fill(client: &mut Client, id: u32) {
    const WINDOW_UPDATE: u8 = 8;
    // The listener's default windows; the connection's is granted at the start.
    let (mut on_stream, mut on_all) = (1 << 20, 65_535);
    loop {
        let quiet = Duration::from_secs(2);
        let Ok(frame) = tokio::time::timeout(quiet, client.next()).await else { return };
        let frame = frame.expect("the connection stays");
        match (frame.kind, frame.stream) {
            (WINDOW_UPDATE, 0) => on_all += frame.word(),
            (WINDOW_UPDATE, _) => on_stream += frame.word(),
            _ => {}
        }
        while on_stream.min(on_all) >= 16_000 {
            client.send(DATA, 0, id, &[0; 16_000]).await;
            (on_stream, on_all) = (on_stream - 16_000, on_all - 16_000);
        }
    }
}

/// What a backend received.
#[derive(Default)]
struct Seen {
    requests: Cell<usize>,
    errors: Cell<usize>,
}

/// An h2 backend that reads up to its first request, and on when released.
fn h2_backend(stage: &Stage, may_read: watch::Receiver<bool>) -> Rc<Seen> {
    let seen = Rc::<Seen>::default();
    let shared = Rc::clone(&seen);
    let mut accepted = stage.backend();
    spawn_local(async move {
        while let Some(connection) = accepted.recv().await {
            spawn_local(serve(connection, Rc::clone(&shared), may_read.clone()));
        }
    });
    seen
}

async fn serve(connection: Memory, seen: Rc<Seen>, mut may_read: watch::Receiver<bool>) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 30).initial_connection_window_size(1 << 30);
    let handshake = builder.handshake::<_, bytes::Bytes>(connection);
    let mut connection = handshake.await.expect("the gateway speaks HTTP/2");
    let mut held = Vec::new();
    while let Some(exchange) = connection.accept().await {
        let Ok((request, mut respond)) = exchange else {
            return seen.errors.set(seen.errors.get() + 1);
        };
        seen.requests.set(seen.requests.get() + 1);
        if request.body().is_end_stream() {
            let head = Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "0");
            respond.send_response(head.body(()).unwrap(), true).unwrap();
        } else {
            held.push((request, respond));
        }
        may_read.wait_for(|may| *may).await.unwrap();
    }
}
