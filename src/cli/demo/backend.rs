//! A backend of the demo: a gRPC server (on the h2 crate) in its own thread, with artificial
//! latency.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::echo::{self, EchoMessage};

/// Maximum of concurrent calls on a connection.
const MAX_STREAMS: u32 = 1000;
/// Random variation of the latency, as a fraction, up and down.
const JITTER: f64 = 0.2;

/// A running backend, stopped on drop.
pub struct Backend {
    name: &'static str,
    address: SocketAddr,
    delay: Arc<AtomicU64>,
    _running: oneshot::Sender<Infallible>,
}

impl Backend {
    /// Starts a backend with a latency of `delay` on a free loopback port.
    pub fn start(name: &'static str, delay: Duration) -> io::Result<Backend> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let delay = Arc::new(AtomicU64::new(micros(delay)));
        let (running, stop) = oneshot::channel();
        let echo = Echo { name, address, delay: Arc::clone(&delay) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name(format!("demo-{name}")).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stop => {}
                    result = serve(listener, echo) => {
                        if let Err(error) = result {
                            tracing::error!(backend = name, %error, "a backend has ended");
                        }
                    }
                }
            });
        })?;
        Ok(Backend { name, address, delay, _running: running })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its current latency.
    pub fn delay(&self) -> Duration {
        Duration::from_micros(self.delay.load(Relaxed))
    }

    /// Sets the latency.
    pub fn set_delay(&self, delay: Duration) {
        self.delay.store(micros(delay), Relaxed);
    }
}

fn micros(delay: Duration) -> u64 {
    u64::try_from(delay.as_micros()).unwrap_or(u64::MAX)
}

async fn serve(listener: std::net::TcpListener, echo: Echo) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let echo = echo.clone();
        tokio::spawn(async move {
            if let Err(error) = echo.connection(socket).await {
                tracing::debug!(backend = echo.name, %error, "a connection has ended");
            }
        });
    }
}

/// The echo service.
#[derive(Clone)]
struct Echo {
    name: &'static str,
    address: SocketAddr,
    delay: Arc<AtomicU64>,
}

impl Echo {
    async fn connection(&self, socket: TcpStream) -> Result<(), h2::Error> {
        let mut builder = h2::server::Builder::new();
        let mut connection = builder.max_concurrent_streams(MAX_STREAMS).handshake(socket).await?;
        while let Some(stream) = connection.accept().await {
            let (request, respond) = stream?;
            let echo = self.clone();
            tokio::spawn(async move {
                // On an error the caller is gone.
                let _ = echo.answer(request, respond).await;
            });
        }
        Ok(())
    }

    async fn answer(
        &self,
        request: Request<h2::RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let mut head = Response::new(());
        head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        if request.uri().path() != echo::PATH {
            head.headers_mut().extend(status("12", "the demo has demo.Echo/Say alone"));
            return respond.send_response(head, true).map(drop);
        }
        let Some(said) = EchoMessage::read(request.into_body()).await? else {
            head.headers_mut().extend(status("3", "the body is not one message demo.EchoMessage"));
            return respond.send_response(head, true).map(drop);
        };
        tokio::time::sleep(self.pause()).await;
        let mut body = respond.send_response(head, false)?;
        body.send_data(self.reply(&said).framed(), false)?;
        body.send_trailers(status("0", ""))
    }

    fn pause(&self) -> Duration {
        let delay = Duration::from_micros(self.delay.load(Relaxed));
        delay.mul_f64(1.0 + JITTER * (2.0 * fastrand::f64() - 1.0))
    }

    fn reply(&self, said: &EchoMessage) -> EchoMessage {
        let Echo { name, address, .. } = self;
        let text = match said.text.as_str() {
            "" => format!("hello from {name} at {address}"),
            said => format!("{name} at {address} heard: {said}"),
        };
        EchoMessage { text }
    }
}

/// The trailers of a call.
fn status(code: &'static str, message: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from_static(code));
    if !message.is_empty() {
        headers.insert("grpc-message", HeaderValue::from_static(message));
    }
    headers
}
