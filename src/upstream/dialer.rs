//! The dialer: name resolution and connection budgets shared by all workers.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connect::ConnectError;
use super::own::{OwnAddresses, Refusals};
use super::resolver::Resolver;
use crate::text::address;

/// The location of an endpoint.
#[derive(Debug)]
pub enum Found {
    /// TCP: one or more addresses.
    Addresses(Vec<SocketAddr>),
    /// A Unix socket path.
    Socket(Arc<str>),
}

/// Shared by all workers: resolver, own addresses, budgets for warm connections.
#[derive(Debug)]
pub struct Dialer {
    resolver: Resolver,
    own: Refusals,
    /// A permit for each warm connection.
    warm: Arc<Semaphore>,
    /// A permit for each warm connection being established for the first time.
    connecting: Arc<Semaphore>,
}

/// Concurrent first attempts of warm connections.
const MAX_CONNECTING: usize = 128;

impl Dialer {
    /// A dialer that resolves by `resolver`, refuses the addresses of control API and metrics, `own`,
    /// and allows at most `max_warm` warm connections.
    pub fn new(resolver: Resolver, own: OwnAddresses, max_warm: usize) -> Dialer {
        let warm = Arc::new(Semaphore::new(max_warm.min(Semaphore::MAX_PERMITS)));
        let own = Refusals::of(own);
        Dialer { resolver, own, warm, connecting: Arc::new(Semaphore::new(MAX_CONNECTING)) }
    }

    /// From now on refuses the addresses of these listeners for clients, and no others.
    pub fn set_listeners(&self, listeners: OwnAddresses) {
        self.own.set_clients(listeners);
    }

    /// Waits for a permit to keep a warm connection.
    pub(super) async fn warm_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.warm).acquire_owned().await.ok()
    }

    /// Waits for a permit to establish one for the first time.
    pub(super) async fn connect_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.connecting).acquire_owned().await.ok()
    }

    /// The addresses that must not be connected to.
    pub(super) fn own(&self) -> &Refusals {
        &self.own
    }

    /// Resolves an endpoint.
    pub(super) async fn find(&self, endpoint: &str) -> Result<Found, ConnectError> {
        if let Some(path) = address::socket(endpoint) {
            let path = path.map_err(|_| ConnectError::Address)?;
            self.own.check(|own| own.include_path(&path))?;
            return Ok(Found::Socket(path.into()));
        }
        let found = match (endpoint.parse::<SocketAddr>(), endpoint.rsplit_once(':')) {
            (Ok(address), _) => vec![address],
            (Err(_), Some((host, port))) => {
                let port = port.parse().map_err(|_| ConnectError::Address)?;
                let ips = self.resolver.resolve(host).await?;
                ips.iter().map(|ip| SocketAddr::new(ip.to_canonical(), port)).collect()
            }
            (Err(_), None) => return Err(ConnectError::Address),
        };
        let (mut foreign, mut refused) = (Vec::new(), ConnectError::Own);
        for address in found {
            match self.own.check(|own| own.include(address)) {
                Ok(()) => foreign.push(address),
                Err(error) => refused = error,
            }
        }
        if foreign.is_empty() { Err(refused) } else { Ok(Found::Addresses(foreign)) }
    }
}
