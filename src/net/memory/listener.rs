//! Listener for in-memory connections.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Memory;

/// Listener for in-memory connections. Dropping it closes those not accepted yet.
#[derive(Debug)]
pub struct MemoryListener(Shared);

/// Connects to a [`MemoryListener`].
#[derive(Clone, Debug)]
pub struct Dial(Shared);

#[derive(Clone, Debug)]
#[expect(clippy::disallowed_types)] // the lock is held for one push, and almost always by one thread
struct Shared(Arc<std::sync::Mutex<Queue>>);

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<(Memory, SocketAddr)>,
    limit: usize,
    closed: bool,
    acceptor: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryListener {
    /// A listener with a backlog of `limit` connections, and its dialer.
    #[expect(clippy::disallowed_types)] // as above
    pub fn new(limit: usize) -> (Dial, MemoryListener) {
        let queue = Queue { waiting: VecDeque::new(), limit, closed: false, acceptor: None };
        let shared = Shared(Arc::new(std::sync::Mutex::new(queue)));
        (Dial(shared.clone()), MemoryListener(shared))
    }

    /// Accepts the next connection, with its peer address.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<(Memory, SocketAddr)> {
        let mut queue = self.0.lock();
        if let Some(next) = queue.waiting.pop_front() {
            return Poll::Ready(next);
        }
        queue.acceptor = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let waiting = {
            let mut queue = self.0.lock();
            queue.closed = true;
            std::mem::take(&mut queue.waiting)
        };
        drop(waiting);
    }
}

impl Dial {
    /// Connects as `peer`, with a capacity of `capacity` bytes each way.
    ///
    /// # Errors
    /// Nobody listens, or the backlog is full.
    pub fn connect(&self, peer: SocketAddr, capacity: usize) -> io::Result<Memory> {
        let mut queue = self.0.lock();
        if queue.closed || queue.waiting.len() >= queue.limit {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = Memory::pair(capacity);
        queue.waiting.push_back((far, peer));
        let acceptor = queue.acceptor.take();
        drop(queue);
        acceptor.into_iter().for_each(Waker::wake);
        Ok(near)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::{IpAddr, Ipv4Addr};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_000);

    #[tokio::test(start_paused = true)]
    async fn connections_are_accepted_up_to_the_backlog() {
        let (dial, listener) = MemoryListener::new(2);
        let mut first = dial.connect(PEER, 64).unwrap();
        let _second = dial.connect(PEER, 64).unwrap();
        assert_eq!(dial.connect(PEER, 64).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        first.write_all(b"hello").await.unwrap();
        let (mut accepted, peer) = poll_fn(|cx| listener.poll_accept(cx)).await;
        assert_eq!(peer, PEER);
        assert_eq!(accepted.read(&mut [0; 8]).await.unwrap(), 5);
        assert!(dial.connect(PEER, 64).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_listener_closes_its_backlog() {
        let (dial, listener) = MemoryListener::new(2);
        let mut waiting = dial.connect(PEER, 64).unwrap();
        drop(listener);
        assert_eq!(waiting.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(dial.connect(PEER, 64).is_err());
    }
}
