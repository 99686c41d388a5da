//! How much of what its backends can do comes out of the gateway as answers in time, when clients ask
//! for more: three backends that hold 4 calls of 40 ms each, deadlines of 1 s.
//!
//! ```text
//! cargo bench --bench overload                         # every case, with limits set by hand
//! cargo bench --bench overload -- --limits none        # without
//! cargo bench --bench overload -- --case 5x --seconds 20 --binary FILE
//! ```

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::zombie_processes)]
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // real clients in real time

#[path = "overload/backend.rs"]
mod backend;
#[path = "overload/gateway.rs"]
mod gateway;
#[path = "overload/load.rs"]
mod load;

use std::time::Duration;

use backend::Backends;
use gateway::Gateway;
use load::{Client, Load, Summary};

#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod echo {
    tonic::include_proto!("echo");
}

/// Calls that all backends together answer in a second.
pub const CAPACITY: f64 = 300.0;

/// A load: its name, and its clients.
struct Case {
    name: &'static str,
    clients: fn() -> Vec<Client>,
    /// When the backends take twice as long, in seconds.
    slow: Option<[u64; 2]>,
}

/// Clients that offer this many times the capacity, with these parts of it over their connections.
fn clients(times: f64, parts: &[f64]) -> Vec<Client> {
    let all: f64 = parts.iter().sum();
    parts.iter().map(|part| Client::new("all", times * CAPACITY * part / all)).collect()
}

const EVEN: [f64; 8] = [1.0; 8];

const CASES: &[Case] = &[
    Case { name: "0.8x", clients: || clients(0.8, &EVEN), slow: None },
    Case { name: "2x", clients: || clients(2.0, &EVEN), slow: None },
    Case { name: "5x", clients: || clients(5.0, &EVEN), slow: None },
    Case { name: "2x, connections 1 : 9", clients: || clients(2.0, &[1.0, 9.0]), slow: None },
    Case { name: "5x, connections 1 : 9", clients: || clients(5.0, &[1.0, 9.0]), slow: None },
    Case { name: "2x, tenants 1 : 20", clients: || tenants(2.0), slow: None },
    Case { name: "5x, tenants 1 : 20", clients: || tenants(5.0), slow: None },
    Case { name: "2x, half the capacity", clients: || clients(2.0, &EVEN), slow: Some([5, 10]) },
    Case { name: "0.5x, bursts of 3x for 200 ms", clients: bursts, slow: None },
];

fn tenants(times: f64) -> Vec<Client> {
    let each = times * CAPACITY / 21.0;
    let large = (0..4).map(|_| Client::new("large", each * 5.0));
    large.chain([Client::new("small", each)]).collect()
}

fn bursts() -> Vec<Client> {
    clients(0.5, &EVEN).into_iter().map(|client| client.in_bursts(3.0)).collect()
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let of = |name: &str| {
        let at = arguments.iter().position(|it| it == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let seconds = of("--seconds").map_or(10, |text| text.parse().unwrap());
    let limits = of("--limits").unwrap_or("hand");
    let binary = of("--binary").unwrap_or(env!("CARGO_BIN_EXE_equipoise"));
    println!("limits: {limits}; capacity {CAPACITY} calls a second; {seconds} s a case");
    println!("{}", Summary::HEAD);
    for case in CASES.iter().filter(|case| of("--case").is_none_or(|name| case.name.contains(name)))
    {
        let backends = Backends::start().await;
        let gateway = Gateway::start(binary, &backends.addresses, limits).await;
        let load = Load { clients: (case.clients)(), lasts: Duration::from_secs(seconds) };
        let slowed = case.slow.map(|[from, to]| tokio::spawn(backends.clone().slow(from, to)));
        let summaries = load.run(gateway.address).await;
        if let Some(slowed) = slowed {
            slowed.abort();
        }
        for summary in summaries {
            println!("{}", summary.row(case.name));
        }
    }
}
