//! A client with many connections that asks at a fixed rate, whatever the answers do:
//! `peers-steady PORT CONNECTIONS RATE SECONDS`.
//!
//! It makes one gRPC call on each connection and says `ready N`, N of them having failed. At the next
//! line of its input it makes calls for SECONDS on the connections by turns, and says what came of them;
//! at the end of its input it ends. Arrivals are Poisson's, the same at each run. A call's time counts
//! from when it was due, not from when it was sent: one that waits behind a slow one has waited.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio::time::timeout;

type Failure = Box<dyn std::error::Error>;
type Client = SendRequest<Bytes>;

/// A message of gRPC with 100 bytes of payload.
static MESSAGE: [u8; 105] = {
    let mut message = [b'x'; 105];
    message[0] = 0;
    message[1] = 0;
    message[2] = 0;
    message[3] = 0;
    message[4] = 100;
    message
};
/// After this a call has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so many connections that failed, no more are tried.
const HOPELESS: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [port, connections, rate, seconds] = &words[..] else {
        return Err("peers-steady PORT CONNECTIONS RATE SECONDS".into());
    };
    let (port, connections) = (port.parse()?, connections.parse()?);
    let (rate, seconds) = (rate.parse()?, seconds.parse()?);
    LocalSet::new().run_until(run(port, connections, rate, seconds)).await
}

async fn run(port: u16, connections: usize, rate: f64, seconds: f64) -> Result<(), Failure> {
    let mut clients = Vec::new();
    let mut failed = 0;
    while clients.len() + failed < connections && failed < HOPELESS {
        match timeout(PATIENCE, connect(port)).await {
            Ok(Ok(client)) => clients.push(client),
            _ => failed += 1,
        }
    }
    println!("ready {}", connections - clients.len());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        println!("{}", load(&clients, port, rate, seconds).await);
    }
    Ok(())
}

/// A connection that has answered a call.
async fn connect(port: u16) -> Result<Client, Failure> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let (client, connection) = h2::client::handshake(socket).await?;
    spawn_local(connection);
    call(client.clone(), port).await?;
    Ok(client)
}

async fn call(client: Client, port: u16) -> Result<(), Failure> {
    let request = Request::post(format!("http://127.0.0.1:{port}/bench.Echo/Unary"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(())?;
    let (response, mut body) = client.ready().await?.send_request(request, false)?;
    body.send_data(Bytes::from_static(&MESSAGE), true)?;
    let mut answer = response.await?.into_body();
    let mut received = 0;
    while let Some(data) = answer.data().await {
        let data = data?;
        answer.flow_control().release_capacity(data.len())?;
        received += data.len();
    }
    let trailers = answer.trailers().await?.ok_or("no trailers")?;
    let good = trailers.get("grpc-status").is_some_and(|status| status == "0");
    if good && received == MESSAGE.len() { Ok(()) } else { Err("a bad answer".into()) }
}

/// Calls at `rate` a second on `clients` by turns, and what came of them in one line.
async fn load(clients: &[Client], port: u16, rate: f64, seconds: f64) -> String {
    let times = Rc::new(RefCell::new(Vec::new()));
    let mut arrivals = arrivals(rate, seconds);
    let mut turns = clients.iter().cycle();
    let mut calls = JoinSet::new();
    let mut made = 0;
    while let (Some(due), Some(client)) = (arrivals.recv().await, turns.next()) {
        let (client, times) = (client.clone(), times.clone());
        calls.spawn_local(async move {
            if let Ok(Ok(())) = timeout(PATIENCE, call(client, port)).await {
                times.borrow_mut().push(due.elapsed().as_micros());
            }
        });
        made += 1;
    }
    calls.join_all().await;
    let mut times = times.take();
    times.sort_unstable();
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(0);
    let failed = made - times.len();
    format!("made {made} failed {failed} p50 {} p99 {} p99.9 {}", at(0.5), at(0.99), at(0.999))
}

/// The moments at which calls are due. A thread of its own waits for them, for the runtime's timer is
/// a millisecond coarse.
fn arrivals(rate: f64, seconds: f64) -> UnboundedReceiver<Instant> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        let begin = Instant::now();
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut after = 0.0;
        while after < seconds {
            // xorshift64: the gaps of Poisson arrivals are exponential.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            after -= ((random >> 11) as f64 / (1u64 << 53) as f64).max(1e-12).ln() / rate;
            let due = begin + Duration::from_secs_f64(after);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send(due).is_err() {
                return;
            }
        }
    });
    receiver
}
