//! gRPC echo backends in clear text: `peers-echo PORT...`, all on one thread.
//!
//! A call is answered with its own bytes; one whose path ends in `/Stream` with 1,000 messages of 100 bytes.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
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
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) -> Result<(), Failure> {
    let stream = request.uri().path().ends_with("/Stream");
    let mut body = request.into_body();
    let mut parts = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        parts.push(part);
    }
    let head = Response::builder()
        .header("content-type", "application/grpc")
        .body(())?;
    let mut out = respond.send_response(head, false)?;
    if stream {
        let mut message = vec![0, 0, 0, 0, 100];
        message.resize(105, b'x');
        let message = Bytes::from(message);
        for _ in 0..1000 {
            out.send_data(message.clone(), false)?;
        }
    } else {
        for part in parts {
            out.send_data(part, false)?;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    out.send_trailers(trailers)?;
    Ok(())
}
