//! Requests to an API server: HTTP/1.1 by hyper, over TLS or in clear text.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::access::Access;
use super::wire::Status;
use crate::discovery::SourceError;
use crate::model::version::VERSION;

/// Time-out of a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time-out of the head of a response.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Time-out of a body that is read whole.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Size of the head of a response, and of what is read ahead of a body, in bytes.
const MAX_BUFFER: usize = 256 << 10;

/// The largest body of an answer that is a failure, in bytes.
const MAX_ERROR: usize = 64 << 10;

/// A peer that has vanished is noticed within a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// Why a request has failed.
#[derive(Debug)]
pub enum Trouble {
    /// 410: what was asked for is too old, and everything is to be listed anew.
    Gone,
    Failed(SourceError),
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Trouble {
        Trouble::Failed(error)
    }
}

/// An API server. Its connection is kept from one request to the next.
pub struct Api {
    access: Arc<Access>,
    connection: Option<Connection>,
}

struct Connection {
    send: http1::SendRequest<Empty<Bytes>>,
    _driver: AbortOnDrop,
}

/// Aborts the task when dropped.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Api {
    pub fn new(access: Access) -> Api {
        Api { access: Arc::new(access), connection: None }
    }

    /// The namespace that is meant where none is given.
    pub fn namespace(&self) -> Option<&str> {
        self.access.namespace.as_deref()
    }

    /// Asks for `path`; the answer is a success.
    pub async fn get(&mut self, path: &str) -> Result<Response<Incoming>, Trouble> {
        let request = self.request(path).await?;
        let connection = self.connection().await?;
        let answer = timeout(HEAD_TIMEOUT, connection.send.send_request(request)).await;
        let answer = answer.map_err(|_| SourceError("the API server does not answer".into()))?;
        let answer = answer.map_err(|error| SourceError::new("asking the API server", &error))?;
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::GONE => {
                self.connection = None; // its body is not read
                Err(Trouble::Gone)
            }
            status => Err(refused(status, answer.into_body()).await.into()),
        }
    }

    /// As `get`, with the whole body of at most `most` bytes.
    pub async fn get_whole(&mut self, path: &str, most: usize) -> Result<Bytes, Trouble> {
        let body = self.get(path).await?.into_body();
        let read = timeout(BODY_TIMEOUT, Limited::new(body, most).collect()).await;
        let read = read.map_err(|_| SourceError("the API server's answer does not end".into()))?;
        let body = read.map_err(|error| {
            SourceError(format!("reading an answer of at most {most} bytes: {error}"))
        })?;
        Ok(body.to_bytes())
    }

    async fn request(&self, path: &str) -> Result<Request<Empty<Bytes>>, SourceError> {
        let access = Arc::clone(&self.access);
        let token = match spawn_blocking(move || access.bearer.read()).await {
            Ok(token) => token.map_err(SourceError)?,
            Err(error) => return Err(SourceError::new("reading the token", &error)),
        };
        let mut request = Request::get(format!("{}{path}", self.access.server.prefix))
            .header(HOST, self.access.server.authority.as_str())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, format!("equipoise/{VERSION}"));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Empty::new());
        request.map_err(|error| SourceError::new("asking the API server", &error))
    }

    /// The connection, or a new one if the server has closed it.
    async fn connection(&mut self) -> Result<&mut Connection, SourceError> {
        if let Some(mut known) = self.connection.take()
            && known.send.ready().await.is_ok()
        {
            return Ok(self.connection.insert(known));
        }
        let connecting = timeout(CONNECT_TIMEOUT, connect(&self.access)).await;
        let at = &self.access.server.authority;
        let made = connecting.unwrap_or_else(|_| Err("it does not answer".into()));
        let made = made.map_err(|error| SourceError(format!("connecting to {at}: {error}")))?;
        Ok(self.connection.insert(made))
    }
}

async fn connect(access: &Access) -> Result<Connection, String> {
    let server = &access.server;
    let stream = TcpStream::connect((&*server.host, server.port)).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive).map_err(|error| error.to_string())?;
    match &access.tls {
        None => speak(stream).await,
        Some((config, name)) => {
            let tls = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await;
            speak(tls.map_err(|error| error.to_string())?).await
        }
    }
}

/// Starts HTTP on `stream`.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Connection, String> {
    let made = http1::Builder::new()
        .max_buf_size(MAX_BUFFER)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await;
    let (send, connection) = made.map_err(|error| error.to_string())?;
    // Its end and its errors show in the requests.
    let driver = tokio::spawn(async move { drop(connection.await) });
    Ok(Connection { send, _driver: AbortOnDrop(driver) })
}

/// Why the server refuses, with what can be done.
async fn refused(status: StatusCode, body: Incoming) -> SourceError {
    let read = timeout(BODY_TIMEOUT, Limited::new(body, MAX_ERROR).collect()).await;
    let told = read.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
    let told: Status = serde_json::from_slice(&told).unwrap_or_default();
    let message = told.message.unwrap_or_default();
    let help = match status {
        StatusCode::UNAUTHORIZED => "; it does not know the token or certificate",
        StatusCode::FORBIDDEN => "; let the account get, list and watch endpointslices",
        StatusCode::NOT_FOUND => "; EndpointSlices need Kubernetes 1.21 or newer",
        _ => "",
    };
    SourceError(format!("the API server answers {status}: {message}{help}"))
}
