//! A worker's I/O: connections and their drivers, streams and their splicing, timers.
//!
//! Everything here lives on one thread. A turn of a worker's loop reads and parses what has come
//! on every connection, appends what follows from it to the outputs of others, and then flushes
//! each connection that has output once.

mod accept;
mod bind;
mod body;
mod buffers;
mod cancel;
mod conn;
mod connect;
mod deadlines;
mod descriptors;
mod io;
mod linger;
mod listener;
mod listening;
mod lull;
mod memory;
mod origin;
mod overlap;
mod resets;
mod socket;
mod socket_file;
mod stream;
mod tee;
#[cfg(test)]
mod tests;
mod timer;
mod tls;
mod worker;

pub use accept::{Acceptor, ListenerSpec, accept_loop};
pub use bind::Beside;
pub use cancel::{MOST_RESETS, Room};
pub use conn::{Closed, Codec, Conn, Front, Owner, Upstream};
pub use connect::{Connecting, Connector, Sockets};
pub use descriptors::{Descriptors, Purpose, raise_descriptor_limit};
pub use io::Io;
pub use listener::Listener;
pub use listening::{Bound, Incoming, ListeningSocket};
pub use lull::pause;
pub use memory::{Dial, Memory, MemoryListener, Way, Wire};
pub use origin::Origin;
pub use overlap::{clash, leaves_ipv4, overlap, takes_in};
pub use socket::{Detached, Socket};
pub use socket_file::SocketFile;
pub use stream::{Over, Stream, splice};
pub use tee::{Cut, Tee};
pub use timer::Sleep;
pub use tls::ServerTls;
pub use worker::{Command, JobId, Worker, WorkerHandle, WorkerSpec};
