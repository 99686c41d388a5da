//! The signals that end the process in good order, and those that would end it for nothing.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGXFSZ, by its number on every system that we run on: the log's file has reached the size that
/// is allowed to it.
const FILE_SIZE: i32 = 25;

/// These signals, from the moment on that this is made: one that comes before it is asked for is
/// kept.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
    /// Kept, so that the writer of the log gets an error and not everybody the end.
    _file_size: Signal,
}

impl Signals {
    /// From here on none of them ends the process by itself.
    ///
    /// # Errors
    /// The system does not let us.
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

    /// Waits for one that ends the process, and says its name.
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
