//! Shared test support: real backends, real clients, real frames.

pub mod backend;
pub mod certificates;
pub mod client;
pub mod dns;
pub mod dnsmasq;
pub mod etcd;
pub mod frames;
pub mod gateway;
pub mod http1;
pub mod kubernetes;
pub mod load;
pub mod process;
pub mod prometheus;
pub mod raw;
pub mod yaml;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt as _};

/// The service of the tests' backends.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod echo {
    tonic::include_proto!("echo");
}

/// A timeout that even a loaded machine does not reach.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `check` holds.
pub async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !check().await {
        assert!(begun.elapsed() < PATIENCE, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Accepts connections of `listener`, as the control and metrics servers do.
pub fn clients(
    listener: TcpListener,
) -> impl Stream<Item = io::Result<(TcpStream, Option<SocketAddr>)>> + Unpin + Send {
    TcpListenerStream::new(listener).map(|stream| {
        let stream = stream?;
        let address = stream.peer_addr().ok();
        Ok((stream, address))
    })
}

/// Awaits `future`, which must not hang.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("still waiting: {what}"))
}

/// Bytes in which gaps, swaps and repetitions show.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
