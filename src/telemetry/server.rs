//! The port for metrics and health: HTTP/1.1 and HTTP/2 in clear text, told apart by their first
//! bytes.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_stream::{Stream, StreamExt as _};

use super::export::Exporter;
use super::health::Health;
use super::http::{Answers, Readiness};
use super::places::{Activity, Places};
use crate::clock::{Clock, Seldom};
use crate::model::{Refusal, Refusals};

/// Bytes of a request's head and of what is read ahead.
const MAX_BUFFER: usize = 16 << 10;
const MAX_STREAMS: u32 = 16;
/// Time for the first request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a request over HTTP/1.1 and its response; each has its own connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Those of HTTP/2 stay, to watch the health; their peers are asked whether they live.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that is left to open connections at the end.
const GRACE: Duration = Duration::from_secs(1);
/// How often it is said that connections cannot be accepted.
const WARN_INTERVAL: Duration = Duration::from_secs(10);
/// Rest after a failed accept, which would fail again at once.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What the port is served with.
#[derive(Clone)]
pub struct Server {
    /// Writes the metrics.
    pub exporter: Exporter,
    /// Answers `grpc.health.v1`.
    pub health: Health,
    /// What `/readyz` says.
    pub readiness: watch::Receiver<Readiness>,
    /// Connections at a time. One more takes the place of who has the least to do.
    pub places: usize,
    /// Where refused connections are counted.
    pub refusals: Arc<Refusals>,
    /// By which what happens all the time is said seldom.
    pub clock: Clock,
}

impl Server {
    /// Answers `clients` on `/metrics`, `/healthz`, `/readyz` and `grpc.health.v1` until `stop` is
    /// there.
    pub async fn run<S, A>(
        self,
        mut clients: impl Stream<Item = io::Result<(S, A)>> + Unpin,
        stop: impl Future<Output = ()>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Server { exporter, health, readiness, places, refusals, clock } = self;
        let answers = Answers { exporter, readiness, health: health.server() };
        let mut connections = JoinSet::new();
        let mut places = Places::new(places);
        let mut seldom = Seldom::every(WARN_INTERVAL, clock);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => {}
                stream = accept(&mut clients, &mut seldom, &refusals) => {
                    let activity = Arc::<Activity>::default();
                    let talk = converse(stream, answers.clone(), Arc::clone(&activity));
                    if places.take(activity, connections.spawn(talk)) {
                        refusals.count(Refusal::Evicted);
                    }
                }
            }
        }
        drop(clients);
        let finish = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(GRACE, finish).await; // those still open are dropped with the set
    }
}

async fn accept<S, A>(
    clients: &mut (impl Stream<Item = io::Result<(S, A)>> + Unpin),
    seldom: &mut Seldom,
    refusals: &Refusals,
) -> S {
    loop {
        match clients.next().await {
            Some(Ok((stream, _))) => return stream,
            None => return pending().await,
            Some(Err(error)) => {
                refusals.count(Refusal::AcceptFailed);
                if seldom.is_due() {
                    tracing::warn!(%error, "metrics: cannot accept connections");
                }
                sleep(ACCEPT_BACKOFF).await; // out of descriptors, most likely
            }
        }
    }
}

async fn converse<S>(stream: S, answers: Answers, activity: Arc<Activity>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<_>| {
        let answering = activity.begin(request.version() == http::Version::HTTP_2);
        let answers = answers.clone();
        async move {
            let response = answers.to(request).await;
            drop(answering);
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_BUFFER)
        .keep_alive(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_BUFFER as u32);
    tokio::select! {
        result = builder.serve_connection(TokioIo::new(stream), service) => if let Err(error) = result {
            tracing::debug!(%error, "metrics: connection broke");
        },
        () = overdue(&activity) => tracing::debug!("metrics: connection took too long"),
    }
}

/// Ends when the connection has had its time.
async fn overdue(activity: &Activity) {
    sleep(HEAD_TIMEOUT).await;
    if activity.has_asked() {
        sleep(CONNECTION_TIMEOUT - HEAD_TIMEOUT).await;
    }
    if activity.may_stay() {
        pending().await
    }
}
