//! Backends that hold four calls of 40 ms each; others wait for their turn.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_stream::Stream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::echo::Message;
use super::echo::echo_server::{Echo, EchoServer};

const CALLS: usize = 4;
const TAKES: u64 = 40;

#[derive(Clone)]
pub struct Backends {
    pub addresses: Vec<SocketAddr>,
    /// How long a call takes, in milliseconds.
    takes: Arc<AtomicU64>,
}

impl Backends {
    pub async fn start() -> Backends {
        let takes = Arc::new(AtomicU64::new(TAKES));
        let mut addresses = Vec::new();
        for _ in 0..3 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            let room = Arc::new(Semaphore::new(CALLS));
            let service = EchoServer::new(Held { room, takes: Arc::clone(&takes) });
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        }
        Backends { addresses, takes }
    }

    /// Makes calls take twice as long from one second to another.
    pub async fn slow(self, from: u64, to: u64) {
        tokio::time::sleep(Duration::from_secs(from)).await;
        self.takes.store(2 * TAKES, Relaxed);
        tokio::time::sleep(Duration::from_secs(to - from)).await;
        self.takes.store(TAKES, Relaxed);
    }
}

struct Held {
    room: Arc<Semaphore>,
    takes: Arc<AtomicU64>,
}

type Replies = Pin<Box<dyn Stream<Item = Result<Message, Status>> + Send>>;

#[tonic::async_trait]
impl Echo for Held {
    async fn unary(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        let _place = self.room.acquire().await.unwrap();
        tokio::time::sleep(Duration::from_millis(self.takes.load(Relaxed))).await;
        Ok(Response::new(request.into_inner()))
    }

    async fn client_stream(
        &self,
        _: Request<Streaming<Message>>,
    ) -> Result<Response<Message>, Status> {
        Err(Status::unimplemented("not served here"))
    }

    type ServerStreamStream = Replies;

    async fn server_stream(&self, _: Request<Message>) -> Result<Response<Replies>, Status> {
        Err(Status::unimplemented("not served here"))
    }

    type BidiStream = Replies;

    async fn bidi(&self, _: Request<Streaming<Message>>) -> Result<Response<Replies>, Status> {
        Err(Status::unimplemented("not served here"))
    }
}
