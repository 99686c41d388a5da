//! Binding listening sockets, and replacing one without refusing a client (SO_REUSEPORT hand-over).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpSocket};

use super::listening::ListeningSocket;

/// The `listen` backlog: connections waiting to be accepted.
pub(super) const BACKLOG: u32 = 4096;

/// Binds `address`, for IPv6 alone if `ipv6_only`. If it `takes_over`, the port is in use already, and
/// [`SharedPort`] makes it shareable. It accepts nothing before [`listen`].
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

/// Starts to listen.
///
/// # Errors
/// Says why the system refuses it.
pub(super) fn listen(socket: TcpSocket) -> io::Result<TcpListener> {
    let listener = socket.listen(BACKLOG)?;
    SockRef::from(&listener).set_reuse_port(false)?; // no other process may share the port
    Ok(listener)
}

/// RAII guard: while it lives, SO_REUSEPORT is set on these sockets, so that others can bind the
/// same port.
pub struct SharedPort(Vec<Arc<ListeningSocket>>);

impl SharedPort {
    /// Sets SO_REUSEPORT on `sockets`. Where the system refuses, the later `bind` fails instead.
    pub fn of(sockets: impl Iterator<Item = Arc<ListeningSocket>>) -> SharedPort {
        let shared = SharedPort(sockets.collect());
        shared.share(true);
        shared
    }

    fn share(&self, share: bool) {
        for socket in self.0.iter().filter_map(|socket| socket.tcp()) {
            let _ = SockRef::from(socket).set_reuse_port(share); // `bind` reports it
        }
    }
}

impl Drop for SharedPort {
    fn drop(&mut self) {
        self.share(false);
    }
}

/// Attaches a socket filter that drops SYNs: clients retransmit within a second and reach the
/// socket that takes over. Handshakes in progress complete.
pub(super) fn drop_syns(socket: &TcpListener) {
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS: u32 = 13; // offset of the flags in a TCP header
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
