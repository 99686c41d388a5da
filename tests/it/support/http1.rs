//! Backends and clients of HTTP/1.1, byte by byte, for what no library shows or sends.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::soon;

/// A backend that answers each head with the same bytes, and keeps what came.
pub struct Recorder {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    /// One that answers with `answer`, and goes on with the connection.
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

    /// All that came, on all connections.
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
    // A gateway that closes early may reset what was still on its way.
    let _ = soon("the connection is closed", socket.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}
