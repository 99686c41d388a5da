//! What all workers share to find endpoints.

use std::net::SocketAddr;

use super::connect::ConnectError;
use super::own::OwnAddresses;
use super::resolver::Resolver;

/// What all workers share to find endpoints.
#[derive(Debug)]
pub struct Dialer {
    resolver: Resolver,
    own: OwnAddresses,
}

impl Dialer {
    /// Resolves names by `resolver`, and lets no connection be made to what is `own`.
    pub fn new(resolver: Resolver, own: OwnAddresses) -> Dialer {
        Dialer { resolver, own }
    }

    /// All socket addresses of an endpoint: one at least.
    pub(super) async fn find(&self, endpoint: &str) -> Result<Vec<SocketAddr>, ConnectError> {
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
        if foreign.is_empty() { Err(ConnectError::Own) } else { Ok(foreign) }
    }
}
