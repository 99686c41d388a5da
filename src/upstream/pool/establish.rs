//! Establishing a connection: Happy Eyeballs over the endpoint's addresses (RFC 8305).

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Pool;
use super::callbacks::ConnCallbacks;
use super::guards::CloseOnDrop;
use crate::dns::LookupError;
use crate::model::{ConnectionCount, Peer, SocketAddress};
use crate::net::{self, Closed, Codec, Conn};
use crate::upstream::connect::{ConnectError, connect};
use crate::upstream::dialer::Found;
use crate::upstream::settings::Version;

/// Connection Attempt Delay (RFC 8305).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Maximum connect timeout of an endpoint that is suspected to be frozen: once it recovers, a new
/// attempt succeeds sooner than an old one.
const SUSPECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A ready connection and its gauge.
struct Ready {
    conn: Rc<Conn>,
    guard: CloseOnDrop,
    counted: Rc<Cell<Option<ConnectionCount>>>,
}

impl Pool {
    /// To be called before each [`Pool::connect`], so that no other one starts concurrently.
    pub(super) fn begin_connecting(&self) {
        self.connecting.set(self.connecting.get() + 1);
        self.connecting_since.set(self.worker.now());
    }

    pub(super) async fn connect(self: Rc<Self>) {
        let counted = self.endpoint.count_connecting();
        self.endpoint.note_connectivity(self.worker.now());
        let ready = self.establish().await;
        self.connecting.set(self.connecting.get() - 1);
        *self.unreachable.borrow_mut() = match ready {
            Ok(()) => None,
            Err(_) => Some(counted),
        };
        match ready {
            Ok(()) => {
                self.forget_failures();
                self.observer.connected(&self.endpoint, self.worker.now());
            }
            Err(error) => self.note_failure(&error),
        }
        self.endpoint.note_connectivity(self.worker.now());
        self.wait_queue.notify_waiters();
        self.news.notify_waiters();
        self.close_unneeded();
    }

    /// Resolves and connects, within the connect timeout.
    async fn establish(self: &Rc<Self>) -> Result<(), ConnectError> {
        let found = Cell::new(false);
        let making = async {
            let places = self.dialer.find(self.endpoint.place()).await?;
            found.set(true);
            match places {
                Found::Addresses(addresses) => self.race(&addresses).await,
                Found::Socket(path) => {
                    let why = Rc::new(Cell::new(Closed::PrefaceTimeout));
                    Rc::clone(self).connect_to(SocketAddress::Unix(path), why).await
                }
            }
        };
        let patience = match self.endpoint.suspected() {
            Some(_) => self.settings.connect_timeout.min(SUSPECT_TIMEOUT),
            None => self.settings.connect_timeout,
        };
        let ready = match timeout(patience, making).await {
            Ok(ready) => ready?,
            Err(_) if found.get() => return Err(ConnectError::Timeout),
            Err(_) => return Err(LookupError::Silent.into()),
        };
        if ready.conn.is_leaving() {
            return Err(ConnectError::refused(&self.settings));
        }
        if self.endpoint.connected() == 0 {
            // The latency estimates belong to a process, or a network path, that is gone.
            self.endpoint.load().forget();
        }
        ready.counted.set(Some(self.endpoint.count_connected()));
        self.conns.borrow_mut().push(ready.conn);
        ready.guard.keep();
        Ok(())
    }

    /// Records the end of an established connection.
    fn note_end(&self, owner: &ConnCallbacks) {
        let now = self.worker.now();
        let outage = self.endpoint.outage();
        if owner.is_lost() {
            outage.note_loss(now);
        } else if owner.left_in_good_order() {
            self.endpoint.note_left(now);
        }
        // Other connections to a frozen endpoint are as good as lost: nothing was received on them
        // either, and if they are idle nothing else would tell.
        let is_alone = self.endpoint.connected() == 0 || self.endpoint.suspected().is_some();
        if is_alone && outage.is_losing(now) {
            self.observer.lost(&self.endpoint, now);
        }
    }

    /// Races the addresses, starting the next one when an attempt fails or is slow; the first ready
    /// connection wins.
    async fn race(self: &Rc<Self>, addresses: &[SocketAddr]) -> Result<Ready, ConnectError> {
        let now = self.worker.now();
        let mut addresses = self.candidates.borrow_mut().order(addresses, now).into_iter();
        let delay = ATTEMPT_DELAY.min(self.settings.connect_timeout / 4);
        let mut attempts = JoinSet::new();
        let mut failure = ConnectError::Timeout;
        let why = Rc::new(Cell::new(Closed::PrefaceTimeout));
        loop {
            if let Some(address) = addresses.next() {
                self.candidates.borrow_mut().begin(address, self.worker.now());
                let (pool, why) = (Rc::clone(self), Rc::clone(&why));
                let attempt = async move { (address, pool.connect_to(address.into(), why).await) };
                attempts.spawn_local(attempt);
            }
            let next = async {
                match addresses.len() {
                    0 => std::future::pending().await,
                    _ => self.worker.sleep(delay).await,
                }
            };
            tokio::select! {
                biased;
                ended = attempts.join_next() => match ended {
                    Some(Ok((address, Ok(ready)))) => {
                        self.candidates.borrow_mut().succeed(address);
                        why.set(Closed::Cancelled);
                        return Ok(ready);
                    }
                    Some(Ok((_, Err(error)))) => failure = more_informative(failure, error),
                    Some(Err(_)) => {} // the attempt was aborted: ignored
                    None => return Err(failure),
                },
                () = next => {}
            }
        }
    }

    /// Connects and waits for the peer's SETTINGS, which tell its stream limit. Dropping this
    /// future closes the connection with the reason in `why`.
    async fn connect_to(
        self: Rc<Self>,
        place: SocketAddress,
        why: Rc<Cell<Closed>>,
    ) -> Result<Ready, ConnectError> {
        let (connector, own) = (self.worker.connector(), self.dialer.own());
        let io = connect(connector, self.endpoint.address(), &place, own, &self.settings).await?;
        let limits = Arc::clone(&self.settings.limits);
        let codec = match self.settings.version {
            Version::Http1 => Codec::http1_client(limits),
            Version::Http2 => Codec::http2_client(limits),
        };
        let owner = Rc::new(ConnCallbacks::new(&self));
        let told = net::Owner::Upstream(Rc::clone(&owner) as Rc<dyn net::Upstream>);
        let conn = Conn::new(&self.worker, codec, io, Peer::from(&place), told);
        let (pool, driven) = (Rc::clone(&self), Rc::clone(&conn));
        let counted = Rc::new(Cell::new(None));
        let count = Rc::clone(&counted);
        let (guard, ending) = (CloseOnDrop::new(&conn, &why), Rc::clone(&owner));
        self.worker.spawn(async move {
            driven.clone().drive().await;
            for conns in [&pool.conns, &pool.draining] {
                conns.borrow_mut().retain(|conn| !Rc::ptr_eq(conn, &driven));
            }
            if count.take().is_some() {
                pool.note_end(&ending);
            }
            pool.endpoint.note_connectivity(pool.worker.now());
            pool.wait_queue.notify_waiters();
            pool.news.notify_waiters();
        });
        loop {
            let news = owner.news.notified();
            if conn.is_leaving() {
                return Err(ConnectError::refused(&self.settings));
            }
            if conn.is_ready() {
                break;
            }
            news.await;
        }
        owner.established();
        Ok(Ready { conn, guard, counted })
    }
}

/// The more useful of two errors: no route for an address family is the least.
fn more_informative(before: ConnectError, after: ConnectError) -> ConnectError {
    use std::io::ErrorKind::{AddrNotAvailable, NetworkUnreachable};
    let no_route = |error: &ConnectError| {
        matches!(error, ConnectError::Nobody(error)
            if matches!(error.kind(), AddrNotAvailable | NetworkUnreachable))
    };
    let nothing = matches!(before, ConnectError::Timeout);
    if nothing || !no_route(&after) { after } else { before }
}
