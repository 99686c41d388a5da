//! Backends that count resets hear of every cancellation, and have no reason to end a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::support::frames::{DATA, END_STREAM, Frames, HEADERS, RST_STREAM};
use crate::support::gateway::{Gateway, one_service};
use crate::support::netty::Netty;
use crate::support::{eventually, soon};

const CANCEL: [u8; 4] = 8u32.to_be_bytes();

/// What takes 50 ms at most has happened after that, on a machine of any load; what is put off
/// for as long as a guard counts has not.
const AT_ONCE: Duration = Duration::from_secs(6);

/// One worker, so that all calls have the same connections.
async fn gateway(backend: SocketAddr, settings: &str) -> Gateway {
    let yaml = one_service(&[backend], settings).replace("workers: 2", "workers: 1");
    Gateway::start(&yaml).await
}

async fn at_once(what: &str, check: impl AsyncFnMut() -> bool) {
    let timeout = tokio::time::timeout(AT_ONCE, eventually(what, check)).await;
    timeout.unwrap_or_else(|_| panic!("too late: {what}"));
}

/// Opens a stream and waits until it is answered with a head.
async fn open(client: &mut Frames, id: u32) {
    client.grpc(id, 0, "/shop.Orders/Watch", &[]).await;
    client.find(|frame| frame.kind == HEADERS && frame.stream == id).await;
}

/// A whole call, which succeeds.
async fn call(client: &mut Frames, id: u32) {
    client.grpc(id, END_STREAM, "/shop.Orders/Get", &[]).await;
    let frame = client.find(|frame| frame.stream == id).await;
    assert!(frame.is(HEADERS, END_STREAM), "{frame:?}");
    assert!(frame.payload.ends_with(b"0"), "{frame:?}");
}

/// The stream is there: the backend answers what is said on it.
async fn talk(client: &mut Frames, id: u32) {
    client.send(DATA, 0, id, b"\0\0\0\0\x02ho").await;
    client.find(|frame| frame.kind == DATA && frame.stream == id).await;
}

/// Streams one after the other, more than any backend lets one reset on one connection.
#[tokio::test]
async fn every_cancellation_is_told_at_once() {
    let backend = Netty::start().await;
    let gateway = gateway(backend.address, "").await;
    let mut watcher = Frames::connect(gateway.front(), &[]).await;
    open(&mut watcher, 1).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    for number in 0..900 {
        open(&mut client, 2 * number + 1).await;
        client.send(RST_STREAM, 0, 2 * number + 1, &CANCEL).await;
        if number % 150 == 149 {
            at_once("the backend knows of all", async || backend.seen(|seen| seen.open()) == 1)
                .await;
        }
    }
    assert_eq!(backend.seen(|seen| (seen.tripped, seen.resets)), (0, 900));
    talk(&mut watcher, 1).await;
}

/// A client goes away with a thousand streams, and leaves another's alone.
#[tokio::test]
async fn a_thousand_streams_are_given_up_at_once() {
    let backend = Netty::start().await;
    let gateway = gateway(backend.address, "").await;
    let mut watcher = Frames::connect(gateway.front(), &[]).await;
    open(&mut watcher, 1).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    for number in 0..1000 {
        client.grpc(2 * number + 1, 0, "/shop.Orders/Watch", &[]).await;
    }
    eventually("all are open", async || backend.seen(|seen| seen.open()) == 1001).await;
    drop(client);
    at_once("the backend knows of all", async || backend.seen(|seen| seen.open()) == 1).await;
    assert_eq!(backend.seen(|seen| seen.tripped), 0);
    assert!(backend.seen(|seen| seen.most) <= 8);
    talk(&mut watcher, 1).await;
}

/// There is no room for more connections: those of whom nothing is wanted any more are ended.
#[tokio::test]
async fn the_end_of_a_connection_tells_of_all_that_was_on_it() {
    let backend = Netty::start().await;
    let gateway = gateway(backend.address, "max_connections: 1").await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    for number in 0..1000 {
        client.grpc(2 * number + 1, 0, "/shop.Orders/Watch", &[]).await;
    }
    eventually("all are open", async || backend.seen(|seen| seen.open()) == 1000).await;
    assert_eq!(backend.seen(|seen| seen.made), 1);
    drop(client);
    at_once("the backend knows of all", async || backend.seen(|seen| seen.open()) == 0).await;
    assert_eq!(backend.seen(|seen| seen.tripped), 0);
    let mut client = Frames::connect(gateway.front(), &[]).await;
    call(&mut client, 1).await;
    let page = gateway.metrics().await;
    let closed = [("side", "upstream"), ("reason", "cancelled")];
    assert_eq!(page.value("equipoise_connections_closed_total", &closed), 1.0);
}

/// One client opens and cancels as fast as it can. The others' streams stay, their calls succeed,
/// and there are never many connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_takes_nothing_from_others() {
    let backend = Netty::start().await;
    let gateway = gateway(backend.address, "max_connections: 2").await;
    let front = gateway.front();
    let (stop, stopped) = watch::channel(false);
    let flood = tokio::spawn(async move {
        let mut client = Frames::connect(front, &[]).await;
        for number in 0..2500 {
            open(&mut client, 2 * number + 1).await;
            client.send(RST_STREAM, 0, 2 * number + 1, &CANCEL).await;
        }
        stop.send_replace(true);
    });
    let mut others = Vec::new();
    for _ in 0..4 {
        let stopped = stopped.clone();
        others.push(tokio::spawn(async move {
            let mut client = Frames::connect(front, &[]).await;
            open(&mut client, 1).await;
            for number in 1.. {
                call(&mut client, 2 * number + 1).await;
                if *stopped.borrow() {
                    break;
                }
            }
            talk(&mut client, 1).await;
            client
        }));
    }
    soon("the flood is over", flood).await.unwrap();
    let mut clients = Vec::new();
    for other in others {
        clients.push(soon("the calls succeed", other).await.unwrap());
    }
    at_once("the backend knows of all", async || backend.seen(|seen| seen.open()) == 4).await;
    let (tripped, resets, most, made) =
        backend.seen(|seen| (seen.tripped, seen.resets, seen.most, seen.made));
    assert_eq!((tripped, resets), (0, 2500));
    // Twice as many as there may be, and one that ends while the next begins.
    assert!(most <= 2 * 2 + 1, "{most} of {made} connections at a time");
}

/// Every connection that there may be carries another's stream and has been sent many resets: who
/// caused them is refused in the end, and nobody else.
#[tokio::test]
async fn only_who_gives_up_much_waits() {
    let backend = Netty::start().await;
    let gateway = gateway(backend.address, "max_connections: 1\npending_timeout: 200ms").await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Frames::connect(gateway.front(), &[]).await);
    }
    let [mut first, mut second, mut flood] = <[Frames; 3]>::try_from(clients).ok().unwrap();
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
            at_once("it is told", async || backend.seen(|seen| seen.open()) == 1).await;
            open(&mut second, 1).await;
            pinned = true;
        }
        assert!(cancelled < 400, "it goes on as if nothing were");
    }
    assert!(cancelled > 250, "{cancelled}");
    let mut calm = Frames::connect(gateway.front(), &[]).await;
    call(&mut calm, 1).await;
    open(&mut calm, 3).await;
    calm.send(RST_STREAM, 0, 3, &CANCEL).await;
    at_once("the backend knows of all", async || backend.seen(|seen| seen.open()) == 2).await;
    talk(&mut first, 1).await;
    talk(&mut second, 1).await;
    assert_eq!(backend.seen(|seen| (seen.tripped, seen.most)), (0, 2));
}

/// The h2 crate counts streams that were reset before it had come to accept them, and ends the
/// connection at 20: so it would be if requests that nobody wants any more left together with
/// their resets.
#[tokio::test]
async fn what_has_not_left_is_never_sent() {
    let (requests, errors) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (reads, may_read) = watch::channel(false);
    let backend = h2_backend(Arc::clone(&requests), Arc::clone(&errors), may_read).await;
    let gateway = gateway(backend, "").await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    client.grpc(1, 0, "/shop.Orders/Put", &[]).await;
    fill(&mut client, 1).await;
    for id in (3..103).step_by(2) {
        client.grpc(id, 0, "/shop.Orders/Put", &[]).await;
    }
    eventually("all are in flight", async || in_flight(&gateway).await == 51.0).await;
    for id in (3..103).step_by(2) {
        client.send(RST_STREAM, 0, id, &CANCEL).await;
    }
    eventually("all are given up", async || in_flight(&gateway).await == 1.0).await;
    reads.send_replace(true);
    call(&mut client, 201).await;
    assert_eq!((requests.load(SeqCst), errors.load(SeqCst)), (2, 0));
}

async fn in_flight(gateway: &Gateway) -> f64 {
    gateway.metrics().await.value("equipoise_backend_in_flight", &[])
}

/// Sends on a stream until nothing has been granted for so long that nothing moves any more.
async fn fill(client: &mut Frames, id: u32) {
    const WINDOW_UPDATE: u8 = 8;
    // The default windows of a listener: that of the connection is granted in the beginning.
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

/// A backend by the h2 crate that reads as far as its first request, and on when it may.
async fn h2_backend(
    requests: Arc<AtomicUsize>,
    errors: Arc<AtomicUsize>,
    may_read: watch::Receiver<bool>,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (requests, errors) = (Arc::clone(&requests), Arc::clone(&errors));
            let mut may_read = may_read.clone();
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                builder.initial_window_size(1 << 30).initial_connection_window_size(1 << 30);
                let mut connection: h2::server::Connection<_, bytes::Bytes> =
                    builder.handshake(socket).await.unwrap();
                while let Some(exchange) = connection.accept().await {
                    let Ok((request, mut respond)) = exchange else {
                        errors.fetch_add(1, SeqCst);
                        return;
                    };
                    requests.fetch_add(1, SeqCst);
                    if request.body().is_end_stream() {
                        let mut head = crate::support::raw::ok();
                        head.headers_mut().insert("grpc-status", "0".parse().unwrap());
                        respond.send_response(head, true).unwrap();
                    } else {
                        tokio::spawn(async move {
                            let _held = (request, respond);
                            std::future::pending::<()>().await;
                        });
                    }
                    may_read.wait_for(|may| *may).await.unwrap();
                }
            });
        }
    });
    address
}
