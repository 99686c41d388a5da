//! The handle by which other threads command a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::super::accept::Accepted;
use super::super::listener::Listener;

/// A command to a worker.
#[derive(Debug)]
pub enum Command {
    /// A connection to serve.
    Accept(Accepted),
    /// Drain the connections of a listener.
    Leave(Arc<Listener>),
    /// Drain all client connections.
    Drain,
    /// Abort in-flight exchanges.
    CutOff,
}

/// The handle by which other threads command a worker.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    pub(in crate::net) commands: mpsc::Sender<Command>,
    pub(in crate::net) connections: Arc<AtomicUsize>,
}

impl WorkerHandle {
    /// A handle and the receiver of its commands.
    pub fn new() -> (WorkerHandle, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(1024);
        (WorkerHandle { commands, connections: Arc::default() }, receiver)
    }

    /// Client connections that it serves.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Makes the worker drain all client connections.
    pub async fn drain(&self) {
        // A worker that has ended has nothing left to drain.
        let _ = self.commands.send(Command::Drain).await;
    }

    /// Makes the worker abort in-flight exchanges, in the way of each client's protocol.
    pub async fn cut_off(&self) {
        let _ = self.commands.send(Command::CutOff).await; // as above
    }
}
