//! HTTP/2 frame by frame, for what libraries cannot send or show.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::soon;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn is(&self, kind: u8, flag: u8) -> bool {
        self.kind == kind && self.flags & flag == flag
    }

    /// The 32 bits at the start of the payload: the code of a reset, the last stream of a GOAWAY.
    pub fn word(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

/// One side of a connection. Answers SETTINGS and PING while reading frames.
pub struct Frames<S = TcpStream> {
    pub socket: S,
}

impl Frames {
    /// A client with these SETTINGS.
    pub async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Frames {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Frames::client(socket, settings).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// The client's side of a connection, with these SETTINGS.
    pub async fn client(mut socket: S, settings: &[(u16, u32)]) -> Frames<S> {
        socket.write_all(PREFACE).await.unwrap();
        let mut frames = Frames { socket };
        frames.settings(settings).await;
        frames
    }

    /// The server's side of a connection.
    pub async fn server(mut socket: S) -> Frames<S> {
        let mut preface = [0; PREFACE.len()];
        soon("the preface", socket.read_exact(&mut preface)).await.unwrap();
        assert_eq!(preface, *PREFACE);
        let mut frames = Frames { socket };
        frames.settings(&[]).await;
        frames
    }

    async fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.send(SETTINGS, 0, 0, &payload).await;
    }

    /// Sends a frame; a closed connection shows when reading.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length.to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        let _ = self.socket.write_all(&frame).await;
    }

    /// Sends a header block of one frame.
    pub async fn head(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) {
        self.send(HEADERS, flags | END_HEADERS, stream, &block(fields)).await;
    }

    /// Sends the head of a gRPC request to `path`.
    pub async fn grpc(&mut self, stream: u32, flags: u8, path: &str, more: &[(&str, &str)]) {
        let mut fields = vec![
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "test"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        fields.extend_from_slice(more);
        self.head(stream, flags, &fields).await;
    }

    /// The next frame; `None` if the peer has closed the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        soon("a frame", self.socket.read_exact(&mut head)).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        soon("a frame's payload", self.socket.read_exact(&mut payload)).await.ok()?;
        let frame = Frame { kind, flags, stream: u32::from_be_bytes(stream), payload };
        if (frame.kind == SETTINGS || frame.kind == PING) && frame.flags & ACK == 0 {
            let payload = if kind == PING { &frame.payload[..] } else { &[] };
            self.send(kind, ACK, 0, payload).await;
        }
        Some(frame)
    }

    /// The next frame that is `wanted`, skipping others.
    pub async fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next().await.expect("the frame comes before the connection ends");
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// Everything on a stream up to its end or its reset.
    pub async fn stream(&mut self, id: u32) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await.expect("the stream ends before the connection");
            if frame.stream != id {
                continue;
            }
            let data_or_head = frame.kind == DATA || frame.kind == HEADERS;
            let last =
                frame.kind == RST_STREAM || (data_or_head && frame.is(frame.kind, END_STREAM));
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }
}

/// A header block of literals without indexing.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn length(len: usize, block: &mut Vec<u8>) {
    if len < 127 {
        return block.push(len as u8);
    }
    block.push(127);
    let mut rest = len - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// A gRPC message with this payload.
pub fn message(payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0];
    message.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    message.extend_from_slice(payload);
    message
}

/// A backend that runs `serve` on each connection, until the test ends.
pub async fn backend<F>(serve: impl Fn(Frames) -> F + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = std::sync::Arc::new(serve);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let serve = std::sync::Arc::clone(&serve);
            socket.set_nodelay(true).unwrap();
            tokio::spawn(async move { serve(Frames::server(socket).await).await });
        }
    });
    address
}
