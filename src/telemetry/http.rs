//! The HTTP endpoint for metrics and health.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::export::Exporter;
use crate::clock::Seldom;

/// Connections at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// Bytes of a request's head and of what is read ahead.
const MAX_BUFFER: usize = 16 << 10;
/// Time for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a request and its response; each has its own connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that is left to open connections at the end.
const GRACE: Duration = Duration::from_secs(1);
/// How often it is said that connections cannot be accepted.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// Whether new traffic should come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet: listeners are not open.
    Starting,
    /// Yes.
    Ready,
    /// No more: a worker has ended, and those that are left may not do.
    Crippled,
    /// No more: it is going.
    Draining,
}

/// Answers `/metrics`, `/healthz` and `/readyz` on `listener` until `stop` is there.
pub async fn serve(
    listener: TcpListener,
    exporter: Exporter,
    readiness: watch::Receiver<Readiness>,
    stop: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    let mut seldom = Seldom::every(WARN_INTERVAL);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            stream = accept(&listener, &mut seldom), if connections.len() < MAX_CONNECTIONS => {
                connections.spawn(converse(stream, exporter.clone(), readiness.clone()));
            }
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(GRACE, finish).await; // those still open are dropped with the set
}

async fn accept(listener: &TcpListener, seldom: &mut Seldom) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                if seldom.is_due() {
                    tracing::warn!(%error, "metrics: cannot accept connections");
                }
                sleep(Duration::from_millis(100)).await; // out of descriptors, most likely
            }
        }
    }
}

async fn converse(stream: TcpStream, exporter: Exporter, readiness: watch::Receiver<Readiness>) {
    let service = service_fn(|request: Request<_>| {
        let readiness = *readiness.borrow();
        let exporter = exporter.clone();
        async move { Ok::<_, Infallible>(answer(&request, &exporter, readiness).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_BUFFER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "metrics: connection broke"),
        Err(_) => tracing::debug!("metrics: connection took too long"),
    }
}

async fn answer<B>(
    request: &Request<B>,
    exporter: &Exporter,
    readiness: Readiness,
) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
        let known = "not found; there are /metrics, /healthz and /readyz\n";
        return plain(StatusCode::NOT_FOUND, known);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match (path, readiness) {
        ("/metrics", _) => metrics(exporter).await,
        ("/healthz", _) => plain(StatusCode::OK, "alive\n"),
        (_, Readiness::Ready) => plain(StatusCode::OK, "ready\n"),
        (_, Readiness::Starting) => plain(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        (_, Readiness::Crippled) => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "a worker has ended: see the log\n")
        }
        (_, Readiness::Draining) => plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics(exporter: &Exporter) -> Response<Full<Bytes>> {
    match exporter.scrape().await {
        Ok(page) => text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page),
        Err(error) => {
            tracing::error!(%error, "metrics: cannot write the page");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot write metrics\n")
        }
    }
}

fn plain(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let body = Bytes::from_static(body.as_bytes());
    text(status, "text/plain; charset=utf-8", body)
}

fn text(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
