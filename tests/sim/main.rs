//! The whole gateway, its clients and its backends on one thread, in virtual time, from one seed.
//!
//! Workers, codecs, pools, timers, writers and routes are the product's own; only connections are
//! in memory, and clock and random numbers are given. What happens, and when, follows from the
//! seed alone: a seed that fails fails again.
//!
//!     cargo test --test sim                          # 2,000 seeds
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

mod backend;
mod chaos;
mod client;
mod exchange;
mod file;
mod ledger;
mod members;
mod network;
mod operators;
mod world;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use equipoise::upstream::Resolver;

/// Seeds that are run if nothing else is asked for.
const SEEDS: u64 = 2000;

/// One seed in so many is run twice.
const TWICE: u64 = 50;

/// What is asked for.
struct Options {
    from: u64,
    seeds: u64,
    /// Failures after which no more are looked for.
    failures: usize,
    trace: bool,
}

impl Options {
    /// From the command line; nothing where another test is asked for.
    fn read() -> Option<Options> {
        let mut options = Options { from: 0, seeds: SEEDS, failures: 10, trace: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|text| text.parse().ok());
            match &*argument {
                "--seeds" => options.seeds = number().expect("--seeds NUMBER"),
                "--from" => options.from = number().expect("--from SEED"),
                "--seed" => {
                    (options.from, options.seeds) = (number().expect("--seed SEED"), 1);
                }
                "--first" => options.failures = 1,
                "--trace" => options.trace = true,
                filter if !filter.starts_with('-') && !"sim".contains(filter) => return None,
                _ => {} // of the harness that this is run by as others are
            }
        }
        Some(options)
    }
}

/// Runs a seed, some of them twice: what happens is to follow from the seed alone.
fn run_one(seed: u64, resolver: &Resolver, trace: bool) -> Result<(), String> {
    let digest = world::run(seed, resolver, trace)?;
    let again = seed.is_multiple_of(TWICE) && world::run(seed, resolver, trace)? != digest;
    if again { Err("something else happens the second time".into()) } else { Ok(()) }
}

fn main() -> ExitCode {
    let Some(Options { from, seeds, failures, trace }) = Options::read() else {
        return ExitCode::SUCCESS;
    };
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(from));
    let failed = Arc::new(Mutex::new(Vec::new()));
    let names = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let resolver = names.block_on(Resolver::start(Vec::new(), &Arc::default())).unwrap();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::panic::set_hook(Box::new(|_| {})); // what a panic says is in the report of its seed
    let run = || {
        let (next, failed, resolver) = (Arc::clone(&next), Arc::clone(&failed), resolver.clone());
        std::thread::spawn(move || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= from + seeds || failed.lock().unwrap().len() >= failures {
                    return;
                }
                if let Err(why) = run_one(seed, &resolver, trace) {
                    println!("seed {seed}: {why}");
                    failed.lock().unwrap().push(seed);
                }
            }
        })
    };
    let threads: Vec<_> = (0..threads).map(|_| run()).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let failed = failed.lock().unwrap();
    println!("simulation: {seeds} seeds from {from} in {:.1} s", begun.elapsed().as_secs_f64());
    for seed in failed.iter() {
        println!("again: cargo test --test sim -- --seed {seed} --trace");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
