//! Simulated HTTP/1.1 clients: sequential or pipelined requests on a connection.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use equipoise::net::Memory;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::client::broken;
use super::exchange::{Exchange, Patience};
use super::http1::{self, Framing, Reader};
use super::ledger::{End, Told};
use super::world::World;

/// Limit of pipelined requests.
const MOST: usize = 4;

/// Bytes that a slow reader takes at a time.
const SLOWLY: usize = 40 << 10;

struct Connection {
    reader: Reader<ReadHalf<Memory>>,
    writer: WriteHalf<Memory>,
}

/// One client: sends its requests, each after a pause.
pub async fn run(world: Rc<World>, number: u64, exchanges: Vec<(Duration, Exchange)>) {
    let mut waiting = VecDeque::from(exchanges);
    let mut connection = None;
    while let Some((pause, first)) = waiting.pop_front() {
        sleep(pause).await;
        let mut batch = vec![first];
        while first.is_plain() && first.id.is_multiple_of(3) && batch.len() < MOST {
            let Some(next) = waiting.pop_front_if(|(_, next)| next.is_plain()) else { break };
            batch.push(next.1);
        }
        let dialled = connection.take().or_else(|| {
            let (reader, writer) = tokio::io::split(world.dial(number)?);
            Some(Connection { reader: Reader::new(reader), writer })
        });
        let Some(dialled) = dialled else {
            for exchange in batch {
                world.ledger.sent(&exchange);
                world.tell(exchange.id, broken("no connection"));
            }
            continue;
        };
        let talk = talk(&world, dialled, &batch, waiting.is_empty());
        connection = match first.patience {
            Patience::GivesUp(after) => match timeout(after, talk).await {
                Ok(connection) => connection,
                Err(_) => {
                    world.tell(first.id, Told { end: End::GaveUp, backend: None, bytes: 0 });
                    None
                }
            },
            _ => talk.await,
        };
    }
}

/// Sends some requests and reads the responses; returns the connection if it stays open.
async fn talk(
    world: &World,
    mut connection: Connection,
    batch: &[Exchange],
    last: bool,
) -> Option<Connection> {
    let Connection { reader, writer } = &mut connection;
    let invited = Notify::new();
    let half_closes = last && batch.iter().any(|exchange| exchange.id.is_multiple_of(4));
    let sending = async {
        for exchange in batch {
            if !send(world, exchange, writer, &invited).await {
                return;
            }
        }
        if half_closes {
            let _ = writer.shutdown().await; // the gateway may be gone
        }
    };
    let reading = async {
        let mut goes_on = true;
        for exchange in batch {
            let told = match goes_on {
                true => read(world, exchange, reader, &invited).await,
                false => Err(broken("the connection was closed before")),
            };
            let told = told.unwrap_or_else(|told| (told, false));
            goes_on = told.1;
            world.tell(exchange.id, told.0);
        }
        goes_on
    };
    let goes_on = {
        let mut reading = std::pin::pin!(reading);
        tokio::select! {
            biased;
            _ = &mut reading => false, // the gateway has closed the request's side
            () = sending => reading.await,
        }
    };
    (goes_on && !half_closes).then_some(connection)
}

/// Sends a request; `false` if the gateway is gone.
async fn send(
    world: &World,
    exchange: &Exchange,
    writer: &mut WriteHalf<Memory>,
    invited: &Notify,
) -> bool {
    let messages = exchange.messages(true);
    let length = messages.iter().map(Vec::len).sum();
    let framing =
        if exchange.id.is_multiple_of(2) { Framing::Chunked } else { Framing::Length(length) };
    let (method, field) = if length > 0 {
        (exchange.method(world.habits), framing.field())
    } else {
        ("GET", String::new())
    };
    let asks = length > 0 && exchange.id.is_multiple_of(7);
    let head = format!(
        "{method} {} HTTP/1.1\r\nhost: {}\r\nx-id: {}\r\nx-key: {}\r\n{}{field}{}\r\n",
        exchange.route.path(),
        exchange.host(),
        exchange.id,
        exchange.id % 3,
        exchange.timeout().map_or(String::new(), |time| format!("grpc-timeout: {time}\r\n")),
        if asks { "expect: 100-continue\r\n" } else { "" },
    );
    world.trace(&format!("client sends {}", exchange.id));
    world.ledger.sent(exchange);
    if writer.write_all(head.as_bytes()).await.is_err() {
        return false;
    }
    if asks {
        invited.notified().await;
    }
    for (n, message) in messages.iter().enumerate() {
        if n > 0 {
            sleep(exchange.pause).await;
        }
        if !http1::write(writer, framing, message).await {
            return false;
        }
    }
    length == 0 || http1::end(writer, framing).await
}

/// Reads a response; returns whether the connection stays open.
async fn read(
    world: &World,
    exchange: &Exchange,
    reader: &mut Reader<ReadHalf<Memory>>,
    invited: &Notify,
) -> Result<(Told, bool), Told> {
    let head = loop {
        let head = reader.head().await.ok_or_else(|| broken("no response"))?;
        invited.notify_one();
        if !head.word().starts_with('1') {
            break head;
        }
    };
    let exchange = &mut exchange.clone();
    let backend = world.answered(exchange, |name| head.get(name));
    let (mut framing, mut bytes, mut taken) = (head.framing(true), 0, 0);
    loop {
        let Some(piece) = reader.piece(&mut framing).await else {
            return Err(Told { end: End::Broken("cut off".into()), backend, bytes });
        };
        if piece.is_empty() {
            let goes_on = !head.closes() && framing != Framing::Closed;
            return Ok((Told { end: End::Status(head.word().into()), backend, bytes }, goes_on));
        }
        if head.word() == "200" {
            world.compare(exchange, false, bytes, &piece);
        }
        (bytes, taken) = (bytes + piece.len(), taken + piece.len());
        if let Patience::Slow(pause) = exchange.patience
            && taken >= SLOWLY
        {
            taken = 0;
            sleep(pause).await;
        }
    }
}
