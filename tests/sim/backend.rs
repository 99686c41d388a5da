//! Simulated backends: each request determines how it is answered. HTTP/2 is spoken by the h2
//! crate.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use equipoise::net::Memory;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::exchange::{Answer, Exchange};
use super::http1_backend;
use super::retries::{Fail, Fails};
use super::world::World;

/// One backend; listens until it is removed.
pub fn start(world: &Rc<World>, backend: usize) {
    let site = &world.sites[backend];
    let mut accepted = world.network.listen(site.address);
    let (world, http1) = (Rc::clone(world), site.http1);
    spawn_local(async move {
        while let Some(connection) = accepted.recv().await {
            let world = Rc::clone(&world);
            if http1 {
                spawn_local(http1_backend::serve(world, backend, connection));
            } else {
                spawn_local(serve(world, backend, connection));
            }
        }
    });
}

async fn serve(world: Rc<World>, backend: usize, connection: Memory) {
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(world.backend_streams);
    if world.habits.idle.is_some() {
        builder.initial_connection_window_size(64 << 20); // a slow reader must not stall others
    }
    let Ok(mut connection) = builder.handshake(connection).await else { return };
    let leaves = world.leaves_after();
    let mut served = 0;
    while let Some(request) = connection.accept().await {
        let (request, respond) = match request {
            Ok(request) => request,
            Err(error) => return world.judge(&error),
        };
        served += 1;
        if leaves == Some(served) {
            world.trace(&format!("backend {backend} says GOAWAY"));
            world.ledger.leaves(backend);
            connection.graceful_shutdown();
        }
        let world = Rc::clone(&world);
        spawn_local(async move {
            let _busy = world.answers();
            answer(&world, backend, request, respond).await;
        });
    }
    if leaves.is_some_and(|after| served >= after) {
        // Closing with unread data would reset the connection, and the gateway would lose what it
        // has yet to read.
        sleep(Duration::from_secs(1)).await;
    }
}

async fn answer(
    world: &World,
    backend: usize,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (head, body) = request.into_parts();
    let text = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    if world.sites[backend].old {
        world.trace(&format!("backend {backend} does not implement it"));
        let head = Response::builder().header("content-type", "application/grpc");
        let head = head.header("grpc-status", 12).body(()).unwrap();
        let _ = respond.send_response(head, true); // the gateway may be gone
        return;
    }
    let Some(exchange) = world.begin(backend, head.uri.path(), text) else {
        return respond.send_reset(Reason::REFUSED_STREAM);
    };
    answer_attempt(world, backend, &exchange, body, respond).await;
    world.is_done(&exchange, backend);
}

async fn answer_attempt(
    world: &World,
    backend: usize,
    exchange: &Exchange,
    body: RecvStream,
    mut respond: SendResponse<Bytes>,
) {
    let early = match exchange.fails {
        Some(fails) if !matches!(fails.how, Fail::Slow(_)) => fails.at_once,
        _ => exchange.answer == Answer::Early,
    };
    if !early && !read(world, backend, exchange, body, &mut respond).await {
        return;
    }
    let grpc = exchange.route.is_grpc();
    let head = Response::builder()
        .header("content-type", if grpc { "application/grpc" } else { "text/html" })
        .header("x-id", exchange.id)
        .header("x-attempt", u16::from(exchange.attempt))
        .header("x-backend", backend);
    match exchange.fails {
        Some(Fails { how: Fail::Slow(late), .. }) if !pause(&mut respond, late).await => return,
        Some(Fails { how: Fail::Slow(_), .. }) | None => {}
        Some(fails) => {
            let Ok(head) = head.body(()) else { return };
            return fail(fails, grpc, head, respond).await;
        }
    }
    if !pause(&mut respond, exchange.thinks).await {
        return;
    }
    match exchange.answer {
        Answer::ResetEarly => respond.send_reset(Reason::INTERNAL_ERROR),
        Answer::TrailersOnly => {
            let head = if grpc { head.header("grpc-status", 5) } else { head.status(404) };
            let _ = respond.send_response(head.body(()).unwrap(), true); // the gateway may be gone
        }
        _ => {
            if let Ok(stream) = respond.send_response(head.body(()).unwrap(), false) {
                send(exchange, stream).await;
            }
        }
    }
}

/// Waits; returns early with `false` if the gateway resets the stream.
async fn pause(respond: &mut SendResponse<Bytes>, time: Duration) -> bool {
    let reset = std::future::poll_fn(|cx| respond.poll_reset(cx));
    timeout(time, reset).await.is_err()
}

/// Answers an attempt that fails.
async fn fail(fails: Fails, grpc: bool, mut head: Response<()>, mut respond: SendResponse<Bytes>) {
    let mut status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), 14.into())]);
    if let Some(time) = fails.pushback {
        status.insert("grpc-retry-pushback-ms", time.into());
    }
    let _ = match fails.how {
        Fail::Silent => {
            let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            return;
        }
        Fail::Reset => return respond.send_reset(Reason::INTERNAL_ERROR),
        Fail::AfterHead(late) => {
            let Ok(mut stream) = respond.send_response(head, false) else { return };
            if timeout(late, std::future::poll_fn(|cx| stream.poll_reset(cx))).await.is_ok() {
                return;
            }
            stream.send_trailers(status)
        }
        Fail::Unavailable | Fail::Slow(_) => {
            match grpc {
                true => head.headers_mut().extend(status),
                false => *head.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
            }
            respond.send_response(head, true).map(drop)
        }
    }; // the gateway may be gone
}

/// Reads a request and verifies it; returns whether it is complete.
async fn read(
    world: &World,
    backend: usize,
    exchange: &Exchange,
    mut body: RecvStream,
    respond: &mut SendResponse<Bytes>,
) -> bool {
    let mut came = 0;
    while let Some(data) = body.data().await {
        let data = match data {
            Ok(data) => data,
            Err(error) => {
                world.judge(&error);
                return false;
            }
        };
        if let Some(late) = exchange.dawdles
            && !pause(respond, late).await
        {
            return false;
        }
        let _ = body.flow_control().release_capacity(data.len()); // the gateway may be gone
        world.compare(exchange, true, came, &data);
        came += data.len();
    }
    let whole = body.trailers().await.is_ok() && body.is_end_stream();
    if whole {
        world.has_whole(exchange, backend, came);
    }
    whole
}

/// Sends the messages and trailers.
async fn send(exchange: &Exchange, mut stream: SendStream<Bytes>) {
    for (n, message) in exchange.messages(false).into_iter().enumerate() {
        if n > 0 {
            let reset = std::future::poll_fn(|cx| stream.poll_reset(cx));
            if timeout(exchange.pause, reset).await.is_ok() {
                return;
            }
        }
        if !write(&mut stream, message.into()).await {
            return;
        }
    }
    if exchange.answer == Answer::ResetLate {
        return stream.send_reset(Reason::INTERNAL_ERROR);
    }
    let _ = match exchange.route.is_grpc() {
        true => {
            stream.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), 0.into())]))
        }
        false => stream.send_data(Bytes::new(), true),
    }; // as above
}

/// Sends all of `data` within flow control; `false` if the reader is gone.
pub async fn write(stream: &mut SendStream<Bytes>, mut data: Bytes) -> bool {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return false;
        };
        let part = data.split_to(room.min(data.len()));
        if !part.is_empty() && stream.send_data(part, false).is_err() {
            return false;
        }
    }
    true
}
