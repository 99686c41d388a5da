//! How a worker's connections to backends are made.

use std::fmt::Debug;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;

use super::socket::Socket;
use crate::model::SocketAddress;

/// After so long a Unix socket is asked again that has no place for a connection.
const FULL: Duration = Duration::from_millis(5);

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Socket>>>>;

/// What makes a worker's connections to backends.
pub trait Connector: Debug {
    /// Connects to whoever listens at `place`.
    fn connect(&self, place: SocketAddress) -> Connecting;
}

/// Connects by the sockets of the system.
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
                // Too many wait to be accepted, and the system tells nobody when it is fewer.
                Err(full) if full.kind() == ErrorKind::WouldBlock => sleep(FULL).await,
                Err(error) => return Err(error),
            }
        },
    }
}
