//! The connector: how a worker connects to backends.

use std::fmt::Debug;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;

use super::socket::Socket;
use crate::model::SocketAddress;

/// Retry interval for a Unix socket whose backlog is full.
const BACKLOG_RETRY: Duration = Duration::from_millis(5);

/// The future of a connection attempt.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Socket>>>>;

/// Makes a worker's connections to backends; the simulation has its own.
pub trait Connector: Debug {
    /// Connects to `place`.
    fn connect(&self, place: SocketAddress) -> Connecting;
}

/// Connects by TCP and Unix sockets.
#[derive(Debug)]
pub struct Sockets;

impl Connector for Sockets {
    fn connect(&self, place: SocketAddress) -> Connecting {
        Box::pin(open(place))
    }
}

async fn open(place: SocketAddress) -> io::Result<Socket> {
    match place {
        SocketAddress::Ip(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Socket::Tcp(stream))
        }
        SocketAddress::Unix(path) => loop {
            match UnixStream::connect(&*path).await {
                Ok(stream) => return Ok(Socket::Unix(stream)),
                // The backlog is full, and the kernel does not notify when there is room.
                Err(full) if full.kind() == ErrorKind::WouldBlock => sleep(BACKLOG_RETRY).await,
                Err(error) => return Err(error),
            }
        },
    }
}
