//! Signals: those for a graceful shutdown, and those whose default action must be suppressed.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGXFSZ (the same number on every supported system): the log file has reached its size limit.
const FILE_SIZE: i32 = 25;

/// Handlers of these signals, installed on creation. A signal that arrives before `next` is kept.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
    /// Keeps SIGXFSZ caught, so that the log's writer gets an error instead of the process being
    /// killed.
    _file_size: Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            _file_size: signal(SignalKind::from_raw(FILE_SIZE))?,
        })
    }

    /// Waits for a shutdown signal, and returns its name.
    pub async fn next(&mut self) -> &'static str {
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.quit.recv() => return "SIGQUIT",
                _ = self.user1.recv() => "SIGUSR1",
                _ = self.user2.recv() => "SIGUSR2",
            };
            ignore(ignored);
        }
    }
}

fn ignore(name: &'static str) {
    tracing::info!(
        "{name} is ignored: the log goes to the standard error, and no file is reopened"
    );
}
