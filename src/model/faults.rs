//! Outlier detection: consecutive faults of a backend, and its trial after an ejection.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::outcome::HealthSignal;
use super::time::Time;

/// Successful trial requests that end a trial.
pub const TRIALS: u32 = 3;

/// A trial request open this long no longer holds up the next one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Consecutive faults of a backend, and the results of its trial requests after an ejection.
/// Workers record results; the service's ejection resets them when it decides.
#[derive(Debug, Default)]
pub struct Faults {
    run: AtomicU32,
    /// When the open trial request was sent, in nanoseconds; 0 if there is none.
    tried: AtomicU64,
    /// Successful trial requests.
    passed: AtomicU32,
    /// A trial request failed.
    failed: AtomicBool,
}

impl Faults {
    /// Records the result of a normal request; returns the number of consecutive faults after a
    /// fault.
    #[inline]
    pub fn record(&self, signal: HealthSignal) -> Option<u32> {
        match signal {
            HealthSignal::Fault => Some(self.run.fetch_add(1, Relaxed).saturating_add(1)),
            HealthSignal::Success => {
                if self.run.load(Relaxed) != 0 {
                    self.run.store(0, Relaxed);
                }
                None
            }
        }
    }

    /// Consecutive faults.
    pub fn run(&self) -> u32 {
        self.run.load(Relaxed)
    }

    /// The result of the trial, once enough requests succeeded or one failed.
    pub fn verdict(&self) -> Option<HealthSignal> {
        match (self.failed.load(Relaxed), self.passed.load(Relaxed)) {
            (true, _) => Some(HealthSignal::Fault),
            (false, TRIALS..) => Some(HealthSignal::Success),
            (false, _) => None,
        }
    }

    /// Begins a trial request at `now`, unless one is open.
    pub fn begin_trial(&self, now: Time) -> bool {
        let (before, began) = (self.tried.load(Relaxed), word(now));
        let lasts = before != 0 && now.since(Time::from_nanos(before)) < PATIENCE;
        let free = !lasts && self.verdict().is_none();
        free && self.tried.compare_exchange(before, began, Relaxed, Relaxed).is_ok()
    }

    /// Ends the trial request that began at `began`; returns whether that decides the trial. One
    /// that was given up waiting for does not count.
    pub fn end_trial(&self, began: Time, signal: Option<HealthSignal>) -> bool {
        if self.tried.compare_exchange(word(began), 0, Relaxed, Relaxed).is_err() {
            return false;
        }
        match signal {
            Some(HealthSignal::Success) => self.passed.fetch_add(1, Relaxed) + 1 == TRIALS,
            Some(HealthSignal::Fault) => !self.failed.swap(true, Relaxed),
            None => false,
        }
    }

    /// Resets everything.
    pub fn clear(&self) {
        self.run.store(0, Relaxed);
        self.tried.store(0, Relaxed);
        self.passed.store(0, Relaxed);
        self.failed.store(false, Relaxed);
    }
}

/// Encodes a time as non-zero.
fn word(time: Time) -> u64 {
    time.as_nanos().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Time = Time::from_millis(7);

    #[test]
    fn an_answer_breaks_a_run() {
        let faults = Faults::default();
        let notes = [
            HealthSignal::Fault,
            HealthSignal::Fault,
            HealthSignal::Success,
            HealthSignal::Success,
            HealthSignal::Fault,
        ];
        let runs = notes.map(|signal| faults.record(signal));
        assert_eq!(runs, [Some(1), Some(2), None, None, Some(1)]);
        faults.clear();
        assert_eq!(faults.run(), 0);
    }

    #[test]
    fn three_of_a_trial_pass_one_after_the_other() {
        let faults = Faults::default();
        for decided in [false, false, true] {
            assert!(faults.begin_trial(AT));
            assert!(!faults.begin_trial(AT), "one at a time");
            assert_eq!(faults.end_trial(AT, Some(HealthSignal::Success)), decided);
        }
        assert_eq!(faults.verdict(), Some(HealthSignal::Success));
        assert!(!faults.begin_trial(AT), "it is decided");
    }

    #[test]
    fn one_fault_fails_it_and_what_tells_nothing_is_none() {
        let faults = Faults::default();
        assert!(faults.begin_trial(AT) && !faults.end_trial(AT, None));
        assert_eq!(faults.verdict(), None);
        assert!(faults.begin_trial(AT) && !faults.end_trial(AT, Some(HealthSignal::Success)));
        assert!(faults.begin_trial(AT) && faults.end_trial(AT, Some(HealthSignal::Fault)));
        assert_eq!(faults.verdict(), Some(HealthSignal::Fault));
        faults.clear();
        assert_eq!(faults.verdict(), None);
    }

    #[test]
    fn one_that_hangs_holds_nobody_up() {
        let (faults, later) = (Faults::default(), Time::from_millis(1007));
        assert!(faults.begin_trial(AT));
        assert!(!faults.begin_trial(Time::from_millis(1006)));
        assert!(faults.begin_trial(later));
        assert!(!faults.end_trial(AT, Some(HealthSignal::Fault)), "its time was up");
        assert_eq!(faults.verdict(), None);
        assert!(faults.end_trial(later, Some(HealthSignal::Fault)));
    }
}
