//! Echo backends in clear text: `peers-echo PORT...`, all on one thread.
//!
//! A request is answered with its own body. Over HTTP/2 the answer is gRPC's, and a path that ends in
//! `/Stream1000x100` asks for 1,000 messages of 100 bytes instead. HTTP/1.1 is told by the first bytes.

use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let local = tokio::task::LocalSet::new();
    for port in std::env::args().skip(1) {
        let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
        local.spawn_local(accept(listener));
    }
    local.await;
    Ok(())
}

async fn accept(listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::task::spawn_local(async move {
            // A client that goes away is no error of ours.
            let _ = serve(socket).await;
        });
    }
}

async fn serve(socket: TcpStream) -> Result<(), Failure> {
    socket.set_nodelay(true)?;
    let mut first = [0; 3];
    socket.peek(&mut first).await?;
    if &first == b"PRI" { http2(socket).await } else { http1(socket).await }
}

async fn http1(socket: TcpStream) -> Result<(), Failure> {
    let echo = service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    http1::Builder::new().serve_connection(TokioIo::new(socket), echo).await?;
    Ok(())
}

async fn http2(socket: TcpStream) -> Result<(), Failure> {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(10_000)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(16 << 20)
        .max_pending_accept_reset_streams(1 << 20)
        .handshake::<_, Bytes>(socket)
        .await?;
    while let Some(incoming) = connection.accept().await {
        let (request, respond) = incoming?;
        tokio::task::spawn_local(async move {
            let _ = answer(request, respond).await;
        });
    }
    Ok(())
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), Failure> {
    let asked = stream(request.uri().path());
    let mut body = request.into_body();
    let mut parts = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        parts.push(part);
    }
    if let Some((count, size)) = asked {
        parts = vec![message(size); count];
    }
    let head = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut out = respond.send_response(head, false)?;
    for part in parts {
        out.send_data(part, false)?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    out.send_trailers(trailers)?;
    Ok(())
}

/// How many messages, of how many bytes, the path asks for.
fn stream(path: &str) -> Option<(usize, u32)> {
    let (_, asked) = path.rsplit_once("/Stream")?;
    let (count, size) = asked.split_once('x')?;
    Some((count.parse().ok()?, size.parse().ok()?))
}

/// A message of gRPC: no compression, length, payload.
fn message(size: u32) -> Bytes {
    let mut message = BytesMut::new();
    message.put_u8(0);
    message.put_u32(size);
    message.put_bytes(b'x', size as usize);
    message.freeze()
}
