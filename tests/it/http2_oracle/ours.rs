//! Our end of a pipe.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use equipoise::http::{Connection as _, ErrorCode, Event, HeaderPool, Headers, Key};
use equipoise::http2::Connection;
use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use super::plan::limits;

/// A connection of ours and its pipe.
pub struct Ours {
    pub conn: Connection,
    io: DuplexStream,
    inbox: Vec<u8>,
    pool: HeaderPool,
    /// Credit that is given back later.
    held: Vec<(Key, usize)>,
    pub over: bool,
}

/// What follows a body.
pub enum Then {
    End,
    Trailers(Headers),
    Reset(ErrorCode),
}

/// An event that owns what it tells.
#[derive(Debug)]
pub enum Told {
    Head(Key, Headers, bool),
    Data(Key, Vec<u8>, bool),
    Trailers(Key, Headers),
    Reset(Key, ErrorCode),
    GoAway,
}

impl Ours {
    pub fn client(io: DuplexStream, rng: &mut Rng) -> Ours {
        Ours::new(Connection::client(Arc::new(limits(rng))), io)
    }

    pub fn server(io: DuplexStream, rng: &mut Rng) -> Ours {
        Ours::new(Connection::server(Arc::new(limits(rng))), io)
    }

    fn new(conn: Connection, io: DuplexStream) -> Ours {
        let (inbox, pool, held) = (Vec::new(), HeaderPool::default(), Vec::new());
        Ours { conn, io, inbox, pool, held, over: false }
    }

    /// Writes and reads what can be, waits when there is nothing, and tells what came.
    pub async fn turn(&mut self, rng: &mut Rng) -> Vec<Told> {
        for (key, bytes) in self.held.drain(..) {
            self.conn.release(key, bytes);
        }
        let most = rng.usize(1..40_000);
        std::future::poll_fn(|cx| {
            let mut moved = false;
            while let bytes @ [_, ..] = self.conn.output().bytes() {
                let Poll::Ready(written) = Pin::new(&mut self.io).poll_write(cx, bytes) else {
                    break;
                };
                let Ok(n) = written else { break };
                self.conn.output().advance(n);
                self.conn.pump();
                moved = true;
            }
            let mut space = vec![0; most];
            let mut buffer = ReadBuf::new(&mut space);
            if let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                self.over |= read.is_err() || buffer.filled().is_empty();
                self.inbox.extend_from_slice(buffer.filled());
                moved = true;
            }
            if moved { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.receive(rng)
    }

    fn receive(&mut self, rng: &mut Rng) -> Vec<Told> {
        let told = RefCell::new(Vec::new());
        let mut input = &self.inbox[..];
        let mut take = |key, payload: &[u8], end| {
            told.borrow_mut().push(Told::Data(key, payload.to_vec(), end));
            if rng.bool() {
                return payload.len();
            }
            self.held.push((key, payload.len()));
            0
        };
        while let Some(event) = self.conn.receive(&mut input, 0, &mut self.pool, &mut take).unwrap()
        {
            told.borrow_mut().push(match event {
                Event::Request { key, headers, end } | Event::Response { key, headers, end } => {
                    Told::Head(key, headers, end)
                }
                Event::Trailers { key, headers } => Told::Trailers(key, headers),
                Event::Reset { key, code, .. } => Told::Reset(key, code),
                Event::GoAway { .. } => Told::GoAway,
                Event::Settings | Event::Pong(_) => continue,
                other => panic!("{other:?}"),
            });
        }
        let left = input.len();
        self.inbox.drain(..self.inbox.len() - left);
        self.conn.pump();
        while self.conn.next_drained().is_some() {}
        told.into_inner()
    }

    /// Sends a piece of what is left of a body when nothing waits, and what follows it. Whether
    /// all is said.
    pub fn send(&mut self, key: Key, body: &mut Vec<u8>, then: Then, rng: &mut Rng) -> bool {
        if self.conn.unsent(key) > 0 {
            return false;
        }
        let n = body.len().min(rng.usize(1..60_000));
        let piece: Vec<u8> = body.drain(..n).collect();
        let last = body.is_empty();
        // What the peer has reset takes nothing.
        let _ = self.conn.send_data(key, &piece, last && matches!(then, Then::End));
        match then {
            Then::Trailers(trailers) if last => drop(self.conn.send_trailers(key, &trailers)),
            Then::Reset(code) if last => self.conn.reset(key, code),
            _ => {}
        }
        last
    }

    /// Says goodbye and closes the pipe.
    pub async fn close(mut self) {
        self.conn.leave();
        let bytes = self.conn.output().bytes().to_vec();
        let _ = self.io.write_all(&bytes).await;
        let _ = self.io.shutdown().await;
    }
}
