//! How the rest of the process reaches a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::super::accept::Accepted;
use super::super::listener::Listener;

/// What a worker is told from outside.
#[derive(Debug)]
pub enum Command {
    /// A connection to serve.
    Accept(Accepted),
    /// Ask the clients to go that have come by a listener.
    Leave(Arc<Listener>),
    /// Ask every client to go.
    Drain,
    /// End what is still in flight.
    CutOff,
}

/// How the rest of the process reaches a worker.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    pub(in crate::net) commands: mpsc::Sender<Command>,
    pub(in crate::net) connections: Arc<AtomicUsize>,
}

impl WorkerHandle {
    /// A handle, and the end that the worker listens on.
    pub fn new() -> (WorkerHandle, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(1024);
        (WorkerHandle { commands, connections: Arc::default() }, receiver)
    }

    /// Client connections that it serves.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Tells the worker to ask every client to go.
    pub async fn drain(&self) {
        // A worker that has ended has nothing left to drain.
        let _ = self.commands.send(Command::Drain).await;
    }

    /// Tells the worker to end what is still in flight, as the client's protocol has it.
    pub async fn cut_off(&self) {
        let _ = self.commands.send(Command::CutOff).await; // as above
    }
}
