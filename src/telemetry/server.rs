//! The metrics and health port: HTTP/1.1 and HTTP/2, in clear text or TLS, detected by the connection
//! preface.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Request;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::{Stream, StreamExt as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::connection_slots::{Activity, ConnectionSlots};
use super::entrance::Entrance;
use super::export::Exporter;
use super::health::Health;
use super::http::{Readiness, Responder};
use crate::clock::{Clock, LogThrottle};
use crate::model::{ConnectionRefusal, ConnectionRefusals};

/// Maximum of a request head and of read-ahead, in bytes.
const MAX_BUFFER: usize = 16 << 10;
const MAX_STREAMS: u32 = 16;
/// Timeout of the first request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a request over HTTP/1.1 with its response; connections are not reused.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections over HTTP/2 are kept for health watches, with keepalive pings.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Grace period of open connections at shutdown.
const GRACE: Duration = Duration::from_secs(1);
/// Interval at which repeated accept errors are logged.
const WARN_INTERVAL: Duration = Duration::from_secs(10);
/// Backoff after a failed accept, which would fail again at once.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What the port serves from.
#[derive(Clone)]
pub struct Server {
    /// Renders the metrics.
    pub exporter: Exporter,
    /// Answers `grpc.health.v1`.
    pub health: Health,
    /// Source of `/readyz`.
    pub readiness: watch::Receiver<Readiness>,
    /// Connection limit. One more evicts the connection with the least to do.
    pub max_connections: usize,
    /// Who may ask.
    pub entrance: Arc<Entrance>,
    /// Counts refused connections.
    pub refusals: Arc<ConnectionRefusals>,
    /// Throttles repeated log messages.
    pub clock: Clock,
}

impl Server {
    /// Serves `/metrics`, `/healthz`, `/readyz` and `grpc.health.v1` to `clients` until `stop`.
    pub async fn run<S, A>(
        self,
        mut clients: impl Stream<Item = io::Result<(S, A)>> + Unpin,
        stop: impl Future<Output = ()>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Server { exporter, health, readiness, max_connections, entrance, refusals, clock } =
            self;
        let throttle = Arc::new(Mutex::new(LogThrottle::every(WARN_INTERVAL, clock)));
        let responder =
            Responder { exporter, readiness, health: health.server(), entrance, throttle };
        let mut connections = JoinSet::new();
        let mut slots = ConnectionSlots::new(max_connections);
        let mut throttle = LogThrottle::every(WARN_INTERVAL, clock);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => {}
                stream = accept(&mut clients, &mut throttle, &refusals) => {
                    let activity = Arc::<Activity>::default();
                    let (responder, refusals) = (responder.clone(), &refusals);
                    let talk = connection(stream, responder, Arc::clone(&activity), Arc::clone(refusals));
                    if slots.admit(activity, connections.spawn(talk)) {
                        refusals.count(ConnectionRefusal::Evicted);
                    }
                }
            }
        }
        drop(clients);
        let finish = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(GRACE, finish).await; // on timeout the rest are dropped with the set
    }
}

async fn accept<S, A>(
    clients: &mut (impl Stream<Item = io::Result<(S, A)>> + Unpin),
    throttle: &mut LogThrottle,
    refusals: &ConnectionRefusals,
) -> S {
    loop {
        match clients.next().await {
            Some(Ok((stream, _))) => return stream,
            None => return pending().await,
            Some(Err(error)) => {
                refusals.count(ConnectionRefusal::AcceptFailed);
                if throttle.is_due() {
                    tracing::warn!(%error, "metrics: cannot accept connections");
                }
                sleep(ACCEPT_BACKOFF).await; // most likely out of file descriptors
            }
        }
    }
}

/// Why a connection ended early.
type Broken = Box<dyn Error + Send + Sync>;

/// Serves a connection, the TLS handshake included, in its time.
async fn connection<S>(
    stream: S,
    responder: Responder,
    activity: Arc<Activity>,
    refusals: Arc<ConnectionRefusals>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let serving = async {
        let Some(tls) = responder.entrance.tls() else {
            return serve(stream, None, &responder, &activity).await;
        };
        let accepted = TlsAcceptor::from(tls).accept(stream).await;
        // A probe of TCP says nothing and goes.
        let is_probe = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
        let stream = accepted.inspect_err(|error| {
            if !is_probe(error) {
                refusals.count(ConnectionRefusal::Handshake);
            }
        })?;
        let certified = stream.get_ref().1.peer_certificates().and_then(good_until);
        serve(stream, certified, &responder, &activity).await
    };
    tokio::select! {
        result = serving => if let Err(error) = result {
            tracing::debug!(%error, "metrics: connection broke");
        },
        () = overdue(&activity) => tracing::debug!("metrics: connection took too long"),
    }
}

/// When the client's certificate ends.
fn good_until(chain: &[CertificateDer<'_>]) -> Option<SystemTime> {
    let (_, certificate) = X509Certificate::from_der(chain.first()?).ok()?;
    let end = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(end))
}

async fn serve<S>(
    stream: S,
    certified: Option<SystemTime>,
    responder: &Responder,
    activity: &Arc<Activity>,
) -> Result<(), Broken>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<_>| {
        let answering = activity.begin(request.version() == http::Version::HTTP_2);
        let responder = responder.clone();
        async move {
            let response = responder.respond(request, certified).await;
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
    builder.serve_connection(TokioIo::new(stream), service).await
}

/// Resolves when the connection's time is up.
async fn overdue(activity: &Activity) {
    sleep(HEAD_TIMEOUT).await;
    if activity.has_requested() {
        sleep(CONNECTION_TIMEOUT - HEAD_TIMEOUT).await;
    }
    if activity.may_stay() {
        pending().await
    }
}
