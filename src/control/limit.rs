//! Bounds on the connections to the control API.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo, TcpIncoming};

use crate::clock::Seldom;

const MAX_CONNECTIONS: usize = 1024;
/// Time to send the connection preface; from then on HTTP/2 pings find the silent.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
const PREFACE_BYTES: usize = 24;
/// Rest after a failed accept, which would fail again at once when there are no descriptors left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// How often it is said that connections are refused.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// Accepts connections; closes those beyond the bound at once.
pub(super) struct Limited {
    incoming: TcpIncoming,
    places: Arc<Semaphore>,
    backoff: Option<Pin<Box<Sleep>>>,
    seldom: Seldom,
}

impl Limited {
    pub(super) fn new(incoming: TcpIncoming) -> Limited {
        Limited {
            incoming,
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            backoff: None,
            seldom: Seldom::every(WARN_INTERVAL),
        }
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
            match (stream, Arc::clone(&self.places).try_acquire_owned()) {
                (Ok(stream), Ok(place)) => {
                    return Poll::Ready(Some(Ok(Connection::new(stream, place))));
                }
                (Ok(_), Err(_)) => {
                    if self.seldom.is_due() {
                        tracing::warn!(
                            MAX_CONNECTIONS,
                            "control API: connections refused, too many"
                        );
                    }
                }
                (Err(error), _) => {
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
    _place: OwnedSemaphorePermit,
}

struct Preface {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> Connection {
        Connection {
            stream,
            preface: Some(Preface {
                missing: PREFACE_BYTES,
                deadline: Box::pin(sleep(PREFACE_TIMEOUT)),
            }),
            _place: place,
        }
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
            } else if polled.is_pending() && preface.deadline.as_mut().poll(cx).is_ready() {
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
