//! HTTP/1.1 backends and clients, byte by byte, for what libraries cannot send or show.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::soon;

/// A backend that answers each head with the same bytes, and records what it received.
pub struct Recorder {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    /// One that sends `answer` and keeps the connection open.
    pub async fn answering(answer: &'static [u8]) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(record(socket, Arc::clone(&kept), answer));
            }
        });
        Recorder { address, seen }
    }

    /// All bytes received, on all connections.
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }
}

async fn record(mut socket: TcpStream, seen: Arc<Mutex<Vec<u8>>>, answer: &'static [u8]) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = socket.read(&mut buffer).await {
        head.extend_from_slice(&buffer[..n]);
        seen.lock().unwrap().extend_from_slice(&buffer[..n]);
        while let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            head.drain(..end + 4);
            if socket.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

/// Sends `request` and reads until the gateway closes the connection.
pub async fn exchange(to: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(to).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A gateway that closes early may reset what was in flight.
    let _ = soon("the connection is closed", socket.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A backend that runs `serve` on each connection, until the test ends.
pub async fn backend<F>(serve: impl Fn(Talk<TcpStream>) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(Talk::on(socket)));
        }
    });
    address
}

/// One side of a connection, message by message.
pub struct Talk<S> {
    pub socket: S,
    buffer: Vec<u8>,
}

impl Talk<TcpStream> {
    pub async fn connect(address: SocketAddr) -> Talk<TcpStream> {
        Talk::on(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    pub fn on(socket: S) -> Talk<S> {
        Talk { socket, buffer: Vec::new() }
    }

    /// Sends bytes; a closed connection shows when reading.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.socket.write_all(bytes.as_ref()).await;
        let _ = self.socket.flush().await;
    }

    /// Reads more bytes; returns whether there were any.
    async fn more(&mut self) -> bool {
        let read = soon("bytes", self.socket.read_buf(&mut self.buffer)).await;
        matches!(read, Ok(1..))
    }

    /// A line without its terminator; `None` at the end of the connection.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// A head up to the empty line, lines terminated by LF; `None` at the end of the connection.
    pub async fn head(&mut self) -> Option<String> {
        let mut head = String::new();
        loop {
            match self.line().await?.as_str() {
                "" => return Some(head),
                line => head = head + line + "\n",
            }
        }
    }

    /// Exactly this many bytes.
    pub async fn exact(&mut self, len: usize) -> Vec<u8> {
        while self.buffer.len() < len {
            assert!(self.more().await, "{len} bytes come before the connection ends");
        }
        self.buffer.drain(..len).collect()
    }

    /// The body that follows this head.
    pub async fn body(&mut self, head: &str) -> Vec<u8> {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if let Some(length) = length {
            return self.exact(length.parse().unwrap()).await;
        }
        let mut body = Vec::new();
        while head.contains("transfer-encoding: chunked") {
            let size = self.line().await.expect("a chunk before the connection ends");
            let size = usize::from_str_radix(&size, 16).unwrap();
            body.extend(self.exact(size).await);
            assert_eq!(self.line().await.as_deref(), Some(""));
            if size == 0 {
                break;
            }
        }
        body
    }

    /// Takes the bytes that were read but not consumed.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// All bytes until the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }
}
