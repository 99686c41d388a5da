//! An open load: calls begin when they are due, whatever became of those before.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use super::CAPACITY;
use super::echo::Message;
use super::echo::echo_client::EchoClient;

const DEADLINE: Duration = Duration::from_secs(1);

/// What is measured begins after this.
const WARM: Duration = Duration::from_secs(2);

/// A connection, and the calls on it.
#[derive(Clone)]
pub struct Client {
    tenant: &'static str,
    per_second: f64,
    /// How many times more it sends in a burst.
    burst: f64,
}

impl Client {
    pub fn new(tenant: &'static str, per_second: f64) -> Client {
        Client { tenant, per_second, burst: 1.0 }
    }

    /// For 200 ms of every two seconds it offers this many times more.
    pub fn in_bursts(self, times: f64) -> Client {
        Client { burst: times, ..self }
    }

    fn rate(&self, at: Duration) -> f64 {
        let in_burst = at.as_millis() % 2000 < 200;
        self.per_second * if in_burst { self.burst } else { 1.0 }
    }
}

pub struct Load {
    pub clients: Vec<Client>,
    pub lasts: Duration,
}

/// How the calls of one tenant ended.
#[derive(Default)]
pub struct Summary {
    tenant: &'static str,
    seconds: f64,
    ok: Vec<Duration>,
    refused: Vec<Duration>,
    late: usize,
    other: BTreeMap<String, usize>,
}

impl Load {
    pub async fn run(self, address: SocketAddr) -> Vec<Summary> {
        let begun = Instant::now();
        let seen = Arc::new(Mutex::new(BTreeMap::<&str, Summary>::new()));
        let mut senders = Vec::new();
        for client in self.clients {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            let channel = endpoint.tcp_nodelay(true).connect().await.unwrap();
            senders.push(tokio::spawn(send(client, channel, begun, self.lasts, Arc::clone(&seen))));
        }
        for sender in senders {
            sender.await.unwrap();
        }
        tokio::time::sleep(DEADLINE + Duration::from_millis(100)).await;
        let seconds = (self.lasts - WARM).as_secs_f64();
        let mut seen = std::mem::take(&mut *seen.lock().unwrap());
        seen.iter_mut().for_each(|(tenant, it)| (it.tenant, it.seconds) = (tenant, seconds));
        seen.into_values().collect()
    }
}

async fn send(
    client: Client,
    channel: Channel,
    begun: Instant,
    lasts: Duration,
    seen: Arc<Mutex<BTreeMap<&'static str, Summary>>>,
) {
    let mut due = begun.elapsed();
    while due < lasts {
        tokio::time::sleep_until((begun + due).into()).await;
        let (mut stub, seen, tenant) =
            (EchoClient::new(channel.clone()), Arc::clone(&seen), client.tenant);
        let counts = due >= WARM;
        tokio::spawn(async move {
            let mut request = Request::new(Message::default());
            request.set_timeout(DEADLINE);
            request.metadata_mut().insert("x-tenant", tenant.parse().unwrap());
            let sent = Instant::now();
            let result = stub.unary(request).await;
            if counts {
                let mut seen = seen.lock().unwrap();
                seen.entry(tenant)
                    .or_default()
                    .add(result.err().map(|it| it.code()), sent.elapsed());
            }
        });
        // As Poisson has it, with a generator that needs no seed to be the same each time.
        due += Duration::from_secs_f64(fastrand::f64().max(1e-9).ln() / -client.rate(due));
    }
}

impl Summary {
    pub const HEAD: &'static str = "| case | tenant | offered/s | goodput/s | of capacity | p50 | p99 | p99.9 | \
         refused/s | refusal p50 | late/s | others |\n|---|---|---|---|---|---|---|---|---|---|---|---|";

    fn add(&mut self, code: Option<Code>, took: Duration) {
        match code {
            None => self.ok.push(took),
            Some(Code::ResourceExhausted) => self.refused.push(took),
            Some(Code::DeadlineExceeded | Code::Cancelled) => self.late += 1,
            Some(other) => *self.other.entry(format!("{other:?}")).or_default() += 1,
        }
    }

    pub fn row(mut self, case: &str) -> String {
        self.ok.sort();
        self.refused.sort();
        let others: usize = self.other.values().sum();
        let rate = |count: usize| count as f64 / self.seconds;
        let all = self.ok.len() + self.refused.len() + self.late + others;
        format!(
            "| {case} | {} | {:.0} | {:.1} | {:.1} % | {} | {} | {} | {:.0} | {} | {:.1} | {:?} |",
            self.tenant,
            rate(all),
            rate(self.ok.len()),
            100.0 * rate(self.ok.len()) / CAPACITY,
            millis(&self.ok, 0.5),
            millis(&self.ok, 0.99),
            millis(&self.ok, 0.999),
            rate(self.refused.len()),
            millis(&self.refused, 0.5),
            rate(self.late),
            self.other,
        )
    }
}

fn millis(sorted: &[Duration], part: f64) -> String {
    let at = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or("-".into(), |it| format!("{:.1} ms", it.as_secs_f64() * 1000.0))
}
