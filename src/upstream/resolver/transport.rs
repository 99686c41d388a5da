//! DNS transport: UDP, with TCP for truncated answers.
//!
//! hickory's own TCP fallback fails when two servers queried in parallel both truncate, and drops
//! the partial answer.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, ProtocolConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle, DnsResponseStream, FirstAnswer};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, ResponseCode};
use hickory_resolver::{ConnectionProvider, PoolContext};
use tokio::time::timeout;

/// TCP timeout: if a firewall drops TCP, the truncated answer is used soon.
const TCP_TIMEOUT: Duration = Duration::from_secs(2);

type Exchange = DnsExchange<TokioRuntimeProvider>;

/// Connects to name servers.
#[derive(Clone, Default)]
pub struct Transport {
    tokio: TokioRuntimeProvider,
}

/// A connected name server.
#[derive(Clone)]
pub struct Server {
    first: Exchange,
    /// Address for the TCP fallback; `None` if this is TCP already.
    tcp: Option<SocketAddr>,
    tokio: TokioRuntimeProvider,
}

impl ConnectionProvider for Transport {
    type Conn = Server;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Server, NetError>> + Send>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let first = self.tokio.new_connection(ip, config, context)?;
        let udp = matches!(config.protocol, ProtocolConfig::Udp);
        let tcp = udp.then(|| SocketAddr::new(ip, config.port));
        let tokio = self.tokio.clone();
        Ok(Box::pin(async move { Ok(Server { first: first.await?, tcp, tokio }) }))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.tokio
    }
}

impl DnsHandle for Server {
    type Response = DnsResponseStream;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> DnsResponseStream {
        Box::pin(self.clone().ask(request)).into()
    }
}

impl Server {
    async fn ask(self, mut request: DnsRequest) -> Result<DnsResponse, NetError> {
        let mut answer = self.first.send(request.clone()).first_answer().await?;
        let too_old = matches!(answer.response_code, ResponseCode::FormErr | ResponseCode::NotImp);
        if too_old && request.edns.take().is_some() {
            answer = self.first.send(request.clone()).first_answer().await?;
        }
        match self.tcp {
            Some(address) if answer.truncation => {
                let whole = timeout(TCP_TIMEOUT, self.query_tcp(address, request)).await;
                whole
                    .unwrap_or(Err(NetError::Timeout))
                    .or_else(|error| truncated_records(answer, error))
            }
            _ => Ok(answer),
        }
    }

    async fn query_tcp(
        &self,
        address: SocketAddr,
        request: DnsRequest,
    ) -> Result<DnsResponse, NetError> {
        let tokio = self.tokio.clone();
        let tcp = TcpClientStream::exchange(address, None, TCP_TIMEOUT, None, tokio).await?;
        let answer = tcp.send(request).first_answer().await?;
        match answer.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
            code => Err(NetError::from(format!("by TCP: {code}"))),
        }
    }
}

/// The records of a truncated answer, if it has any.
fn truncated_records(mut answer: DnsResponse, error: NetError) -> Result<DnsResponse, NetError> {
    if answer.answers.is_empty() {
        return Err(error);
    }
    tracing::debug!(%error, "a name server's whole answer cannot be had: its first part is used");
    answer.metadata.truncation = false;
    Ok(answer)
}
