//! Why the gateway did not start.

use crate::audit::AuditError;
use crate::model::SocketAddress;
use crate::overrides::JournalError;

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Cannot listen on an address.
    #[error("cannot listen on {address} for {what}: {source}")]
    Listen {
        /// The purpose of the listener.
        what: &'static str,
        /// The address.
        address: SocketAddress,
        /// The cause.
        source: std::io::Error,
    },
    /// Cannot listen on an address that conflicts with a listener of this gateway.
    #[error(
        "cannot listen on {address} for clients: {source}; this gateway listens on {held}: \
         unless another program is in the way too, it takes a restart"
    )]
    Held {
        /// The address wanted.
        address: SocketAddress,
        /// The conflicting address.
        held: SocketAddress,
        /// The system's error.
        source: std::io::Error,
    },
    /// The journal of what operators change cannot be used.
    #[error(transparent)]
    Overrides(#[from] JournalError),
    /// The audit cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Cannot start a thread.
    #[error("cannot start a thread: {0}{hint}", hint = hint(.0))]
    Worker(#[source] std::io::Error),
    /// Too few file descriptors are left for clients.
    #[error(
        "there are not descriptors enough: {limit} may be open, the gateway itself needs {own}, and \
         with those that are kept for backends, control and metrics there is room for {room} \
         clients; raise `ulimit -n` (LimitNOFILE), or have fewer `workers`"
    )]
    Descriptors {
        /// The limit of open descriptors.
        limit: usize,
        /// Descriptors that the gateway itself uses.
        own: usize,
        /// Clients that fit into the rest.
        room: usize,
    },
}

/// EMFILE and ENFILE: too many open files, in the process and in the system.
const TOO_MANY_OPEN: [Option<i32>; 2] = [Some(24), Some(23)];

/// A hint on how to fix a system error.
fn hint(error: &std::io::Error) -> &'static str {
    match TOO_MANY_OPEN.contains(&error.raw_os_error()) {
        true => "; raise `ulimit -n` (LimitNOFILE), or have fewer `workers`",
        false => "",
    }
}
