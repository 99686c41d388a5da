//! Requests that come all the time, and how many fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::client::{Client, message};
use super::eventually;

/// A client that makes a request each few milliseconds, until it is ended.
pub struct Load {
    state: Arc<State>,
    running: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    ended: AtomicBool,
    succeeded: AtomicUsize,
    failed: AtomicUsize,
}

impl Load {
    pub fn start(mut client: Client) -> Load {
        let state = Arc::<State>::default();
        let of = Arc::clone(&state);
        let running = tokio::spawn(async move {
            while !of.ended.load(Relaxed) {
                match client.unary(message("x")).await {
                    Ok(_) => of.succeeded.fetch_add(1, Relaxed),
                    Err(status) => {
                        eprintln!("a request failed: {status}");
                        of.failed.fetch_add(1, Relaxed)
                    }
                };
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Load { state, running }
    }

    /// How many requests have succeeded.
    pub fn succeeded(&self) -> usize {
        self.state.succeeded.load(Relaxed)
    }

    /// Waits until as many more requests have succeeded.
    pub async fn passes(&self, more: usize) {
        let before = self.succeeded();
        let enough = async || self.succeeded() >= before + more;
        eventually("requests succeed", enough).await;
    }

    /// Ends it; returns how many requests failed.
    pub async fn end(self) -> usize {
        self.state.ended.store(true, Relaxed);
        self.running.await.unwrap();
        self.state.failed.load(Relaxed)
    }
}
