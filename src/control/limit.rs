//! Connection limit of the control API.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use super::arrival::{Arrival, Certified, Socket, Transport};
use super::handshakes::Admitted;
use crate::clock::{Clock, LogThrottle};
use crate::model::{ConnectionRefusal, ConnectionRefusals};
use crate::telemetry::{Activity, ConnectionSlots};

/// Timeout of the connection preface; after it, HTTP/2 pings detect dead peers.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
const PREFACE_BYTES: usize = 24;
/// Backoff after a failed accept, which would fail again at once when out of descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Interval at which accept errors and evictions are logged.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// Accepts connections up to the limit; one more evicts the connection with the least to do. In
/// that order: no request yet, idle, watching, waiting for an answer.
pub(super) struct LimitedConnections<C> {
    clients: C,
    slots: ConnectionSlots<oneshot::Sender<()>>,
    refusals: Arc<ConnectionRefusals>,
    backoff: Option<Pin<Box<Sleep>>>,
    throttle: LogThrottle,
}

/// The peer of a connection.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub arrival: Arrival,
    /// By its certificate, if it has shown one.
    pub certified: Option<Certified>,
    /// Whether it speaks TLS.
    pub encrypted: bool,
    /// Tracks the connection's calls.
    pub activity: Arc<Activity>,
}

impl<C> LimitedConnections<C> {
    pub(super) fn new(
        clients: C,
        max_connections: usize,
        refusals: Arc<ConnectionRefusals>,
        clock: Clock,
    ) -> LimitedConnections<C> {
        LimitedConnections {
            clients,
            slots: ConnectionSlots::new(max_connections),
            refusals,
            backoff: None,
            throttle: LogThrottle::every(WARN_INTERVAL, clock),
        }
    }

    fn admit<S>(&mut self, admitted: Admitted<S>) -> Connection<Transport<S>> {
        let Admitted { stream, arrival, certified, encrypted } = admitted;
        let (end, ended) = oneshot::channel();
        let caller = Caller { arrival, certified, encrypted, activity: Arc::default() };
        if self.slots.admit(Arc::clone(&caller.activity), end) {
            self.refusals.count(ConnectionRefusal::Evicted);
            if self.throttle.is_due() {
                tracing::warn!("control API: all places are taken: who does least makes room");
            }
        }
        let preface =
            Preface { missing: PREFACE_BYTES, deadline: Box::pin(sleep(PREFACE_TIMEOUT)) };
        Connection { stream, caller, preface: Some(preface), ended: Some(ended) }
    }
}

impl<S: Socket, C: Stream<Item = io::Result<Admitted<S>>> + Unpin> Stream
    for LimitedConnections<C>
{
    type Item = io::Result<Connection<Transport<S>>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(backoff) = &mut self.backoff {
                ready!(backoff.as_mut().poll(cx));
                self.backoff = None;
            }
            let Some(client) = ready!(Pin::new(&mut self.clients).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            match client {
                Ok(admitted) => return Poll::Ready(Some(Ok(self.admit(admitted)))),
                Err(error) => {
                    self.refusals.count(ConnectionRefusal::AcceptFailed);
                    if self.throttle.is_due() {
                        tracing::warn!(%error, "control API: cannot accept connections");
                    }
                    self.backoff = Some(Box::pin(sleep(ACCEPT_BACKOFF)));
                }
            }
        }
    }
}

/// An admitted connection. Its I/O fails when the preface times out, or when it is evicted.
pub(super) struct Connection<S> {
    stream: S,
    caller: Caller,
    preface: Option<Preface>,
    /// Signals eviction; dropping it frees the slot.
    ended: Option<oneshot::Receiver<()>>,
}

struct Preface {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Connection<S> {
    fn is_evicted(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(ended) = &mut self.ended else { return false };
        let Poll::Ready(told) = Pin::new(ended).poll(cx) else { return false };
        self.ended = None; // closed without a signal: the server is shutting down
        told.is_ok()
    }
}

impl<S> Connected for Connection<S> {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(preface) = &mut self.preface {
            preface.missing = preface.missing.saturating_sub(buf.filled().len() - before);
            if preface.missing == 0 {
                self.preface = None;
            } else if polled.is_pending() && preface.deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        if polled.is_pending() && self.is_evicted(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
