//! Simulated clients: they speak HTTP/2 by the h2 crate, and verify responses.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::backend::write;
use super::exchange::{Exchange, Patience};
use super::ledger::{End, Told};
use super::world::World;

/// One client: sends its requests, each after a pause, on as many connections as it needs.
pub async fn run(world: Rc<World>, number: u64, exchanges: Vec<(Duration, Exchange)>) {
    let mut running = JoinSet::new();
    let mut connection: Option<SendRequest<Bytes>> = None;
    for (pause, exchange) in exchanges {
        sleep(pause).await;
        let ready = match connection.take() {
            Some(sender) => sender.ready().await.ok(),
            None => None,
        };
        let sender = match ready {
            Some(sender) => Some(sender),
            None => connect(&world, number).await,
        };
        let Some(sender) = sender else {
            world.ledger.sent(&exchange);
            world.tell(exchange.id, broken("no connection"));
            continue;
        };
        connection = Some(sender.clone());
        running.spawn_local(call(Rc::clone(&world), exchange, sender));
    }
    while running.join_next().await.is_some() {}
}

async fn connect(world: &Rc<World>, number: u64) -> Option<SendRequest<Bytes>> {
    let io = world.dial(number)?;
    let mut builder = client::Builder::new();
    builder.initial_window_size(world.habits.window).initial_connection_window_size(16 << 20);
    let (sender, connection) = builder.handshake(io).await.ok()?;
    let world = Rc::clone(world);
    spawn_local(async move {
        if let Err(error) = connection.await {
            world.judge(&error); // its requests show how it ended
        }
    });
    sender.ready().await.ok()
}

/// The end of a request that failed before its response head.
pub fn broken(why: impl ToString) -> Told {
    Told { end: End::Broken(why.to_string()), backend: None, bytes: 0 }
}

async fn call(world: Rc<World>, exchange: Exchange, sender: SendRequest<Bytes>) {
    let told = match exchange.patience {
        Patience::GivesUp(after) => {
            let gave_up = Told { end: End::GaveUp, backend: None, bytes: 0 };
            timeout(after, ask(&world, exchange, sender)).await.unwrap_or(gave_up)
        }
        _ => ask(&world, exchange, sender).await,
    };
    world.tell(exchange.id, told);
}

async fn ask(world: &Rc<World>, exchange: Exchange, mut sender: SendRequest<Bytes>) -> Told {
    let grpc = exchange.route.is_grpc();
    let mut request = Request::builder()
        .method(exchange.method(world.habits))
        .uri(format!("http://{}{}", exchange.host(), exchange.route.path()))
        .header("content-type", if grpc { "application/grpc" } else { "text/plain" })
        .header("x-id", exchange.id)
        .header("x-key", exchange.id % 3);
    if grpc {
        request = request.header("te", "trailers");
    }
    if let Some(timeout) = exchange.timeout() {
        request = request.header("grpc-timeout", timeout);
    }
    let request = request.body(()).unwrap();
    world.trace(&format!("client sends {}", exchange.id));
    world.ledger.sent(&exchange);
    let (response, mut body) = match sender.send_request(request, false) {
        Ok(begun) => begun,
        Err(error) => return broken(error),
    };
    let sending = async {
        for (n, message) in exchange.messages(true).into_iter().enumerate() {
            if n > 0 {
                sleep(exchange.pause).await;
            }
            if !write(&mut body, message.into()).await {
                return;
            }
        }
        let _ = body.send_data(Bytes::new(), true); // a backend that answered early needs no end
    };
    let mut reading = std::pin::pin!(read(world, exchange, response));
    tokio::select! {
        biased;
        told = &mut reading => {
            body.send_reset(Reason::CANCEL);
            told
        }
        () = sending => reading.await,
    }
}

async fn read(world: &World, mut exchange: Exchange, response: client::ResponseFuture) -> Told {
    let response = match response.await {
        Ok(response) => response,
        Err(error) => {
            world.judge(&error);
            return broken(error);
        }
    };
    let (head, mut body) = response.into_parts();
    let text = |headers: &http::HeaderMap, name: &str| {
        headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    let backend = world.answered(&mut exchange, |name| text(&head.headers, name));
    let mut status = match exchange.route.is_grpc() {
        true => text(&head.headers, "grpc-status"),
        false => Some(head.status.as_str().to_owned()),
    };
    let ours = head.status == 200; // else it may be a local reply
    let (bytes, end) = read_body(world, exchange, ours, &mut body).await;
    match (end, body.trailers().await) {
        (Ok(()), Ok(trailers)) => {
            status = trailers.and_then(|trailers| text(&trailers, "grpc-status")).or(status);
            let end = match status {
                Some(status) => End::Status(status),
                None => End::Broken("no status".into()),
            };
            Told { end, backend, bytes }
        }
        (Err(error), _) | (_, Err(error)) => {
            Told { end: End::Broken(error.to_string()), backend, bytes }
        }
    }
}

/// Reads a body and verifies it, if it is `ours`.
async fn read_body(
    world: &World,
    exchange: Exchange,
    ours: bool,
    body: &mut RecvStream,
) -> (usize, Result<(), h2::Error>) {
    let (mut came, mut held) = (0, 0);
    while let Some(data) = body.data().await {
        let data = match data {
            Ok(data) => data,
            Err(error) => {
                world.judge(&error);
                return (came, Err(error));
            }
        };
        held += data.len();
        match exchange.patience {
            // The rest of the window is too small to wait for.
            Patience::Slow(_) if held < world.habits.window as usize * 3 / 4 => {}
            Patience::Slow(pause) => {
                sleep(pause).await;
                release(body, &mut held);
            }
            _ => release(body, &mut held),
        }
        if ours {
            world.compare(&exchange, false, came, &data);
        }
        came += data.len();
    }
    (came, Ok(()))
}

fn release(body: &mut RecvStream, held: &mut usize) {
    let _ = body.flow_control().release_capacity(std::mem::take(held)); // the stream may be over
}
