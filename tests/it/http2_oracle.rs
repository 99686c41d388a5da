//! The codec against the h2 crate, in both roles, over a pipe in memory: thousands of exchanges
//! of every shape, contents compared byte by byte on both ends.

mod client;
mod ours;
mod plan;
mod server;
mod theirs;

use std::collections::VecDeque;

use fastrand::Rng;
use plan::Plan;

/// How many exchanges each role has.
const EXCHANGES: usize = 2500;

fn plans(rng: &mut Rng) -> VecDeque<Plan> {
    (0..EXCHANGES).map(|_| Plan::random(rng)).collect()
}

#[tokio::test]
async fn our_client_and_the_server_of_h2() {
    let mut rng = Rng::with_seed(1);
    let mut queue = plans(&mut rng);
    let mut connections = 0;
    while !queue.is_empty() {
        let (ours, pipe) = tokio::io::duplex(rng.usize(100..100_000));
        let served = tokio::spawn(theirs::serve(pipe, rng.fork()));
        client::run(ours, &mut queue, &mut rng).await;
        served.await.unwrap();
        connections += 1;
    }
    assert!(connections > 5, "no connection was left by its server");
}

#[tokio::test]
async fn our_server_and_the_client_of_h2() {
    let mut rng = Rng::with_seed(2);
    let mut queue = plans(&mut rng);
    let mut connections = 0;
    while !queue.is_empty() {
        let (ours, pipe) = tokio::io::duplex(rng.usize(100..100_000));
        let served = server::run(ours, rng.fork());
        tokio::join!(served, theirs::request(pipe, &mut queue, &mut rng));
        connections += 1;
    }
    assert!(connections > 5, "no connection was left by its server");
}
