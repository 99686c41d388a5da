//! The acceptor: accepts connections and assigns each to the least loaded worker.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::task::coop::unconstrained;

use super::bind::{BACKLOG, drop_syns};
use super::conn::{Closed, Codec, Conn, Front, Owner};
use super::descriptors::Purpose;
use super::handshake::{Greeted, HandshakeError, handshake};
use super::io::Io;
use super::listener::Listener;
use super::listening::ListeningSocket;
use super::origin::Origin;
use super::proxy_protocol::ProxyProtocol;
use super::socket::{Detached, Socket};
use super::tls::{Pace, ServerTls};
use super::worker::{Command, Worker, WorkerHandle};
use crate::clock::{Clock, LogThrottle};
use crate::http::{Ambiguity, Limits};
use crate::model::{ConnectionRefusal, Forwarding, Peer, SocketAddress, Time};

/// Pause of the accept loop when the process is out of file descriptors (EMFILE).
const EMFILE_BACKOFF: Duration = Duration::from_millis(50);

/// Log throttle for that.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// Grace period at a hand-over in which connections already in the old socket's backlog complete.
const HAND_OVER_GRACE: Duration = Duration::from_millis(250);

/// A listener as the configuration describes it.
#[derive(Clone, Debug)]
pub struct ListenerSpec {
    /// Where it listens.
    pub address: SocketAddress,
    /// Permissions of a Unix socket; those of the process' umask if absent.
    pub mode: Option<u32>,
    /// TLS, with ALPN `h2` and `http/1.1`; clear text without. Without ALPN, the protocol is
    /// sniffed from the client's first bytes.
    pub tls: Option<ServerTls>,
    /// Who begins connections with a header of the PROXY protocol; nobody if absent.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Limits of each client connection.
    pub limits: Arc<Limits>,
    /// Maximum concurrent connections; further ones are closed at once.
    pub max_connections: usize,
    /// Which headers tell backends about clients (`forwarded`, `x-forwarded-for`).
    pub forwarding: Arc<Forwarding>,
    /// What is done with requests that a backend may read differently.
    pub ambiguity: Ambiguity,
    /// Its clients are strangers: what they say of themselves is not believed.
    pub strangers: bool,
}

/// An accepted connection that is handed to a worker.
#[derive(Debug)]
pub struct Accepted {
    stream: Detached,
    peer: Peer,
    listener: Arc<Listener>,
    spec: Arc<ListenerSpec>,
    _count: CounterGuard,
    _listener_count: CounterGuard,
}

/// RAII guard that keeps a counter incremented.
#[derive(Debug)]
struct CounterGuard(Arc<AtomicUsize>);

impl CounterGuard {
    fn new(count: &Arc<AtomicUsize>) -> CounterGuard {
        count.fetch_add(1, Ordering::Relaxed);
        CounterGuard(Arc::clone(count))
    }
}

impl Drop for CounterGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accept loop: runs until the listener is closed, giving each connection to the worker that has
/// the fewest.
pub async fn accept_loop(
    socket: Arc<ListeningSocket>,
    listener: Arc<Listener>,
    workers: Vec<WorkerHandle>,
    clock: Clock,
) {
    let mut throttle = LogThrottle::every(WARN_INTERVAL, clock);
    loop {
        let accepted = tokio::select! {
            biased;
            () = listener.closed() => break,
            accepted = poll_fn(|cx| socket.poll_accept(cx)) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, &listener, &workers, &mut throttle),
            Err(error) => {
                listener.refusals.count(ConnectionRefusal::AcceptFailed);
                if throttle.is_due() {
                    let address = &listener.spec().address;
                    tracing::warn!(%address, %error, "cannot accept connections");
                }
                tokio::time::sleep(EMFILE_BACKOFF).await;
            }
        }
    }
    for worker in &workers {
        // A worker that has ended has no connections left.
        let _ = worker.commands.send(Command::Leave(Arc::clone(&listener))).await;
    }
    if listener.has_successor() {
        socket.tcp().map(drop_syns);
        accept_backlog(&socket, &listener, &workers, &mut throttle).await;
        tokio::time::sleep(HAND_OVER_GRACE).await;
    }
    accept_backlog(&socket, &listener, &workers, &mut throttle).await;
}

/// Accepts the rest of the backlog: the kernel has completed these handshakes, so the clients
/// consider themselves connected.
async fn accept_backlog(
    socket: &ListeningSocket,
    listener: &Arc<Listener>,
    workers: &[WorkerHandle],
    throttle: &mut LogThrottle,
) {
    for _ in 0..BACKLOG {
        let waiting = poll_fn(|cx| Poll::Ready(socket.poll_accept(cx)));
        match unconstrained(waiting).await {
            Poll::Ready(Ok((stream, peer))) => admit(stream, peer, listener, workers, throttle),
            Poll::Ready(Err(_)) => listener.refusals.count(ConnectionRefusal::AcceptFailed),
            Poll::Pending => return,
        }
    }
}

/// Hands a connection to a worker, or closes it and counts the refusal.
fn admit(
    stream: Socket,
    peer: Option<SocketAddr>,
    listener: &Arc<Listener>,
    workers: &[WorkerHandle],
    throttle: &mut LogThrottle,
) {
    if let Err(why) = hand_over(stream, peer, listener, workers) {
        listener.refusals.count(why);
        if throttle.is_due() {
            let address = &listener.spec().address;
            tracing::warn!(%address, reason = why.name(), "connections are refused");
        }
    }
}

fn hand_over(
    stream: Socket,
    peer: Option<SocketAddr>,
    listener: &Arc<Listener>,
    workers: &[WorkerHandle],
) -> Result<(), ConnectionRefusal> {
    let spec = listener.spec();
    if listener.connections.load(Ordering::Relaxed) >= spec.max_connections {
        return Err(ConnectionRefusal::MaxConnections);
    }
    if !stream.is_spare(Purpose::Client) {
        return Err(ConnectionRefusal::Descriptors);
    }
    let living = workers.iter().filter(|worker| !worker.commands.is_closed());
    let worker =
        living.min_by_key(|worker| worker.connections()).ok_or(ConnectionRefusal::WorkerBusy)?;
    let stream = stream.set_nodelay().and_then(|()| stream.detach());
    let accepted = Accepted {
        stream: stream.map_err(|_| ConnectionRefusal::AcceptFailed)?,
        peer: peer.map_or(Peer::Unix, |address| address.ip().into()),
        listener: Arc::clone(listener),
        spec,
        _count: CounterGuard::new(&worker.connections),
        _listener_count: CounterGuard::new(&listener.connections),
    };
    worker.commands.try_send(Command::Accept(accepted)).map_err(|_| ConnectionRefusal::WorkerBusy)
}

/// The worker's half of accepting: TLS handshake, then a connection with its driver.
pub struct Acceptor {
    worker: Rc<Worker>,
    front: Rc<dyn Front>,
    pace: Rc<Pace>,
    /// When a refused connection may be logged again.
    next_warning: Rc<Cell<Time>>,
}

impl Acceptor {
    /// An acceptor whose connections belong to `front`.
    pub fn new(worker: &Rc<Worker>, front: Rc<dyn Front>) -> Acceptor {
        let pace = Rc::<Pace>::default();
        let next_warning = Rc::new(Cell::new(Time::ZERO));
        Acceptor { worker: Rc::clone(worker), front, pace, next_warning }
    }

    /// Starts to serve a connection.
    pub fn accept(&self, accepted: Accepted) {
        let (worker, front) = (Rc::clone(&self.worker), Rc::clone(&self.front));
        let pace = Rc::clone(&self.pace);
        let next_warning = Rc::clone(&self.next_warning);
        self.worker.spawn(async move {
            let Accepted { stream, peer, listener, spec, _count, _listener_count } = accepted;
            let made = handshake(stream, peer, &spec, &pace).await;
            worker.read_clock();
            match made {
                Ok(Greeted { io, peer, certificate }) => {
                    let limits = Arc::clone(&spec.limits);
                    let tls = matches!(io, Io::Tls(_));
                    let origin = Origin::new(&spec, peer, tls, certificate);
                    let codec = Codec::server(limits, io.scheme(), io.alpn_protocol());
                    let conn = Conn::new(&worker, codec, io, peer, Owner::Front(front));
                    let closed = listener.is_closed();
                    conn.attach_listener(listener, origin);
                    if worker.is_draining() || closed {
                        conn.begin_leave(Closed::Drain);
                    }
                    conn.drive().await;
                }
                Err(error) => match error.refusal() {
                    Some(why) => {
                        listener.refusals.count(why);
                        warn_at_times(&worker, &next_warning, &spec.address, &error);
                    }
                    None => {
                        tracing::debug!(%error, "no connection");
                        front.opened();
                        front.closed(Closed::Handshake);
                    }
                },
            }
        });
    }
}

/// Logs a refused connection, unless one has been logged lately.
fn warn_at_times(
    worker: &Worker,
    next: &Cell<Time>,
    address: &SocketAddress,
    error: &HandshakeError,
) {
    let now = worker.now();
    if now >= next.get() {
        next.set(now + WARN_INTERVAL);
        tracing::warn!(%address, %error, "a connection is refused");
    }
}
