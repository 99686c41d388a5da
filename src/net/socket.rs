//! Sockets: TCP, Unix or in memory.

use std::io::{self, IoSlice};
use std::ops::RangeInclusive;
use std::os::unix;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::descriptors::{Descriptors, Purpose};
use super::memory::Memory;
use crate::http::Limits;

/// TCP keepalive: idle time before the first probe.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);

/// TCP_NOTSENT_LOWAT towards a client: small at first, as it may never read, and larger for one
/// that reads, as each writable event has a cost.
const NOTSENT_LOWAT: RangeInclusive<u64> = 32 << 10..=2 << 20;

/// The value after `gone` bytes were sent: an eighth of them, in steps.
pub(super) fn unsent(gone: u64) -> u32 {
    let most = (gone / 8).clamp(*NOTSENT_LOWAT.start(), *NOTSENT_LOWAT.end());
    1 << most.ilog2()
}

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix domain socket.
    Unix(UnixStream),
    /// In memory.
    Memory(Memory),
}

/// A socket detached from its runtime, to be moved to another one.
#[derive(Debug)]
pub enum Detached {
    /// As [`Socket::Tcp`].
    Tcp(std::net::TcpStream),
    /// As [`Socket::Unix`].
    Unix(unix::net::UnixStream),
    /// As [`Socket::Memory`].
    Memory(Memory),
}

impl Detached {
    /// Registers it with the runtime of the caller.
    ///
    /// # Errors
    /// The runtime cannot register it.
    pub fn attach(self) -> io::Result<Socket> {
        Ok(match self {
            Detached::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream)?),
            Detached::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
            Detached::Memory(end) => Socket::Memory(end),
        })
    }
}

impl Socket {
    /// The user and process that have connected to a Unix socket, if it is one; the system may not
    /// tell the process.
    pub fn peer_user(&self) -> Option<io::Result<(u32, Option<i32>)>> {
        let Socket::Unix(stream) = self else { return None };
        Some(stream.peer_cred().map(|peer| (peer.uid(), peer.pid())))
    }

    /// Sets TCP_NODELAY.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.set_nodelay(true),
            Socket::Unix(_) | Socket::Memory(_) => Ok(()), // they do not delay
        }
    }

    /// Deregisters it from its runtime.
    ///
    /// # Errors
    /// The runtime cannot deregister it.
    pub fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Socket::Tcp(stream) => Detached::Tcp(stream.into_std()?),
            Socket::Unix(stream) => Detached::Unix(stream.into_std()?),
            Socket::Memory(end) => Detached::Memory(end),
        })
    }

    /// Detects vanished peers with TCP keepalive and TCP_USER_TIMEOUT: by probes when idle, or when
    /// sent data is unacknowledged for as long as a peer may stall. A local process does not vanish
    /// without closing its sockets.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn watch_liveness(&self, limits: &Limits) -> io::Result<()> {
        let Socket::Tcp(stream) = self else { return Ok(()) };
        self.set_keepalive()?;
        SockRef::from(stream).set_tcp_user_timeout(Some(limits.write_stall_timeout))
    }

    /// Sets TCP_NOTSENT_LOWAT: otherwise data that a peer does not read fills megabytes of kernel buffers
    /// for each connection.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn bound_unsent(&self, bytes: u32) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => SockRef::from(stream).set_tcp_notsent_lowat(bytes),
            Socket::Unix(_) | Socket::Memory(_) => Ok(()), // their buffers do not grow
        }
    }

    /// Enables TCP keepalive.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn set_keepalive(&self) -> io::Result<()> {
        let Socket::Tcp(stream) = self else { return Ok(()) };
        let keepalive =
            TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_AFTER / 3);
        SockRef::from(stream).set_tcp_keepalive(&keepalive)
    }

    /// Whether its descriptor, if any, is within the share of this purpose.
    pub fn is_spare(&self, purpose: Purpose) -> bool {
        match self {
            Socket::Tcp(stream) => Descriptors::now().spare(stream, purpose),
            Socket::Unix(stream) => Descriptors::now().spare(stream, purpose),
            Socket::Memory(_) => true,
        }
    }

    /// Whether the socket has a pending error; for connections that neither read nor write.
    pub(super) fn has_failed(&self) -> bool {
        match self {
            Socket::Memory(end) => end.has_failed(),
            Socket::Tcp(stream) => has_failed(&SockRef::from(stream)),
            Socket::Unix(stream) => has_failed(&SockRef::from(stream)),
        }
    }

    /// Sets whether closing sends a TCP RST (SO_LINGER 0) or a FIN, even if the process ends: with a RST,
    /// the peer does not mistake a part of a message for all of it. Unix sockets have no reset.
    pub(super) fn reset_on_close(&self, reset: bool) {
        let linger = reset.then_some(Duration::ZERO);
        // If the socket has failed, the peer knows already.
        let _ = match self {
            Socket::Memory(end) => return end.reset_on_close(reset),
            Socket::Tcp(stream) => SockRef::from(stream).set_linger(linger),
            Socket::Unix(stream) => SockRef::from(stream).set_linger(linger),
        };
    }
}

fn has_failed(socket: &SockRef<'_>) -> bool {
    matches!(socket.take_error(), Ok(Some(_)) | Err(_))
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Memory(end) => Pin::new(end).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Memory(end) => Pin::new(end).poll_write(cx, bytes),
        }
    }

    /// TLS records come in pieces.
    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Socket::Memory(end) => Pin::new(end).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Memory(end) => Pin::new(end).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Memory(end) => Pin::new(end).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_a_client_has_read_the_more_is_taken_ahead_of_it() {
        let steps = [0, 300 << 10, 600 << 10, 1 << 20, 16 << 20, u64::MAX].map(unsent);
        assert_eq!(steps.map(|bytes| bytes >> 10), [32, 32, 64, 128, 2048, 2048]);
    }
}
