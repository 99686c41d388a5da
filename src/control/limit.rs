//! Bounds on the connections to the control API.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use crate::clock::{Clock, Seldom};
use crate::model::{Refusal, Refusals};

/// Time to send the connection preface; from then on HTTP/2 pings find the silent.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
const PREFACE_BYTES: usize = 24;
/// Rest after a failed accept, which would fail again at once when there are no descriptors left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// How often it is said that connections are refused.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// Accepts connections. One that comes when all places are taken gets that of the oldest which has
/// not said a word yet; where there is none, it is closed at once.
pub(super) struct Limited<C> {
    clients: C,
    places: usize,
    /// Held by every connection too, which counts them.
    taken: Arc<()>,
    /// Ends connections that have not said a word.
    silent: VecDeque<oneshot::Sender<()>>,
    refusals: Arc<Refusals>,
    backoff: Option<Pin<Box<Sleep>>>,
    seldom: Seldom,
}

/// What a connection is made of.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for S {}

/// Connections that come, with the addresses of who made them, as far as they have some.
pub trait Clients<S>: Stream<Item = io::Result<(S, Option<SocketAddr>)>> + Unpin {}

impl<S, C: Stream<Item = io::Result<(S, Option<SocketAddr>)>> + Unpin> Clients<S> for C {}

/// Who made a connection; none is somebody at a Unix socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(pub Option<SocketAddr>);

impl<C> Limited<C> {
    pub(super) fn new(
        clients: C,
        places: usize,
        refusals: Arc<Refusals>,
        clock: Clock,
    ) -> Limited<C> {
        Limited {
            clients,
            places,
            taken: Arc::default(),
            silent: VecDeque::new(),
            refusals,
            backoff: None,
            seldom: Seldom::every(WARN_INTERVAL, clock),
        }
    }

    /// Whether there is room for one more, or room was made.
    fn has_room(&mut self) -> bool {
        self.silent.retain(|silent| !silent.is_closed());
        if Arc::strong_count(&self.taken) <= self.places {
            return true;
        }
        let Some(oldest) = self.silent.pop_front() else { return false };
        self.refusals.count(Refusal::Evicted);
        let _ = oldest.send(()); // one that has just gone has made room too
        true
    }

    fn seat<S>(&mut self, stream: S, caller: Caller) -> Connection<S> {
        let (end, ended) = oneshot::channel();
        self.silent.push_back(end);
        let deadline = Box::pin(sleep(PREFACE_TIMEOUT));
        let preface = Some(Preface { missing: PREFACE_BYTES, deadline, ended });
        Connection { stream, caller, preface, _place: Arc::clone(&self.taken) }
    }
}

impl<S, C: Stream<Item = io::Result<(S, Option<SocketAddr>)>> + Unpin> Stream for Limited<C> {
    type Item = io::Result<Connection<S>>;

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
                Ok((stream, address)) if self.has_room() => {
                    return Poll::Ready(Some(Ok(self.seat(stream, Caller(address)))));
                }
                Ok(_) => {
                    self.refusals.count(Refusal::MaxConnections);
                    if self.seldom.is_due() {
                        let places = self.places;
                        tracing::warn!(places, "control API: connections refused, too many");
                    }
                }
                Err(error) => {
                    self.refusals.count(Refusal::AcceptFailed);
                    if self.seldom.is_due() {
                        tracing::warn!(%error, "control API: cannot accept connections");
                    }
                    self.backoff = Some(Box::pin(sleep(ACCEPT_BACKOFF)));
                }
            }
        }
    }
}

/// A connection that gives its place back when it closes, and fails when its client stays silent.
pub(super) struct Connection<S> {
    stream: S,
    caller: Caller,
    preface: Option<Preface>,
    _place: Arc<()>,
}

struct Preface {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
    ended: oneshot::Receiver<()>,
}

impl Preface {
    /// Whether it has been waited for long enough.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let ended = matches!(Pin::new(&mut self.ended).poll(cx), Poll::Ready(Ok(())));
        self.deadline.as_mut().poll(cx).is_ready() || ended
    }
}

impl<S> Connected for Connection<S> {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller
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
            } else if polled.is_pending() && preface.is_overdue(cx) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
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
