//! How policies serve when something is the matter with a service: the pickers that the gateway
//! runs, in simulated time, with the same seeds and so the same figures wherever it is run.
//!
//! ```text
//! cargo bench --bench simulation                  # prints the tables
//! cargo bench --bench simulation -- --out docs    # renews docs/simulation.md and .svg
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../src/balance/tests/cases.rs"]
mod cases;
#[path = "simulation/plot.rs"]
mod plot;
#[path = "simulation/report.rs"]
mod report;
#[path = "../src/balance/tests/setup.rs"]
mod setup;
#[path = "../src/balance/tests/simulation.rs"]
mod simulation;

use cases::{CASES, Case, simulated};
use equipoise::balance::{Factory, POLICIES, PickCx, Picker, Policy};
use equipoise::model::{Endpoint, EndpointSet, EwmaParams, ExchangeClass, Member, Time};
use equipoise::text::{ParamValue, Params};
use setup::{factories, set};
use simulation::Summary;

/// Simulated seconds that count.
const SECONDS: f64 = 30.0;

/// What came of a case.
struct Outcome {
    case: &'static Case,
    /// Of each policy: its name, the share of the first backend, and the latencies.
    rows: Vec<(String, f64, Summary)>,
}

fn outcome(case: &'static Case) -> Outcome {
    let row = |(name, factory): (String, std::sync::Arc<dyn Factory>)| {
        let simulation = simulated(case, &*factory, SECONDS);
        (name, simulation.share(0), simulation.summary())
    };
    Outcome { case, rows: factories().into_iter().map(row).collect() }
}

fn main() -> std::io::Result<()> {
    let outcomes: Vec<Outcome> = CASES.iter().map(outcome).collect();
    let report = report::markdown(&outcomes);
    let mut arguments = std::env::args().skip_while(|argument| argument != "--out").skip(1);
    match arguments.next().map(std::path::PathBuf::from) {
        None => print!("{report}"),
        Some(folder) => {
            std::fs::write(folder.join("simulation.md"), report)?;
            std::fs::write(folder.join("simulation.svg"), plot::svg(&outcomes))?;
        }
    }
    Ok(())
}
