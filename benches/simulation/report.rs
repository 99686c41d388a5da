//! The outcomes as a page.

use std::fmt::Write;

use super::cases::{BACKENDS, DEADLINE, LOAD, MILLIS, SERVERS};
use super::{Outcome, SECONDS};

/// The page, with a table for each case.
pub fn markdown(outcomes: &[Outcome]) -> String {
    let mut page = head();
    for Outcome { case, rows } in outcomes {
        let _ = write!(
            page,
            "\n## {}\n\n{}\n\n\
             | policy | mean | p50 | p99 | p99.9 | failed | to the first |\n\
             |---|--:|--:|--:|--:|--:|--:|\n",
            capitalized(case.name),
            case.about,
        );
        for (name, share, of) in rows {
            let _ = writeln!(
                page,
                "| {name} | {} | {} | {} | {} | {} | {} |",
                millis(of.mean),
                millis(of.p50),
                millis(of.p99),
                millis(of.p999),
                percent(of.failures),
                percent(*share),
            );
        }
    }
    page
}

fn head() -> String {
    format!(
        "# Policies in simulated time\n\n\
         ![Latencies by case and policy](simulation.svg)\n\n\
         The pickers that the gateway runs, at their defaults and without anything around them: no ejection, no\n\
         retries, no limits. What happens next decides what they see: answers come back in simulated time, and requests\n\
         in flight, latencies and failures are counted as the gateway counts them.\n\n\
         - {BACKENDS} backends of equal weight, each of which works on {SERVERS} requests at a time and lets the\n  \
           others wait in the order they came. A request takes {MILLIS} ms on average, log-normally spread.\n\
         - Requests come at random times (Poisson), whatever is still in flight: {:.0} % of what the backends can do\n  \
           when all are well. After {:.0} s a client gives up, which is a failure.\n\
         - Keys, for the policies that want one, are all different. \"bounded\" is `bounded_load: 1.25`.\n\
         - Some seconds of warming up, then {SECONDS} that count, with fixed seeds.\n\n\
         Latencies are in milliseconds and of all requests, those that failed too; \"to the first\" is the share of\n\
         requests that the first backend got, which is the one that something is the matter with.\n\n\
         ```sh\n\
         cargo bench --bench simulation -- --out docs   # renews this page\n\
         ```\n",
        LOAD * 100.0,
        DEADLINE.as_secs_f64(),
    )
}

fn capitalized(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_uppercase() + rest
}

fn millis(value: f64) -> String {
    if value < 99.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn percent(share: f64) -> String {
    match share {
        0.0 => "0".into(),
        _ if share < 0.0001 => "< 0.01 %".into(),
        _ => format!("{:.2} %", share * 100.0),
    }
}
