//! A worker's I/O: connections and their drivers, streams and their splicing, timers.
//!
//! Everything here lives on one thread. A turn of a worker's loop reads and parses the input of every
//! connection, appends the resulting output to others, and then flushes each connection with output
//! once.

mod accept;
mod bind;
mod body;
mod buffers;
mod cancel;
mod conn;
mod connect;
mod deadlines;
mod descriptors;
mod freeze_detector;
mod handshake;
mod io;
mod keepalive;
mod linger;
mod listener;
mod listening;
mod memory;
mod origin;
mod overlap;
mod proxy_protocol;
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
mod write_coalescing;

pub use accept::accept_loop;
pub(crate) use accept::{Acceptor, ListenerSpec};
pub use bind::SharedPort;
pub(crate) use cancel::{MAX_RESETS, StreamCapacity};
pub use conn::{Closed, Conn, Upstream};
pub(crate) use conn::{Codec, Front, Owner};
pub(crate) use connect::Sockets;
pub use connect::{Connecting, Connector};
pub use descriptors::Descriptors;
pub(crate) use descriptors::{Purpose, raise_descriptor_limit};
pub(crate) use freeze_detector::SILENCE_TIMEOUT;
pub(crate) use io::Io;
pub use keepalive::Keepalive;
pub use listener::Listener;
pub(crate) use listening::Bound;
pub use listening::{Incoming, ListeningSocket};
pub use memory::{Dial, Memory, MemoryListener, PipeDirection, Wire};
pub(crate) use origin::Origin;
pub(crate) use overlap::{clash, leaves_ipv4, overlap, takes_in};
pub use proxy_protocol::{HeaderError, Progress, parse as parse_proxy_header};
pub(crate) use proxy_protocol::{Others, ProxyProtocol};
pub use socket::Socket;
pub(crate) use socket_file::SocketFile;
pub use stream::{Over, Stream, splice};
pub(crate) use tee::{Cut, Tee};
pub(crate) use timer::Sleep;
pub use tls::ClientCertificate;
pub(crate) use tls::{Certificates, ClientTrust, ClientVerifier, ServerCertificate, ServerTls};
pub(crate) use worker::JobId;
pub use worker::{Command, Worker, WorkerHandle, WorkerSpec};
pub use write_coalescing::pause;
