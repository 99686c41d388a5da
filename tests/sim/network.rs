//! The simulated network: in-memory connections, and handles to inject faults into them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;

use equipoise::model::SocketAddress;
use equipoise::net::{Connecting, Connector, Memory, Socket, Wire};
use tokio::sync::mpsc;

/// Bytes in flight on a connection, in each direction.
const ROOM: usize = 64 << 10;

/// All connections.
#[derive(Default)]
pub struct Network {
    /// Listeners by address.
    listening: RefCell<BTreeMap<SocketAddr, mpsc::UnboundedSender<Memory>>>,
    wires: RefCell<Vec<(SocketAddr, Wire)>>,
}

impl Network {
    /// Listens at `address`.
    pub fn listen(&self, address: SocketAddr) -> mpsc::UnboundedReceiver<Memory> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listening.borrow_mut().insert(address, sender);
        receiver
    }

    /// Stops listening, and cuts the connections there.
    pub fn crash(&self, address: SocketAddr) {
        self.listening.borrow_mut().remove(&address);
        self.wires.borrow_mut().retain(|(at, wire)| {
            if *at == address {
                wire.reset();
            }
            *at != address
        });
    }

    /// Registers a connection, of a client or to a backend.
    pub fn note(&self, address: SocketAddr, wire: Wire) {
        self.wires.borrow_mut().push((address, wire));
    }

    /// A random connection.
    pub fn any(&self, rng: &mut fastrand::Rng) -> Option<Wire> {
        let wires = self.wires.borrow();
        (!wires.is_empty()).then(|| wires[rng.usize(..wires.len())].1.clone())
    }

    fn connect(&self, address: SocketAddr) -> io::Result<Memory> {
        let listening = self.listening.borrow();
        let listener = listening.get(&address).ok_or(ErrorKind::ConnectionRefused)?;
        let (near, far) = Memory::pair(ROOM);
        let wire = near.wire();
        listener.send(far).map_err(|_| ErrorKind::ConnectionRefused)?;
        self.note(address, wire);
        Ok(near)
    }
}

/// Connects the gateway to backends.
#[derive(Clone)]
pub struct ToBackends(pub Rc<Network>);

impl fmt::Debug for ToBackends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToBackends")
    }
}

impl Connector for ToBackends {
    fn connect(&self, place: SocketAddress) -> Connecting {
        let network = Rc::clone(&self.0);
        Box::pin(async move {
            let SocketAddress::Ip(address) = place else {
                return Err(ErrorKind::Unsupported.into());
            };
            Ok(Socket::Memory(network.connect(address)?))
        })
    }
}
