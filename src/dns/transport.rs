//! DNS transport: UDP, with TCP for truncated answers.
//!
//! hickory's own TCP fallback fails when two servers queried in parallel both truncate, and drops
//! the first part, which is what may be used if the whole cannot be had.

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

/// What may be done with the first part of an answer whose whole cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstPart {
    /// It is used: any address will do.
    Used,
    /// It is a failure: what it lacks may exist.
    Refused,
}

/// Why there is no whole answer.
const TOO_LONG: &str = "the answer does not fit into 64 KiB, the most that DNS carries (about 4,000 \
                        addresses): spread it over several names";

type Exchange = DnsExchange<TokioRuntimeProvider>;

/// Connects to name servers.
#[derive(Clone)]
pub struct Transport {
    tokio: TokioRuntimeProvider,
    first_part: FirstPart,
}

impl Transport {
    pub fn new(first_part: FirstPart) -> Transport {
        Transport { tokio: TokioRuntimeProvider::default(), first_part }
    }
}

/// A connected name server.
#[derive(Clone)]
pub struct Server {
    first: Exchange,
    /// Address for the TCP fallback; `None` if this is TCP already.
    tcp: Option<SocketAddr>,
    transport: Transport,
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
        let transport = self.clone();
        Ok(Box::pin(async move { Ok(Server { first: first.await?, tcp, transport }) }))
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
        if !answer.truncation {
            return Ok(answer);
        }
        let Some(address) = self.tcp else { return self.first_part(answer, TOO_LONG.into()) };
        let whole = timeout(TCP_TIMEOUT, self.query_tcp(address, request)).await;
        match whole.unwrap_or(Err(NetError::Timeout)) {
            Ok(answer) if answer.truncation => self.first_part(answer, TOO_LONG.into()),
            Ok(answer) => Ok(answer),
            Err(error) => {
                let why =
                    format!("the answer is cut off, and the whole is not had by TCP: {error}");
                self.first_part(answer, why.into())
            }
        }
    }

    async fn query_tcp(
        &self,
        address: SocketAddr,
        request: DnsRequest,
    ) -> Result<DnsResponse, NetError> {
        let tokio = self.transport.tokio.clone();
        let tcp = TcpClientStream::exchange(address, None, TCP_TIMEOUT, None, tokio).await?;
        let answer = tcp.send(request).first_answer().await?;
        match answer.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
            code => Err(NetError::from(format!("by TCP: {code}"))),
        }
    }

    /// The first part of an answer, if that may be used.
    fn first_part(&self, mut answer: DnsResponse, why: NetError) -> Result<DnsResponse, NetError> {
        if answer.answers.is_empty() || self.transport.first_part == FirstPart::Refused {
            return Err(why);
        }
        tracing::debug!(%why, "the first part of a name server's answer is used");
        answer.metadata.truncation = false;
        Ok(answer)
    }
}
