//! What all workers share to find endpoints.

use std::net::SocketAddr;

use super::connect::ConnectError;
use super::resolver::Resolver;

/// What all workers share to find endpoints.
#[derive(Debug)]
pub struct Dialer {
    resolver: Resolver,
}

impl Dialer {
    /// Resolves names by `resolver`.
    pub fn new(resolver: Resolver) -> Dialer {
        Dialer { resolver }
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
        Ok(found)
    }
}
