//! What all workers share to find endpoints.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connect::ConnectError;
use super::own::OwnAddresses;
use super::resolver::Resolver;
use crate::text::address;

/// Where an endpoint is.
#[derive(Debug)]
pub enum Found {
    /// At any of these, one at least.
    Addresses(Vec<SocketAddr>),
    /// At this path.
    Socket(Arc<str>),
}

/// What all workers share to find endpoints.
#[derive(Debug)]
pub struct Dialer {
    resolver: Resolver,
    own: OwnAddresses,
    /// One for each connection that is kept while no request asks for it.
    kept: Arc<Semaphore>,
    /// One for each of these that is being made for the first time.
    beginning: Arc<Semaphore>,
}

/// Connections that are kept and are made for the first time, at a time.
const BEGINNING: usize = 128;

impl Dialer {
    /// Resolves names by `resolver`, lets no connection be made to what is `own`, and has at most
    /// `most_kept` connections kept that no request asks for.
    pub fn new(resolver: Resolver, own: OwnAddresses, most_kept: usize) -> Dialer {
        let kept = Arc::new(Semaphore::new(most_kept.min(Semaphore::MAX_PERMITS)));
        Dialer { resolver, own, kept, beginning: Arc::new(Semaphore::new(BEGINNING)) }
    }

    /// The place of a connection that is kept, once there is one.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.kept).acquire_owned().await.ok()
    }

    /// Lets only so many begin at a time.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.beginning).acquire_owned().await.ok()
    }

    /// Where no connection is to end.
    pub(super) fn own(&self) -> &OwnAddresses {
        &self.own
    }

    /// All places of an endpoint.
    pub(super) async fn find(&self, endpoint: &str) -> Result<Found, ConnectError> {
        if let Some(path) = address::socket(endpoint) {
            let path = path.map_err(|_| ConnectError::Address)?;
            return match self.own.include_path(&path) {
                true => Err(ConnectError::Own),
                false => Ok(Found::Socket(path.into())),
            };
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
        let foreign: Vec<SocketAddr> =
            found.into_iter().filter(|address| !self.own.include(*address)).collect();
        if foreign.is_empty() { Err(ConnectError::Own) } else { Ok(Found::Addresses(foreign)) }
    }
}
