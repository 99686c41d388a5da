//! Servers and clients by the h2 crate, for what gRPC libraries do not show.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};

use super::soon;

/// One request: its head and body, and where to send the response.
pub type Exchange = (Request<RecvStream>, SendResponse<Bytes>);

/// A backend that runs `serve` for each request, until the test ends.
pub async fn backend<F>(serve: impl Fn(Exchange) -> F + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            let serve = Arc::clone(&serve);
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                builder.initial_window_size(1 << 20).initial_connection_window_size(16 << 20);
                builder.max_header_list_size(1 << 20);
                let Ok(mut connection) = builder.handshake(socket).await else { return };
                while let Some(Ok(exchange)) = connection.accept().await {
                    tokio::spawn(serve(exchange));
                }
            });
        }
    });
    address
}

/// A connection to `address` with wide windows.
pub async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(16 << 20);
    connect_with(address, &builder).await
}

pub async fn connect_with(
    address: SocketAddr,
    builder: &h2::client::Builder,
) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (client, connection) = builder.handshake(socket).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

/// The head of a gRPC request to `path`.
pub fn grpc(path: &str) -> Request<()> {
    let request = Request::post(format!("http://test{path}"));
    request.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap()
}

/// Sends a request without a body.
pub async fn get(client: &SendRequest<Bytes>, request: Request<()>) -> Answer {
    let mut client = client.clone().ready().await.unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    Answer::of(response).await
}

/// Sends a request with an open body.
pub async fn open(
    client: &SendRequest<Bytes>,
    request: Request<()>,
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut client = client.clone().ready().await.unwrap();
    client.send_request(request, false).unwrap()
}

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    pub head: http::response::Parts,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    /// The stream ended with the head.
    pub only_head: bool,
}

impl Answer {
    pub async fn of(response: ResponseFuture) -> Answer {
        soon("the response", Answer::read(response)).await.unwrap()
    }

    pub async fn read(response: ResponseFuture) -> Result<Answer, h2::Error> {
        let (head, mut stream) = response.await?.into_parts();
        let only_head = stream.is_end_stream();
        let body = collect(&mut stream).await?;
        let trailers = stream.trailers().await?;
        Ok(Answer { head, body, trailers, only_head })
    }

    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.headers.get(name).map(http::HeaderValue::as_bytes)
    }

    pub fn trailer(&self, name: &str) -> Option<&[u8]> {
        self.trailers.as_ref()?.get(name).map(http::HeaderValue::as_bytes)
    }
}

/// A whole body.
pub async fn collect(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The head of a gRPC response.
pub fn ok() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

/// Trailers with this status.
pub fn status(code: u8) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), u16::from(code).into())])
}
