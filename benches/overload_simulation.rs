//! What comes out in time when a service is asked for more than it can do: without limits, with limits
//! set by hand, and with the limit that the gateway learns, in simulated time.
//!
//! ```text
//! cargo bench --bench overload_simulation                  # prints the table
//! cargo bench --bench overload_simulation -- --out docs    # renews docs/overload.md and .svg
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "overload_simulation/model.rs"]
mod model;
#[path = "overload_simulation/plot.rs"]
mod plot;

use std::fmt::Write as _;
use std::path::PathBuf;

use model::{Case, Limits, Method, Outcome, run};

/// Simulated seconds of a run, and those of its start that do not count.
const SECONDS: f64 = 30.0;
const WARM: f64 = 2.0;

/// Runs of a case, of which the median is shown.
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];

/// Loads of the plot, as multiples of the capacity.
const LOADS: [f64; 12] = [0.5, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0];

const FIXED: &[Method] = &[Method { part: 1.0, takes: 0.04, spread: false }];
const SPREAD: &[Method] = &[Method { part: 1.0, takes: 0.04, spread: true }];
const MIXED: &[Method] = &[
    Method { part: 0.95, takes: 0.01, spread: true },
    Method { part: 0.05, takes: 0.4, spread: true },
];

const BASE: Case =
    Case { name: "", load: |_| 1.0, methods: FIXED, slots: |_, _| 4, slowness: |_, _| 1.0 };

const fn in_the_middle(now: f64) -> bool {
    now > 10.0 && now < 20.0
}

fn burst(now: f64, base: f64) -> f64 {
    if now % 2.0 < 0.2 { 3.0 * base } else { base }
}

const CASES: &[Case] = &[
    Case { name: "half the capacity", load: |_| 0.5, ..BASE },
    Case { name: "half, in bursts of 3x for 200 ms", load: |now| burst(now, 0.5), ..BASE },
    Case {
        name: "0.9x, times spread, 120 slots",
        load: |_| 0.9,
        methods: SPREAD,
        slots: |_, _| 40,
        ..BASE
    },
    Case { name: "2x", load: |_| 2.0, ..BASE },
    Case { name: "5x", load: |_| 5.0, ..BASE },
    Case { name: "10x", load: |_| 10.0, ..BASE },
    Case { name: "2x, times spread", load: |_| 2.0, methods: SPREAD, ..BASE },
    Case { name: "5x, times spread", load: |_| 5.0, methods: SPREAD, ..BASE },
    Case {
        name: "2x, times spread, 120 slots",
        load: |_| 2.0,
        methods: SPREAD,
        slots: |_, _| 40,
        ..BASE
    },
    Case { name: "2x, cheap and dear methods", load: |_| 2.0, methods: MIXED, ..BASE },
    Case {
        name: "2x, half the slots from 10 to 20 s",
        load: |_| 2.0,
        slots: |_, now| if in_the_middle(now) { 2 } else { 4 },
        ..BASE
    },
    Case {
        name: "2x, twice the time from 10 to 20 s",
        load: |_| 2.0,
        slowness: |_, now| if in_the_middle(now) { 2.0 } else { 1.0 },
        ..BASE
    },
    Case {
        name: "2x, one backend four times as slow",
        load: |_| 2.0,
        slowness: |backend, _| if backend == 0 { 4.0 } else { 1.0 },
        ..BASE
    },
];

fn median(case: &Case, limits: Limits) -> Outcome {
    let mut all: Vec<_> =
        SEEDS.iter().map(|seed| run(case, limits, SECONDS, WARM, *seed)).collect();
    all.sort_by(|a, b| a.goodput.total_cmp(&b.goodput));
    all[all.len() / 2]
}

fn table() -> String {
    let mut table = String::from(
        "| case | without: goodput | by hand: goodput | p99 | refused | learnt: goodput | p99 | refused |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for case in CASES {
        let [none, hand, learnt] = Limits::ALL.map(|limits| median(case, limits));
        let percent = |part: f64| format!("{:.1} %", 100.0 * part);
        let _ = writeln!(
            table,
            "| {} | {} | {} | {:.0} ms | {} | {} | {:.0} ms | {} |",
            case.name,
            percent(none.goodput),
            percent(hand.goodput),
            1000.0 * hand.p99,
            percent(hand.refused),
            percent(learnt.goodput),
            1000.0 * learnt.p99,
            percent(learnt.refused),
        );
    }
    table
}

/// Goodput by load, of each kind of limits.
fn curves() -> Vec<(Limits, Vec<(f64, f64)>)> {
    let point = |limits, times: f64| {
        let runs = SEEDS.map(|seed| {
            let case = Case { name: "", ..BASE };
            model::run_at(&case, times, limits, SECONDS, WARM, seed).goodput
        });
        let mut runs = runs.to_vec();
        runs.sort_by(f64::total_cmp);
        (times, runs[runs.len() / 2])
    };
    Limits::ALL.map(|limits| (limits, LOADS.map(|times| point(limits, times)).to_vec())).into()
}

fn main() -> std::io::Result<()> {
    let page = format!(
        "# Overload, simulated\n\n\
         ![Calls answered in time, by load](overload.svg)\n\n\
         Three backends that each hold four calls of 40 ms, where nothing else is said; others wait there for \
         their turn. Callers wait for 1 s. Goodput is the part of the capacity that is answered in time (of \
         what is offered, where that is less); what is refused is a part of what is offered. Medians of \
         {} runs of {SECONDS} s; the first {WARM} s do not count, and the load begins with the first call. \
         The learnt limit is that of the gateway itself, `src/admission/learned.rs`; queue and picks are \
         models of it. With cheap and dear methods goodput counts calls, so what refuses dear ones is above \
         100 %.\n\n{}\n\
         ```sh\ncargo bench --bench overload_simulation -- --out docs   # renews this page\n```\n",
        SEEDS.len(),
        table(),
    );
    let mut arguments = std::env::args().skip_while(|argument| argument != "--out").skip(1);
    match arguments.next().map(PathBuf::from) {
        None => print!("{page}"),
        Some(folder) => {
            std::fs::write(folder.join("overload.md"), page)?;
            std::fs::write(folder.join("overload.svg"), plot::svg(&curves()))?;
        }
    }
    Ok(())
}
