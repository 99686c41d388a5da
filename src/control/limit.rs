//! Bounds on the connections to the control API.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo, TcpIncoming};

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
pub(super) struct Limited {
    incoming: TcpIncoming,
    places: usize,
    /// Held by every connection too, which counts them.
    taken: Arc<()>,
    /// Ends connections that have not said a word.
    silent: VecDeque<oneshot::Sender<()>>,
    refusals: Arc<Refusals>,
    backoff: Option<Pin<Box<Sleep>>>,
    seldom: Seldom,
}

impl Limited {
    pub(super) fn new(
        incoming: TcpIncoming,
        places: usize,
        refusals: Arc<Refusals>,
        clock: Clock,
    ) -> Limited {
        Limited {
            incoming,
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

    fn seat(&mut self, stream: TcpStream) -> Connection {
        let (end, ended) = oneshot::channel();
        self.silent.push_back(end);
        let deadline = Box::pin(sleep(PREFACE_TIMEOUT));
        let preface = Some(Preface { missing: PREFACE_BYTES, deadline, ended });
        Connection { stream, preface, _place: Arc::clone(&self.taken) }
    }
}

impl Stream for Limited {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(backoff) = &mut self.backoff {
                ready!(backoff.as_mut().poll(cx));
                self.backoff = None;
            }
            let Some(stream) = ready!(Pin::new(&mut self.incoming).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            match stream {
                Ok(stream) if self.has_room() => {
                    return Poll::Ready(Some(Ok(self.seat(stream))));
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
pub(super) struct Connection {
    stream: TcpStream,
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

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
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

impl AsyncWrite for Connection {
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
