//! Listening sockets, and how one takes the place of another without a client that is let down.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpSocket};

use super::listening::ListeningSocket;

/// Connections that may wait to be accepted.
pub(super) const BACKLOG: u32 = 4096;

/// Binds `address`, for IPv6 alone where `ipv6_only`, and on the port of those that [`Beside`] holds
/// where it `takes_over`. No client comes before it is [listened on](listen).
///
/// # Errors
/// Says why the system refuses it.
pub(super) fn bind(
    address: SocketAddr,
    ipv6_only: bool,
    takes_over: bool,
) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        SockRef::from(&socket).set_only_v6(ipv6_only)?; // whatever the system's default is
    }
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(takes_over)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Lets clients in.
///
/// # Errors
/// Says why the system refuses it.
pub(super) fn listen(socket: TcpSocket) -> io::Result<TcpListener> {
    let listener = socket.listen(BACKLOG)?;
    SockRef::from(&listener).set_reuse_port(false)?; // nobody else is to listen here
    Ok(listener)
}

/// Sockets beside which others can be bound on the same port, as long as this is there.
pub struct Beside(Vec<Arc<ListeningSocket>>);

impl Beside {
    /// Has `sockets` bear others. Where the system does not let them, it refuses the others.
    pub fn these(sockets: impl Iterator<Item = Arc<ListeningSocket>>) -> Beside {
        let beside = Beside(sockets.collect());
        beside.share(true);
        beside
    }

    fn share(&self, share: bool) {
        for socket in self.0.iter().filter_map(|socket| socket.tcp()) {
            let _ = SockRef::from(socket).set_reuse_port(share); // `bind` will tell
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.share(false);
    }
}

/// Has the system take no more connections for `socket`, without telling clients: they ask again
/// within a second, and come to the socket that takes its place. Those under way come through.
pub(super) fn hush(socket: &TcpListener) {
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS: u32 = 13; // where they are in a TCP header
    const SYN: u32 = 0x02;
    const SYN_OR_ACK: u32 = 0x12;
    let no_syn = [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN_OR_ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    if let Err(error) = SockRef::from(socket).attach_filter(&no_syn) {
        tracing::debug!(%error, "a client that comes at this moment may be reset");
    }
}
