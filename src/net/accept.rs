//! Listening sockets, and the way of a new connection to its worker.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::conn::{Closed, Conn, Handler};
use super::io::Io;
use super::worker::{Command, Worker, WorkerHandle};
use crate::http2::{Connection, Limits};

/// How long to wait when the process has no file descriptor left for a new connection.
const BACK_OFF: Duration = Duration::from_millis(50);

/// TLS handshakes under way on one worker; further ones wait, within their time.
const HANDSHAKES: usize = 256;

/// A listener as the configuration describes it.
#[derive(Clone, Debug)]
pub struct ListenerSpec {
    /// Where it listens.
    pub address: SocketAddr,
    /// TLS, with ALPN `h2`; clear text with prior knowledge of HTTP/2 without.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// What clients may use of us.
    pub limits: Arc<Limits>,
    /// Connections at a time; more are closed at once.
    pub max_connections: usize,
}

/// A connection on its way to a worker.
#[derive(Debug)]
pub struct Accepted {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    listener: Arc<ListenerSpec>,
    _count: Counted,
    _listener_count: Counted,
}

/// Holds a count up by one.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts until `stop` ends, giving each connection to the worker that has the fewest.
pub async fn accept_loop(
    listener: TcpListener,
    spec: Arc<ListenerSpec>,
    workers: Vec<WorkerHandle>,
    stop: impl Future<Output = ()>,
) {
    let open = Arc::new(AtomicUsize::new(0));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) if open.load(Ordering::Relaxed) < spec.max_connections => {
                hand_over(stream, peer, &spec, &workers, &open);
            }
            Ok(_) => tracing::debug!(address = %spec.address, "connection limit reached"),
            Err(error) => {
                tracing::warn!(address = %spec.address, %error, "cannot accept");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

fn hand_over(
    stream: TcpStream,
    peer: SocketAddr,
    spec: &Arc<ListenerSpec>,
    workers: &[WorkerHandle],
    open: &Arc<AtomicUsize>,
) {
    let Some(worker) =
        workers.iter().filter(|w| !w.commands.is_closed()).min_by_key(|w| w.connections())
    else {
        return;
    };
    let stream = match stream.set_nodelay(true).and_then(|()| stream.into_std()) {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "connection lost before it began"),
    };
    let accepted = Accepted {
        stream,
        peer,
        listener: Arc::clone(spec),
        _count: Counted::new(&worker.connections),
        _listener_count: Counted::new(open),
    };
    if worker.commands.try_send(Command::Accept(accepted)).is_err() {
        tracing::warn!("a worker does not keep up with new connections: one is dropped");
    }
}

/// Brings accepted connections to life on a worker.
pub struct Acceptor {
    worker: Rc<Worker>,
    handler: Rc<dyn Handler>,
    handshakes: Rc<Semaphore>,
}

impl Acceptor {
    /// An acceptor whose connections belong to `handler`.
    pub fn new(worker: &Rc<Worker>, handler: Rc<dyn Handler>) -> Acceptor {
        let handshakes = Rc::new(Semaphore::new(HANDSHAKES));
        Acceptor { worker: Rc::clone(worker), handler, handshakes }
    }

    /// Starts to serve a connection.
    pub fn accept(&self, accepted: Accepted) {
        let (worker, handler) = (Rc::clone(&self.worker), Rc::clone(&self.handler));
        let handshakes = Rc::clone(&self.handshakes);
        self.worker.spawn(async move {
            let Accepted { stream, peer, listener, _count, _listener_count } = accepted;
            match handshake(stream, &listener, &handshakes).await {
                Ok(io) => {
                    worker.read_clock();
                    let h2 = Connection::server(Arc::clone(&listener.limits));
                    let conn = Conn::new(&worker, h2, io, peer, handler);
                    if worker.is_draining() {
                        conn.begin_leave();
                    }
                    conn.drive().await;
                }
                Err(error) => {
                    tracing::debug!(%error, "handshake failed");
                    handler.opened();
                    handler.closed(Closed::Handshake);
                }
            }
        });
    }
}

async fn handshake(
    stream: std::net::TcpStream,
    spec: &ListenerSpec,
    handshakes: &Semaphore,
) -> std::io::Result<Io> {
    let stream = TcpStream::from_std(stream)?;
    super::io::watch_liveness(&stream, &spec.limits)?;
    let Some(tls) = &spec.tls else { return Ok(Io::Plain(stream)) };
    let accept = async {
        let _permit = handshakes.acquire().await.map_err(std::io::Error::other)?;
        TlsAcceptor::from(Arc::clone(tls)).accept(stream).await
    };
    let stream = tokio::time::timeout(spec.limits.handshake_timeout, accept).await??;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(std::io::Error::other("the client did not agree on h2 by ALPN"));
    }
    Ok(Io::Tls(Box::new(stream.into())))
}
