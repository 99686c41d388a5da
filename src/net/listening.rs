//! Listening sockets: TCP, Unix or in memory.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};
use tokio_stream::Stream;

use super::bind::{BACKLOG, bind, listen};
use super::memory::MemoryListener;
use super::socket::Socket;
use super::socket_file::SocketFile;
use crate::model::SocketAddress;

/// A listening socket.
#[derive(Debug)]
pub enum ListeningSocket {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix domain socket.
    Unix(UnixListener),
    /// In memory, for the simulation.
    Memory(MemoryListener),
}

impl ListeningSocket {
    /// The TCP listener, if it is one.
    pub(super) fn tcp(&self) -> Option<&TcpListener> {
        match self {
            ListeningSocket::Tcp(listener) => Some(listener),
            ListeningSocket::Unix(_) | ListeningSocket::Memory(_) => None,
        }
    }

    /// The actual address, where port 0 was bound.
    pub fn port(&self) -> Option<SocketAddress> {
        Some(self.tcp()?.local_addr().ok()?.into())
    }

    /// Accepts the next connection, with its peer address if it has one.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Client>> {
        Poll::Ready(Ok(match self {
            ListeningSocket::Tcp(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                (Socket::Tcp(stream), Some(peer))
            }
            ListeningSocket::Unix(listener) => {
                let (stream, _) = ready!(listener.poll_accept(cx))?;
                (Socket::Unix(stream), None)
            }
            ListeningSocket::Memory(listener) => {
                let (end, peer) = ready!(listener.poll_accept(cx));
                (Socket::Memory(end), Some(peer))
            }
        }))
    }
}

/// A connection and its peer address, if it has one.
type Client = (Socket, Option<SocketAddr>);

/// The stream of incoming connections, for servers outside this module (tonic).
#[derive(Debug)]
pub struct Incoming(pub Arc<ListeningSocket>);

impl Stream for Incoming {
    type Item = io::Result<Client>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let client = ready!(self.0.poll_accept(cx));
        Poll::Ready(Some(client.and_then(|(socket, address)| {
            socket.set_nodelay()?;
            socket.set_keepalive()?;
            Ok((socket, address))
        })))
    }
}

/// A bound socket that does not listen yet.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpSocket),
    /// A Unix domain socket.
    Unix(SocketFile, UnixSocket),
}

impl Bound {
    /// Binds a TCP socket, without listening.
    ///
    /// # Errors
    /// Says why the system refuses it.
    pub fn to_port(address: SocketAddr, ipv6_only: bool, takes_over: bool) -> io::Result<Bound> {
        bind(address, ipv6_only, takes_over).map(Bound::Tcp)
    }

    /// Binds a Unix socket to `path` with the permissions `mode`, or those of the umask. A stale
    /// socket file is replaced.
    ///
    /// # Errors
    /// Says why it cannot be, and what to do.
    pub fn to_path(path: &Arc<str>, mode: Option<u32>) -> io::Result<Bound> {
        SocketFile::bind(path, mode).map(|(file, socket)| Bound::Unix(file, socket))
    }

    /// Starts to listen. The socket file is removed when the returned guard drops.
    ///
    /// # Errors
    /// Says why it cannot be.
    pub fn listen(self) -> io::Result<(Option<SocketFile>, ListeningSocket)> {
        match self {
            Bound::Tcp(socket) => Ok((None, ListeningSocket::Tcp(listen(socket)?))),
            Bound::Unix(file, socket) => {
                let listener = socket.listen(BACKLOG)?;
                file.check_unchanged()?; // until now another process could have taken it for stale
                Ok((Some(file), ListeningSocket::Unix(listener)))
            }
        }
    }
}
