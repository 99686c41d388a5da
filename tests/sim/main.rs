//! Deterministic simulation: the whole gateway, its clients and its backends on one thread, in
//! virtual time, from one seed.
//!
//! Workers, codecs, pools, timers, writers and routes are the product's own; only connections are
//! in memory, and clock and random numbers are injected. The seed alone determines what happens, so
//! a seed that fails fails again.
//!
//! Beside the seeds there are scripted scenarios.
//!
//!     cargo test --test sim                          # the scenarios, and 2,000 seeds
//!     cargo test --test sim guards                   # the scenarios with this in their names
//!     cargo test --test sim -- --seeds 500 --from 7  # those from 7 on
//!     cargo test --test sim -- --seed 7 --trace      # one, with all that happens in it
//!     cargo test --test sim -- --first               # until one fails; else until ten have

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

mod attempts;
mod backend;
mod chaos;
mod client;
mod exchange;
mod file;
mod http1;
mod http1_backend;
mod http1_client;
mod leaving;
mod ledger;
mod life;
mod lines;
mod members;
mod network;
mod operators;
mod retries;
mod scenarios;
mod world;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use equipoise::upstream::Resolver;

/// The default number of seeds.
const SEEDS: u64 = 2000;

/// One seed in this many is run twice.
const TWICE: u64 = 50;

/// A seed takes a second, and many times that on a busy machine. Beyond this, it is stuck in a loop
/// in which no virtual time passes.
const SPINS: Duration = Duration::from_secs(120);

/// Command-line options.
struct Options {
    from: u64,
    seeds: u64,
    /// Stop after this many failures.
    failures: usize,
    trace: bool,
    /// Run only scenarios with this in their names.
    scenarios: Option<String>,
}

impl Options {
    /// From the command line.
    fn read() -> Options {
        let scenarios = Some(String::new());
        let mut options = Options { from: 0, seeds: SEEDS, failures: 10, trace: false, scenarios };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || {
                options.scenarios = None;
                arguments.next().and_then(|text| text.parse().ok())
            };
            match &*argument {
                "--seeds" => options.seeds = number().expect("--seeds NUMBER"),
                "--from" => options.from = number().expect("--from SEED"),
                "--seed" => {
                    (options.from, options.seeds) = (number().expect("--seed SEED"), 1);
                }
                "--first" => options.failures = 1,
                "--trace" => options.trace = true,
                filter if !filter.starts_with('-') && !"sim".contains(filter) => {
                    (options.scenarios, options.seeds) = (Some(filter.to_owned()), 0);
                }
                _ => {} // options of the test harness are ignored
            }
        }
        options
    }
}

/// Runs a seed, some twice, to check that the run is deterministic.
fn run_one(seed: u64, resolver: &Resolver, trace: bool) -> Result<(), String> {
    let digest = life::run(seed, resolver, trace)?;
    let again = seed.is_multiple_of(TWICE) && life::run(seed, resolver, trace)? != digest;
    if again { Err("something else happens the second time".into()) } else { Ok(()) }
}

fn main() -> ExitCode {
    let options = Options::read();
    std::panic::set_hook(Box::new(|_| {})); // panics are reported with the seed
    let names = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let resolver = names.block_on(Resolver::start(Vec::new(), &Arc::default())).unwrap();
    let scenarios = options.scenarios.as_ref().map(|part| scenarios::play(part, &resolver));
    let mut failed = scenarios.unwrap_or_default();
    failed.iter().for_each(|why| println!("{why}"));
    if options.seeds > 0 {
        let again = run_seeds(&options, &resolver);
        again.iter().for_each(|again| println!("{again}"));
        failed.extend(again);
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the seeds on all processors; returns how to reproduce the failures.
fn run_seeds(options: &Options, resolver: &Resolver) -> Vec<String> {
    let &Options { from, seeds, failures, trace, .. } = options;
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(from));
    let failed = Arc::new(Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let running = Arc::new(Mutex::new(BTreeMap::new()));
    let run = || {
        let (next, failed, resolver) = (Arc::clone(&next), Arc::clone(&failed), resolver.clone());
        let running = Arc::clone(&running);
        std::thread::spawn(move || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= from + seeds || failed.lock().unwrap().len() >= failures {
                    return;
                }
                running.lock().unwrap().insert(seed, Instant::now());
                if let Err(why) = run_one(seed, &resolver, trace) {
                    println!("seed {seed}: {why}");
                    let again = format!("again: cargo test --test sim -- --seed {seed} --trace");
                    failed.lock().unwrap().push(again);
                }
                running.lock().unwrap().remove(&seed);
            }
        })
    };
    let threads: Vec<_> = (0..threads).map(|_| run()).collect();
    while threads.iter().any(|thread| !thread.is_finished()) {
        std::thread::sleep(Duration::from_millis(100));
        let running = running.lock().unwrap();
        if let Some((seed, _)) = running.iter().find(|(_, since)| since.elapsed() > SPINS) {
            return vec![format!("seed {seed}: something spins, and time stands still")];
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    println!("simulation: {seeds} seeds from {from} in {:.1} s", begun.elapsed().as_secs_f64());
    std::mem::take(&mut *failed.lock().unwrap())
}
