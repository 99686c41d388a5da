//! Connections for health probes, which carry no client requests.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::connect::{ConnectError, connect};
use super::dialer::{Dialer, Found};
use super::settings::Settings;
use crate::model::SocketAddress;
use crate::net::{Io, Sockets};

/// A byte stream, TLS or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Dialer {
    /// Connects to `endpoint`, which is at `place`, by `settings`, within their timeout, to the first
    /// address that answers.
    ///
    /// # Errors
    /// Why that is not possible now.
    pub async fn connect_probe(
        &self,
        endpoint: &str,
        place: &str,
        settings: &Settings,
    ) -> Result<Box<dyn Stream>, ConnectError> {
        let looking = async {
            match self.find(place).await? {
                Found::Socket(path) => {
                    self.look_at(endpoint, &SocketAddress::Unix(path), settings).await
                }
                Found::Addresses(addresses) => {
                    let each =
                        settings.connect_timeout / u32::try_from(addresses.len()).unwrap_or(1);
                    let mut failure = ConnectError::Timeout;
                    for address in addresses {
                        let place = address.into();
                        let attempt = self.look_at(endpoint, &place, settings);
                        match timeout(each, attempt).await {
                            Ok(Ok(stream)) => return Ok(stream),
                            Ok(Err(error)) => failure = error,
                            Err(_) => {}
                        }
                    }
                    Err(failure)
                }
            }
        };
        timeout(settings.connect_timeout, looking).await.unwrap_or(Err(ConnectError::Timeout))
    }

    async fn look_at(
        &self,
        endpoint: &str,
        place: &SocketAddress,
        settings: &Settings,
    ) -> Result<Box<dyn Stream>, ConnectError> {
        match connect(&Sockets, endpoint, place, self.own(), settings).await? {
            Io::Plain(socket) => Ok(Box::new(socket)),
            Io::Tls(stream) => Ok(stream),
        }
    }
}
