//! The transport of a connection: clear text or TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use super::socket::Socket;

/// The transport that a connection reads and writes.
#[derive(Debug)]
pub enum Io {
    /// Clear text.
    Plain(Socket),
    /// TLS, after its handshake.
    Tls(Box<TlsStream<Socket>>),
}

impl Io {
    /// The URI scheme of its requests.
    pub fn scheme(&self) -> &'static [u8] {
        match self {
            Io::Plain(_) => b"http",
            Io::Tls(_) => b"https",
        }
    }

    /// The protocol negotiated by ALPN.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        match self {
            Io::Plain(_) => None,
            Io::Tls(io) => io.get_ref().1.alpn_protocol(),
        }
    }

    /// Whether the socket has a pending error; for connections that neither read nor write.
    pub(super) fn has_failed(&self) -> bool {
        self.socket().has_failed()
    }

    /// Sets whether closing sends a TCP RST (SO_LINGER 0) or a FIN.
    pub(super) fn reset_on_close(&self, reset: bool) {
        self.socket().reset_on_close(reset);
    }

    /// Sets TCP_NOTSENT_LOWAT.
    pub(super) fn bound_unsent(&self, bytes: u32) -> io::Result<()> {
        self.socket().bound_unsent(bytes)
    }

    fn socket(&self) -> &Socket {
        match self {
            Io::Plain(io) => io,
            Io::Tls(io) => io.get_ref().0,
        }
    }

    /// Reads into `buffer`; 0 bytes are end of input.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let result = match self {
            Io::Plain(io) => Pin::new(io).poll_read(cx, &mut buffer),
            Io::Tls(io) => Pin::new(io).poll_read(cx, &mut buffer),
        };
        ready!(result)?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes some of `bytes`.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Io::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Io::Tls(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    /// Flushes TLS records.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Io::Plain(_) => Poll::Ready(Ok(())),
            Io::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    /// Shuts the write side down.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Io::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Io::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
