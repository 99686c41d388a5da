//! Consecutive faults of a backend, and its trial after an ejection.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::outcome::HealthSignal;
use super::time::Time;

/// Successful requests in a row that end a trial.
const TRIAL_SUCCESSES: u32 = 3;

/// A trial request that takes longer than this no longer blocks the next one.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Connections lost within this time count as one fault: the process behind them died once.
const LOSS_INTERVAL: Duration = Duration::from_millis(100);

/// Consecutive faults of a backend, and its trial after an ejection. Shared by all workers, and
/// written only on a fault, on the first success after one, and on trial.
#[derive(Debug, Default)]
pub struct Faults {
    consecutive: AtomicU32,
    /// When a connection was last lost, in nanoseconds; 0 for never.
    lost_at: AtomicU64,
    /// When the trial request in flight was sent, in nanoseconds; 0 if there is none.
    trial_sent: AtomicU64,
    /// Successful requests of the trial.
    trial_successes: AtomicU32,
    /// Whether a request of the trial failed.
    trial_failed: AtomicBool,
}

impl Faults {
    /// Records the result of a request; after a fault, the number of consecutive ones.
    #[inline]
    pub fn record(&self, signal: HealthSignal) -> Option<u32> {
        match signal {
            HealthSignal::Fault => Some(self.consecutive.fetch_add(1, Relaxed).saturating_add(1)),
            HealthSignal::Success => {
                if self.consecutive.load(Relaxed) != 0 {
                    self.consecutive.store(0, Relaxed);
                }
                None
            }
        }
    }

    /// Records that a connection was lost with a request on it. All requests on it report that, and
    /// other connections to the same process are lost with it: together they are one fault.
    pub fn record_lost(&self, now: Time) -> Option<u32> {
        let before = self.lost_at.load(Relaxed);
        let counted = before != 0 && now.since(Time::from_nanos(before)) < LOSS_INTERVAL;
        let exchange = || self.lost_at.compare_exchange(before, nanos(now), Relaxed, Relaxed);
        if counted || exchange().is_err() {
            return None;
        }
        self.record(HealthSignal::Fault)
    }

    /// Consecutive faults so far.
    pub fn consecutive(&self) -> u32 {
        self.consecutive.load(Relaxed)
    }

    /// The result of the trial, once it is decided.
    pub fn trial_result(&self) -> Option<HealthSignal> {
        match (self.trial_failed.load(Relaxed), self.trial_successes.load(Relaxed)) {
            (true, _) => Some(HealthSignal::Fault),
            (false, TRIAL_SUCCESSES..) => Some(HealthSignal::Success),
            (false, _) => None,
        }
    }

    /// Whether a request may be sent as the next of the trial; it then counts as in flight since `now`.
    pub fn begin_trial(&self, now: Time) -> bool {
        let before = self.trial_sent.load(Relaxed);
        let in_flight = before != 0 && now.since(Time::from_nanos(before)) < TRIAL_TIMEOUT;
        let free = !in_flight && self.trial_result().is_none();
        free && self.trial_sent.compare_exchange(before, nanos(now), Relaxed, Relaxed).is_ok()
    }

    /// Ends the trial request sent at `sent`; true if that decides the trial. A request that took
    /// longer than the trial waits for counts no more.
    pub fn end_trial(&self, sent: Time, signal: Option<HealthSignal>) -> bool {
        if self.trial_sent.compare_exchange(nanos(sent), 0, Relaxed, Relaxed).is_err() {
            return false;
        }
        match signal {
            Some(HealthSignal::Success) => {
                self.trial_successes.fetch_add(1, Relaxed) + 1 == TRIAL_SUCCESSES
            }
            Some(HealthSignal::Fault) => !self.trial_failed.swap(true, Relaxed),
            None => false,
        }
    }

    /// Starts afresh: no faults, no trial.
    pub fn reset(&self) {
        self.consecutive.store(0, Relaxed);
        self.trial_sent.store(0, Relaxed);
        self.trial_successes.store(0, Relaxed);
        self.trial_failed.store(false, Relaxed);
    }
}

/// Nanoseconds, never 0.
fn nanos(time: Time) -> u64 {
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
        faults.reset();
        assert_eq!(faults.consecutive(), 0);
    }

    #[test]
    fn connections_lost_together_are_one_fault() {
        let (faults, at) = (Faults::default(), Time::from_millis);
        let lost = [7, 7, 50, 106, 107, 300].map(|millis| faults.record_lost(at(millis)));
        assert_eq!(lost, [Some(1), None, None, None, Some(2), Some(3)]);
    }

    #[test]
    fn three_of_a_trial_pass_one_after_the_other() {
        let faults = Faults::default();
        for decided in [false, false, true] {
            assert!(faults.begin_trial(AT));
            assert!(!faults.begin_trial(AT), "one at a time");
            assert_eq!(faults.end_trial(AT, Some(HealthSignal::Success)), decided);
        }
        assert_eq!(faults.trial_result(), Some(HealthSignal::Success));
        assert!(!faults.begin_trial(AT), "it is decided");
    }

    #[test]
    fn one_fault_fails_it_and_what_tells_nothing_is_none() {
        let faults = Faults::default();
        assert!(faults.begin_trial(AT) && !faults.end_trial(AT, None));
        assert_eq!(faults.trial_result(), None);
        assert!(faults.begin_trial(AT) && !faults.end_trial(AT, Some(HealthSignal::Success)));
        assert!(faults.begin_trial(AT) && faults.end_trial(AT, Some(HealthSignal::Fault)));
        assert_eq!(faults.trial_result(), Some(HealthSignal::Fault));
        faults.reset();
        assert_eq!(faults.trial_result(), None);
    }

    #[test]
    fn a_hanging_trial_request_does_not_block_the_next() {
        let (faults, later) = (Faults::default(), Time::from_millis(1007));
        assert!(faults.begin_trial(AT));
        assert!(!faults.begin_trial(Time::from_millis(1006)));
        assert!(faults.begin_trial(later));
        assert!(!faults.end_trial(AT, Some(HealthSignal::Fault)), "its time was up");
        assert_eq!(faults.trial_result(), None);
        assert!(faults.end_trial(later, Some(HealthSignal::Fault)));
    }
}
