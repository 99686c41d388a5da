//! Tonic backends that count requests.

use std::error::Error;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::server::{Connected, TcpIncoming};
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::PATIENCE;
use super::echo::Message;
use super::echo::echo_server::{Echo, EchoServer};

/// Options of a backend.
#[derive(Clone, Default)]
pub struct Options {
    pub address: Option<SocketAddr>,
    /// Limit of concurrent streams per connection.
    pub max_streams: Option<u32>,
    /// Response delay in milliseconds.
    pub latency: Option<Range<u64>>,
    pub tls: Option<ServerTlsConfig>,
    pub gzip: bool,
    /// Its `grpc.health.v1` status; the service exists only with this.
    pub health: Option<HealthReporter>,
}

/// Counters and switches of a backend.
#[derive(Debug)]
pub struct Seen {
    /// Requests received.
    pub requests: AtomicUsize,
    /// Requests in flight.
    pub active: AtomicUsize,
    /// Whether requests with `x-hold` are answered.
    pub open: watch::Sender<bool>,
    /// Of so many requests one is refused with UNAVAILABLE; none if this is 0.
    pub failing: AtomicUsize,
}

impl Seen {
    pub fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    pub fn active(&self) -> usize {
        self.active.load(SeqCst)
    }
}

/// A gRPC server with threads of its own.
pub struct Backend {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
}

impl Backend {
    pub async fn start() -> Backend {
        Backend::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Backend {
        let (requests, active) = Default::default();
        let (open, failing) = (watch::Sender::new(false), AtomicUsize::new(0));
        let seen = Arc::new(Seen { requests, active, open, failing });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = oneshot::channel();
        let (seen_there, latency) = (Arc::clone(&seen), options.latency.clone());
        runtime.spawn(async move {
            let listener = listen(options.address).await;
            let address = listener.local_addr().unwrap();
            bound.send(address).unwrap();
            let service = Service { name: address.to_string(), seen: seen_there, latency };
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            serve(incoming, service, options, stopped).await;
        });
        let address = address.await.unwrap();
        Backend { address, seen, stop: Some(stop), runtime: Some(runtime) }
    }

    /// Shuts down gracefully: stops accepting, sends GOAWAY, finishes requests in flight.
    pub fn leave(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Shuts down at once, closing its connections.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts or stops refusing every request.
    pub fn fail(&self, failing: bool) {
        self.fail_one_in(failing.into());
    }

    /// Refuses one of so many requests from now on; 0 for none.
    pub fn fail_one_in(&self, requests: usize) {
        self.seen.failing.store(requests, SeqCst);
    }

    /// Releases held requests, present and future.
    pub fn release(&self) {
        self.seen.open.send_replace(true);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Listens on an ephemeral port, or on one that a killed backend is about to free.
async fn listen(address: Option<SocketAddr>) -> TcpListener {
    let address = address.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
    let begun = Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A backend on a Unix socket, until the task is aborted; its address is `unix:` and the path.
pub fn at_socket(path: &Path, tls: Option<ServerTlsConfig>) -> JoinHandle<()> {
    let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
    let (requests, active) = Default::default();
    let (open, failing) = (watch::Sender::new(false), AtomicUsize::new(0));
    let seen = Arc::new(Seen { requests, active, open, failing });
    let service = Service { name: format!("unix:{}", path.display()), seen, latency: None };
    let options = Options { tls, ..Options::default() };
    tokio::spawn(async move { serve(incoming, service, options, oneshot::channel().1).await })
}

async fn serve<S, E>(
    incoming: impl Stream<Item = Result<S, E>>,
    service: Service,
    options: Options,
    stopped: oneshot::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    S::ConnectInfo: Clone + Send + Sync,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let most = 512 << 20;
    let mut echo =
        EchoServer::new(service).max_decoding_message_size(most).max_encoding_message_size(most);
    if options.gzip {
        let gzip = CompressionEncoding::Gzip;
        echo = echo.accept_compressed(gzip).send_compressed(gzip);
    }
    let mut server = Server::builder()
        .max_concurrent_streams(options.max_streams)
        .http2_max_header_list_size(1 << 20);
    if let Some(tls) = options.tls {
        server = server.tls_config(tls).unwrap();
    }
    let stop = async {
        if stopped.await.is_err() {
            std::future::pending().await // it ends with its runtime
        }
    };
    let health = options.health.map(HealthService::from_health_reporter).map(HealthServer::new);
    let server = server.add_service(echo).add_optional_service(health);
    server.serve_with_incoming_shutdown(incoming, stop).await.unwrap();
}

struct Service {
    name: String,
    seen: Arc<Seen>,
    latency: Option<Range<u64>>,
}

/// Guard of a request in flight.
struct Active(Arc<Seen>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, SeqCst);
    }
}

impl Service {
    /// Applies the delays and holds that the request's metadata asks for.
    async fn begin<T>(&self, request: &Request<T>) -> Result<Active, Status> {
        let before = self.seen.requests.fetch_add(1, SeqCst);
        self.seen.active.fetch_add(1, SeqCst);
        let active = Active(Arc::clone(&self.seen));
        let one_in = self.seen.failing.load(SeqCst);
        if one_in > 0 && before.is_multiple_of(one_in) {
            return Err(Status::unavailable("failing"));
        }
        if let Some(latency) = &self.latency {
            let took = fastrand::u64(latency.start * 1000..latency.end * 1000);
            tokio::time::sleep(Duration::from_micros(took)).await;
        }
        if request.metadata().contains_key("x-hold") {
            let _ = self.seen.open.subscribe().wait_for(|open| *open).await;
        }
        let only = request.metadata().get("x-status-of");
        let asked = only.is_none_or(|only| only.as_bytes() == self.name.as_bytes());
        match request.metadata().get("x-status").filter(|_| asked) {
            None => Ok(active),
            Some(code) => {
                let code = Code::from_bytes(code.as_bytes());
                let message = "asked for: \u{fc} \u{20ac} 100 %\n";
                let details = vec![0, 1, 254, 255].into();
                let mut metadata = request.metadata().clone();
                metadata.insert("x-backend", self.name.parse().unwrap());
                Err(Status::with_details_and_metadata(code, message, details, metadata))
            }
        }
    }

    /// A response that echoes the request's metadata and names the backend.
    fn answer<T>(&self, metadata: MetadataMap, message: T) -> Response<T> {
        let mut response = Response::new(message);
        *response.metadata_mut() = metadata;
        response.metadata_mut().insert("x-backend", self.name.parse().unwrap());
        response
    }
}

type Messages = Pin<Box<dyn Stream<Item = Result<Message, Status>> + Send>>;

#[tonic::async_trait]
impl Echo for Service {
    async fn unary(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        let _active = self.begin(&request).await?;
        let payload = request.get_ref().payload.clone();
        Ok(self.answer(request.metadata().clone(), Message { payload, replies: 0 }))
    }

    /// Answers with all payloads concatenated, and their number.
    async fn client_stream(
        &self,
        mut request: Request<Streaming<Message>>,
    ) -> Result<Response<Message>, Status> {
        let _active = self.begin(&request).await?;
        let mut whole = Message::default();
        while let Some(message) = request.get_mut().message().await? {
            whole.payload.extend_from_slice(&message.payload);
            whole.replies += 1;
        }
        Ok(self.answer(request.metadata().clone(), whole))
    }

    type ServerStreamStream = Messages;

    /// Answers with the requested number of copies of the payload, numbered.
    async fn server_stream(&self, request: Request<Message>) -> Result<Response<Messages>, Status> {
        let active = self.begin(&request).await?;
        let Message { payload, replies } = request.get_ref().clone();
        let messages: Messages = Box::pin(tokio_stream::iter(0..replies).map(move |number| {
            let _ = &active;
            Ok(Message { payload: payload.clone(), replies: number })
        }));
        Ok(self.answer(request.metadata().clone(), messages))
    }

    type BidiStream = Messages;

    /// Echoes each message at once.
    async fn bidi(
        &self,
        mut request: Request<Streaming<Message>>,
    ) -> Result<Response<Messages>, Status> {
        let active = self.begin(&request).await?;
        let metadata = request.metadata().clone();
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let _active = active;
            loop {
                let next = tokio::select! {
                    next = request.get_mut().message() => next,
                    () = sender.closed() => return,
                };
                let message = match next {
                    Ok(Some(message)) => Ok(message),
                    Ok(None) => return,
                    Err(status) => Err(status),
                };
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        });
        let messages: Messages = Box::pin(ReceiverStream::new(receiver));
        Ok(self.answer(metadata, messages))
    }
}
