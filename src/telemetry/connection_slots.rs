//! Connection limit of a server that must always admit a probe: when full, the connection with the
//! least to do is evicted; among equals, the oldest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// What a connection is doing, which decides whether it may be evicted.
#[derive(Debug, Default)]
pub struct Activity {
    asked: AtomicBool,
    may_stay: AtomicBool,
    answering: AtomicUsize,
    streaming: AtomicUsize,
}

/// RAII guard of a request that is being answered.
#[derive(Debug)]
pub struct Answering(Arc<Activity>);

/// RAII guard of a streaming response.
#[derive(Debug)]
pub struct Streaming(Arc<Activity>);

impl Answering {
    /// The response has begun and may last long.
    pub fn stream(self) -> Streaming {
        self.0.streaming.fetch_add(1, Relaxed);
        Streaming(Arc::clone(&self.0))
    }
}

impl Activity {
    /// Notes a new request; `may_stay` says whether the connection may be kept alive after it.
    pub fn begin(self: &Arc<Self>, may_stay: bool) -> Answering {
        self.asked.store(true, Relaxed);
        self.may_stay.store(may_stay, Relaxed);
        self.answering.fetch_add(1, Relaxed);
        Answering(Arc::clone(self))
    }

    /// Whether any request has come.
    pub fn has_requested(&self) -> bool {
        self.asked.load(Relaxed)
    }

    /// Whether it may stay open as long as its peer wants.
    pub fn may_stay(&self) -> bool {
        self.may_stay.load(Relaxed)
    }

    /// Eviction rank: the lowest goes first.
    fn rank(&self) -> usize {
        match (self.answering.load(Relaxed), self.streaming.load(Relaxed)) {
            (0, 0) => usize::from(self.has_requested()),
            (0, _) => 2,
            _ => 3,
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Relaxed);
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.streaming.fetch_sub(1, Relaxed);
    }
}

/// A handle that can close a connection.
pub trait CloseHandle {
    /// Whether it is closed already.
    fn is_closed(&self) -> bool;

    /// Closes it.
    fn close(self);
}

impl CloseHandle for AbortHandle {
    fn is_closed(&self) -> bool {
        self.is_finished()
    }

    fn close(self) {
        self.abort();
    }
}

impl CloseHandle for oneshot::Sender<()> {
    fn is_closed(&self) -> bool {
        self.is_closed()
    }

    fn close(self) {
        let _ = self.send(()); // a send error means it has ended already
    }
}

/// The open connections, oldest first.
#[derive(Debug)]
pub struct ConnectionSlots<E> {
    limit: usize,
    open: VecDeque<(Arc<Activity>, E)>,
}

impl<E: CloseHandle> ConnectionSlots<E> {
    /// Admits at most `limit` connections.
    pub fn new(limit: usize) -> ConnectionSlots<E> {
        ConnectionSlots { limit, open: VecDeque::new() }
    }

    /// Admits a connection; returns whether another one was evicted for it.
    pub fn admit(&mut self, activity: Arc<Activity>, connection: E) -> bool {
        self.open.retain(|(_, connection)| !connection.is_closed());
        let full = self.open.len() >= self.limit;
        if full {
            self.evict();
        }
        self.open.push_back((activity, connection));
        full
    }

    fn evict(&mut self) {
        let ranks = self.open.iter().map(|(activity, _)| activity.rank()).enumerate();
        if let Some((index, _)) = ranks.min_by_key(|(_, rank)| *rank)
            && let Some((_, connection)) = self.open.remove(index)
        {
            connection.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn idle_connections_are_evicted_first_oldest_first() {
        let mut slots = ConnectionSlots::new(3);
        let activities: [Arc<Activity>; 8] = std::array::from_fn(|_| Arc::default());
        let tasks: [_; 8] = std::array::from_fn(|_| tokio::spawn(std::future::pending::<()>()));
        let _answering = activities[0].begin(true);
        drop(activities[1].begin(true));
        let ended = async |number: usize| {
            tokio::task::yield_now().await;
            tasks[number].is_finished()
        };
        let mut take = |number: usize| {
            slots.admit(Arc::clone(&activities[number]), tasks[number].abort_handle())
        };
        assert!(!take(0) && !take(1) && !take(2));
        assert!(take(3));
        assert!(ended(2).await, "it never asked for anything");
        assert!(take(4));
        assert!(ended(3).await);
        drop(activities[4].begin(true));
        assert!(take(5));
        assert!(ended(1).await, "the older of two that have been answered");
        let watching = activities[5].begin(true).stream();
        assert!(take(6));
        assert!(ended(4).await);
        let _asking = activities[6].begin(true);
        assert!(take(7));
        assert!(ended(5).await, "watching is less than being asked");
        drop(watching);
        assert!(!ended(0).await);
    }
}
