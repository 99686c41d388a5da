//! A backend with Netty's rapid-reset guard: 200 resets in 30 s close a connection.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use equipoise::net::Memory;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::frames::{DATA, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM};
use super::stage::Stage;

const MOST: usize = 200;
const WINDOW: Duration = Duration::from_secs(30);
const ENHANCE_YOUR_CALM: u32 = 11;

/// What such a backend received.
#[derive(Debug, Default)]
pub struct Seen {
    /// Open connections by number, with their open streams.
    pub conns: BTreeMap<usize, Conn>,
    /// Connections accepted.
    pub made: usize,
    /// Highest number of open connections.
    pub most: usize,
    /// Connections that the guard closed.
    pub tripped: usize,
    pub requests: usize,
    pub resets: usize,
}

#[derive(Debug, Default)]
pub struct Conn {
    open: Vec<u32>,
    /// Times of resets in the last 30 s.
    resets: VecDeque<Instant>,
}

impl Seen {
    /// Open streams.
    pub fn open(&self) -> usize {
        self.conns.values().map(|conn| conn.open.len()).sum()
    }

    /// Counts a reset; returns whether the connection may stay.
    fn reset(&mut self, number: usize, stream: u32) -> bool {
        self.resets += 1;
        let now = Instant::now();
        let conn = self.conns.get_mut(&number).unwrap();
        conn.open.retain(|open| *open != stream);
        conn.resets.retain(|at| now - *at < WINDOW);
        conn.resets.push_back(now);
        let calm = conn.resets.len() < MOST;
        self.tripped += usize::from(!calm);
        calm
    }
}

/// Answers requests without a body at once; the others get a head and no end.
pub struct Netty(Rc<RefCell<Seen>>);

impl Netty {
    pub fn on(stage: &Stage) -> Netty {
        let seen = Rc::<RefCell<Seen>>::default();
        let shared = Rc::clone(&seen);
        let mut accepted = stage.backend();
        spawn_local(async move {
            while let Some(connection) = accepted.recv().await {
                spawn_local(serve(connection, Rc::clone(&shared)));
            }
        });
        Netty(seen)
    }

    pub fn seen<T>(&self, read: impl Fn(&Seen) -> T) -> T {
        read(&self.0.borrow())
    }
}

async fn serve(connection: Memory, seen: Rc<RefCell<Seen>>) {
    let mut frames = Frames::server(connection).await;
    let number = {
        let mut seen = seen.borrow_mut();
        seen.made += 1;
        let number = seen.made;
        seen.conns.insert(number, Conn::default());
        seen.most = seen.most.max(seen.conns.len());
        number
    };
    while let Some(frame) = frames.next().await {
        match frame.kind {
            HEADERS => {
                let whole = frame.flags & END_STREAM != 0;
                {
                    let mut seen = seen.borrow_mut();
                    seen.requests += 1;
                    if !whole {
                        seen.conns.get_mut(&number).unwrap().open.push(frame.stream);
                    }
                }
                let mut head = vec![(":status", "200"), ("content-type", "application/grpc")];
                if whole {
                    head.push(("grpc-status", "0"));
                }
                frames.head(frame.stream, if whole { END_STREAM } else { 0 }, &head).await;
            }
            DATA => frames.send(DATA, 0, frame.stream, &frame.payload).await,
            RST_STREAM => {
                let calm = seen.borrow_mut().reset(number, frame.stream);
                if !calm {
                    let payload = [u32::MAX >> 1, ENHANCE_YOUR_CALM].map(u32::to_be_bytes).concat();
                    frames.send(GOAWAY, 0, 0, &payload).await;
                    break;
                }
            }
            _ => {}
        }
    }
    seen.borrow_mut().conns.remove(&number);
}
