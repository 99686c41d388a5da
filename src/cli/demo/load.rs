//! The demo's load generator: open-loop calls at a constant rate over a few connections, in its own
//! thread.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use http::{Method, Request, Uri, Version};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use super::Failure;
use super::echo::{self, EchoMessage};
use crate::clock::Clock;
use crate::stats::{Histogram, HistogramCounts};

/// Enough to reach all workers.
const CONNECTIONS: u32 = 4;
/// Backoff before reconnecting.
const RECONNECT: Duration = Duration::from_millis(200);
/// Metadata key that selects a policy's service.
pub const POLICY: &str = "x-policy";
const TIMEOUT: (HeaderName, HeaderValue) =
    (HeaderName::from_static("grpc-timeout"), HeaderValue::from_static("10S"));

/// A running load generator, stopped on drop.
pub struct Load {
    results: Arc<Results>,
    _running: oneshot::Sender<Infallible>,
}

/// Results as measured by the client.
#[derive(Default)]
struct Results {
    duration: Histogram,
    failed: AtomicU64,
}

impl Load {
    /// Starts `rate` calls a second to the gateway at `address`, with this policy in their
    /// metadata.
    pub fn start(address: SocketAddr, policy: &'static str, rate: u32) -> io::Result<Load> {
        let uri: Uri =
            format!("http://{address}{}", echo::PATH).parse().map_err(io::Error::other)?;
        let results = Arc::new(Results::default());
        let (running, stop) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Client { address, uri, policy, results: Arc::clone(&results) };
        let pause = Duration::from_secs(1) * CONNECTIONS / rate.max(1);
        thread::Builder::new().name("demo-load".into()).spawn(move || {
            runtime.block_on(async {
                for _ in 0..CONNECTIONS {
                    tokio::spawn(client.clone().call_for_ever(pause));
                }
                let _ = stop.await; // resolves when the sender is dropped
            });
        })?;
        Ok(Load { results, _running: running })
    }

    /// Latencies of successful calls, and the number of failures.
    pub fn results(&self) -> (HistogramCounts, u64) {
        let mut counts = HistogramCounts::default();
        self.results.duration.add_to(&mut counts);
        (counts, self.results.failed.load(Relaxed))
    }
}

#[derive(Clone)]
struct Client {
    address: SocketAddr,
    uri: Uri,
    policy: &'static str,
    results: Arc<Results>,
}

impl Client {
    /// Calls once each `pause`, whether or not earlier calls have completed.
    async fn call_for_ever(self, pause: Duration) {
        loop {
            if let Err(error) = self.call_until_broken(pause).await {
                tracing::warn!(%error, "the load lost its connection to the gateway");
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn call_until_broken(&self, pause: Duration) -> Result<(), Failure> {
        let clock = Clock::start();
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let (mut sender, connection) = h2::client::handshake(socket).await?;
        tokio::spawn(connection);
        let mut turns = tokio::time::interval(pause);
        turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            turns.tick().await;
            sender = sender.ready().await?;
            let response = self.send(&mut sender)?;
            let results = Arc::clone(&self.results);
            tokio::spawn(async move {
                let sent = clock.now();
                match succeeded(response).await {
                    Ok(true) => results.duration.record(clock.now().since(sent)),
                    _ => {
                        results.failed.fetch_add(1, Relaxed);
                    }
                }
            });
        }
    }

    fn send(&self, sender: &mut SendRequest<Bytes>) -> Result<ResponseFuture, h2::Error> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().extend([
            (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
            (TE, HeaderValue::from_static("trailers")),
            TIMEOUT,
            (HeaderName::from_static(POLICY), HeaderValue::from_static(self.policy)),
        ]);
        let (response, mut body) = sender.send_request(request, false)?;
        body.send_data(EchoMessage { text: "hello".into() }.framed(), true)?;
        Ok(response)
    }
}

/// Awaits the whole response; returns whether its status is OK.
async fn succeeded(response: ResponseFuture) -> Result<bool, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    while let Some(piece) = body.data().await {
        body.flow_control().release_capacity(piece?.len())?;
    }
    let trailers = body.trailers().await?;
    let ok = |headers: &HeaderMap| headers.get("grpc-status").is_some_and(|code| code == "0");
    Ok(ok(&head.headers) || trailers.is_some_and(|trailers| ok(&trailers)))
}
