//! Simulated HTTP/1.1 backends: each request determines how it is answered.

use std::rc::Rc;

use equipoise::net::Memory;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::sleep;

use super::exchange::{Answer, Exchange};
use super::http1::{self, Framing, Head, Reader};
use super::retries::{Fail, Fails};
use super::world::World;

/// Serves requests on one connection until either side closes it.
pub async fn serve(world: Rc<World>, backend: usize, connection: Memory) {
    let (reader, mut writer) = tokio::io::split(connection);
    let mut reader = Reader::new(reader);
    while let Some(head) = reader.head().await {
        let _busy = world.answers();
        let Some(exchange) = world.begin(backend, head.word(), |name| head.get(name)) else {
            return;
        };
        if head.get("expect").is_some() && writer.write_all(b"HTTP/1.1 100 \r\n\r\n").await.is_err()
        {
            return;
        }
        if let Some(fails) = exchange.fails
            && !matches!(fails.how, Fail::Slow(_))
        {
            // The request may have been cut off.
            if fails.at_once || read(&world, backend, &exchange, &head, &mut reader).await {
                fail(fails, &exchange, backend, (&mut reader, &mut writer)).await;
            }
            return;
        }
        if exchange.answer == Answer::Early {
            answer(&exchange, backend, &mut writer).await;
            // The gateway may or may not still send the rest.
            read(&world, backend, &exchange, &head, &mut reader).await;
            return;
        }
        if !read(&world, backend, &exchange, &head, &mut reader).await
            || !answer(&exchange, backend, &mut writer).await
        {
            return;
        }
    }
}

/// Reads and verifies a request body; returns whether it is complete.
async fn read(
    world: &World,
    backend: usize,
    exchange: &Exchange,
    head: &Head,
    reader: &mut Reader<ReadHalf<Memory>>,
) -> bool {
    let (mut framing, mut came) = (head.framing(false), 0);
    loop {
        let Some(piece) = reader.piece(&mut framing).await else { return false };
        if piece.is_empty() {
            world.has_whole(exchange, backend, came);
            return true;
        }
        world.compare(exchange, true, came, &piece);
        came += piece.len();
    }
}

/// Answers an attempt that fails, and then closes the connection.
async fn fail(
    fails: Fails,
    exchange: &Exchange,
    backend: usize,
    (reader, writer): (&mut Reader<ReadHalf<Memory>>, &mut WriteHalf<Memory>),
) {
    match fails.how {
        Fail::Reset => return,
        Fail::Silent => {}
        Fail::Unavailable | Fail::AfterHead(_) | Fail::Slow(_) => {
            let head = format!(
                "HTTP/1.1 503 Unavailable\r\nx-id: {}\r\nx-attempt: {}\r\nx-backend: {backend}\r\n\
                 connection: close\r\ncontent-length: 0\r\n\r\n",
                exchange.id, exchange.attempt,
            );
            if writer.write_all(head.as_bytes()).await.is_err() {
                return;
            }
        }
    }
    // Until the gateway closes the connection.
    let mut framing = Framing::Closed;
    while reader.piece(&mut framing).await.is_some_and(|piece| !piece.is_empty()) {}
}

/// The framing of a response.
fn framing(exchange: &Exchange, length: usize) -> Framing {
    match exchange.id % 5 {
        0 | 1 => Framing::Chunked,
        // A body that ends with the connection could not be told from a truncated one.
        2 if exchange.answer != Answer::ResetLate => Framing::Closed,
        _ => Framing::Length(length),
    }
}

/// Answers a request; returns whether the connection stays open.
async fn answer(exchange: &Exchange, backend: usize, writer: &mut WriteHalf<Memory>) -> bool {
    if let Some(Fails { how: Fail::Slow(late), .. }) = exchange.fails {
        sleep(late).await;
    }
    sleep(exchange.thinks).await;
    let (status, messages) = match exchange.answer {
        Answer::ResetEarly => return false,
        Answer::TrailersOnly => ("404 Not Found", Vec::new()),
        _ => ("200 OK", exchange.messages(false)),
    };
    let length = messages.iter().map(Vec::len).sum();
    let framing = framing(exchange, length);
    // A connection that closes unannounced may meet the next request on its way.
    let last = if exchange.answer == Answer::Early { "connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nx-id: {}\r\nx-attempt: {}\r\nx-backend: {backend}\r\n{last}{}\r\n",
        exchange.id,
        exchange.attempt,
        framing.field(),
    );
    if writer.write_all(head.as_bytes()).await.is_err() {
        return false;
    }
    let breaks_off = exchange.answer == Answer::ResetLate;
    let last = messages.len();
    for (n, message) in messages.iter().enumerate() {
        if n > 0 {
            sleep(exchange.pause).await;
        }
        let part =
            if breaks_off && n + 1 == last { &message[..message.len() / 2] } else { message };
        if !http1::write(writer, framing, part).await {
            return false;
        }
    }
    if breaks_off {
        return false;
    }
    let whole = http1::end(writer, framing).await;
    if framing == Framing::Closed {
        let _ = writer.shutdown().await; // the gateway may be gone
    }
    whole && framing != Framing::Closed && exchange.answer != Answer::Early
}
