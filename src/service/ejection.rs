//! Outlier ejection: backends that fail more often, or are slower, than the others get no requests
//! for a while.

mod outliers;
mod state;

use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::model::Time;
pub(super) use outliers::{Outliers, Results};
pub(super) use state::{Candidate, EjectionState, ManualEjection, Signals};

/// When backends of a service are ejected, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Consecutive faults that eject a backend.
    pub consecutive: u32,
    /// A backend is ejected whose share of successful requests is below this percentage of the
    /// others'; 0 for never.
    pub success_ratio: u8,
    /// A backend is ejected whose calls take this many times as long as the others'; 0 for never.
    pub latency_factor: u32,
    /// Requests of a backend, in ten seconds at most, without which its success ratio is not compared.
    pub min_requests: u64,
    /// How long the first ejection lasts.
    pub time: Duration,
    /// How long an ejection lasts at most: each one after a relapse is twice as long.
    pub max_time: Duration,
    /// The percentage of backends that may be ejected at the same time.
    pub max_ejected: u8,
}

impl Ejection {
    /// The defaults.
    pub const fn defaults() -> Ejection {
        Ejection {
            consecutive: 5,
            success_ratio: 80,
            latency_factor: 5,
            min_requests: 10,
            time: Duration::from_secs(1),
            max_time: Duration::from_secs(60),
            max_ejected: 50,
        }
    }

    /// How many of `count` backends may be ejected; never the only one.
    pub(super) fn limit(&self, count: usize) -> usize {
        if count > 1 { count * usize::from(self.max_ejected) / 100 } else { 0 }
    }
}

/// Why a backend is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This many consecutive faults.
    Faults(u32),
    /// A fault on trial.
    Relapse,
    /// A lower success ratio than the others'.
    SuccessRatio {
        /// The percentage of its requests that succeeded.
        succeeded: u8,
        /// Its requests.
        requests: u64,
        /// The percentage of the others' requests that succeeded.
        others: u8,
    },
    /// Slower calls than the others'.
    Latency {
        /// The mean latency of its calls.
        mean: Duration,
        /// The median of the others' means.
        others: Duration,
    },
    /// An operator.
    Hand,
    /// It owed answers and sent nothing: it may be frozen.
    Silence,
}

impl Cause {
    /// The values of the metric's label.
    const NAMES: [&str; 6] = ["faults", "relapse", "ratio", "latency", "hand", "suspect"];

    fn index(self) -> usize {
        match self {
            Cause::Faults(_) => 0,
            Cause::Relapse => 1,
            Cause::SuccessRatio { .. } => 2,
            Cause::Latency { .. } => 3,
            Cause::Hand => 4,
            Cause::Silence => 5,
        }
    }

    /// Orders causes, the most severe last: if the limit does not allow all, the worst are ejected.
    fn severity(self) -> (u8, u64) {
        match self {
            Cause::Latency { mean, .. } => (0, mean.as_millis() as u64),
            Cause::SuccessRatio { succeeded, .. } => (1, u64::from(100 - succeeded.min(100))),
            Cause::Faults(faults) => (2, faults.into()),
            Cause::Relapse | Cause::Hand | Cause::Silence => (3, 0),
        }
    }
}

impl Display for Cause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Faults(faults) => write!(f, "{faults} faults in a row"),
            Cause::Relapse => f.write_str("a fault on trial"),
            Cause::SuccessRatio { succeeded, requests, others } => {
                write!(f, "succeeded {succeeded} % of {requests}, the others {others} %")
            }
            Cause::Latency { mean, others } => {
                let millis = |time: &Duration| time.as_millis().max(1);
                write!(f, "calls take {} ms, the others' {} ms", millis(mean), millis(others))
            }
            Cause::Hand => f.write_str("an operator's ejection"),
            Cause::Silence => f.write_str("silence"),
        }
    }
}

/// The ejections of a service since the start, by cause.
#[derive(Debug, Default)]
pub struct EjectionCounts([AtomicU64; Cause::NAMES.len()]);

impl EjectionCounts {
    pub(super) fn count(&self, cause: Cause) {
        if let Some(count) = self.0.get(cause.index()) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Each cause, as the metric's label has it, and its count.
    pub fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Cause::NAMES.into_iter().zip(self.0.each_ref().map(|count| count.load(Relaxed)))
    }
}

/// The ejection of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejected {
    /// The cause; after relapses, of the last one.
    pub cause: Cause,
    /// Since when, relapses included.
    pub since: Time,
    /// When the trial begins; `None` if an operator has to end the ejection.
    pub until: Option<Time>,
    /// Whether it gets requests again, one at a time.
    pub on_trial: bool,
}

impl Display for Ejected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.on_trial {
            f.write_str("on trial after ")?;
        }
        self.cause.fmt(f)
    }
}
