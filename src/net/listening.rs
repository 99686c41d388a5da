//! Sockets to which clients come: at a port, at a path, or in memory.

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

/// A socket to which clients come.
#[derive(Debug)]
pub enum ListeningSocket {
    /// At a port.
    Tcp(TcpListener),
    /// At a path.
    Unix(UnixListener),
    /// In memory.
    Memory(MemoryListener),
}

impl ListeningSocket {
    /// That of TCP, if it is one.
    pub(super) fn tcp(&self) -> Option<&TcpListener> {
        match self {
            ListeningSocket::Tcp(listener) => Some(listener),
            ListeningSocket::Unix(_) | ListeningSocket::Memory(_) => None,
        }
    }

    /// The port that it has, where any was wanted.
    pub fn port(&self) -> Option<SocketAddress> {
        Some(self.tcp()?.local_addr().ok()?.into())
    }

    /// The next client, with its address if it has one.
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

/// A connection, and the address of who made it if there is one.
type Client = (Socket, Option<SocketAddr>);

/// Those who come to a socket, one after the other, for servers that are none of this module.
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

/// A socket that has its place, to which no client comes before it is listened on.
#[derive(Debug)]
pub enum Bound {
    /// At a port.
    Tcp(TcpSocket),
    /// At a path.
    Unix(SocketFile, UnixSocket),
}

impl Bound {
    /// A socket at this port, at which nobody can connect yet.
    ///
    /// # Errors
    /// Says why the system refuses it.
    pub fn to_port(address: SocketAddr, ipv6_only: bool, takes_over: bool) -> io::Result<Bound> {
        bind(address, ipv6_only, takes_over).map(Bound::Tcp)
    }

    /// At `path`, for those whom `mode` lets connect, or the umask of the process where it says
    /// nothing. A socket that was left behind there makes way.
    ///
    /// # Errors
    /// Says why it cannot be, and what to do.
    pub fn to_path(path: &Arc<str>, mode: Option<u32>) -> io::Result<Bound> {
        SocketFile::bind(path, mode).map(|(file, socket)| Bound::Unix(file, socket))
    }

    /// Lets clients in. The file is to be kept as long as they may come.
    ///
    /// # Errors
    /// Says why it cannot be.
    pub fn listen(self) -> io::Result<(Option<SocketFile>, ListeningSocket)> {
        match self {
            Bound::Tcp(socket) => Ok((None, ListeningSocket::Tcp(listen(socket)?))),
            Bound::Unix(file, socket) => {
                let listener = socket.listen(BACKLOG)?;
                file.still_there()?; // until now it looked like one that was left behind
                Ok((Some(file), ListeningSocket::Unix(listener)))
            }
        }
    }
}
