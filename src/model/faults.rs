//! Faults of a backend in a row, and how it does on trial.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::outcome::Sign;
use super::time::Time;

/// Requests in a row that a backend on trial has to answer.
pub const TRIALS: u32 = 3;

/// A request on trial that has lasted so long holds the next one up no more.
const PATIENCE: Duration = Duration::from_secs(1);

/// Faults of a backend in a row, and how it does on trial. All workers write here, where a fault ends
/// or a run of faults is broken; whoever decides what becomes of it begins it anew.
#[derive(Debug, Default)]
pub struct Faults {
    run: AtomicU32,
    /// When the request on trial was sent, in nanoseconds; 0 while there is none.
    tried: AtomicU64,
    /// Requests on trial that were answered.
    passed: AtomicU32,
    /// One was not.
    failed: AtomicBool,
}

impl Faults {
    /// Notes how a request of no trial has ended; the faults in a row if that was one.
    #[inline]
    pub fn note(&self, sign: Sign) -> Option<u32> {
        match sign {
            Sign::Fault => Some(self.run.fetch_add(1, Relaxed).saturating_add(1)),
            Sign::Well => {
                if self.run.load(Relaxed) != 0 {
                    self.run.store(0, Relaxed);
                }
                None
            }
        }
    }

    /// Faults in a row.
    pub fn run(&self) -> u32 {
        self.run.load(Relaxed)
    }

    /// Whether enough requests on trial were answered, or one was not.
    pub fn verdict(&self) -> Option<Sign> {
        match (self.failed.load(Relaxed), self.passed.load(Relaxed)) {
            (true, _) => Some(Sign::Fault),
            (false, TRIALS..) => Some(Sign::Well),
            (false, _) => None,
        }
    }

    /// Begins a request of the trial at `now`, unless another lasts.
    pub fn begin_trial(&self, now: Time) -> bool {
        let (before, began) = (self.tried.load(Relaxed), word(now));
        let lasts = before != 0 && now.since(Time::from_nanos(before)) < PATIENCE;
        let free = !lasts && self.verdict().is_none();
        free && self.tried.compare_exchange(before, began, Relaxed, Relaxed).is_ok()
    }

    /// The one that began then has ended, and says this of the backend; whether that decides the trial.
    /// One that others have not waited for says nothing.
    pub fn end_trial(&self, began: Time, sign: Option<Sign>) -> bool {
        if self.tried.compare_exchange(word(began), 0, Relaxed, Relaxed).is_err() {
            return false;
        }
        match sign {
            Some(Sign::Well) => self.passed.fetch_add(1, Relaxed) + 1 == TRIALS,
            Some(Sign::Fault) => !self.failed.swap(true, Relaxed),
            None => false,
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.run.store(0, Relaxed);
        self.tried.store(0, Relaxed);
        self.passed.store(0, Relaxed);
        self.failed.store(false, Relaxed);
    }
}

/// A time that is never 0.
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
        let notes = [Sign::Fault, Sign::Fault, Sign::Well, Sign::Well, Sign::Fault];
        let runs = notes.map(|sign| faults.note(sign));
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
            assert_eq!(faults.end_trial(AT, Some(Sign::Well)), decided);
        }
        assert_eq!(faults.verdict(), Some(Sign::Well));
        assert!(!faults.begin_trial(AT), "it is decided");
    }

    #[test]
    fn one_fault_fails_it_and_what_tells_nothing_is_none() {
        let faults = Faults::default();
        assert!(faults.begin_trial(AT) && !faults.end_trial(AT, None));
        assert_eq!(faults.verdict(), None);
        assert!(faults.begin_trial(AT) && !faults.end_trial(AT, Some(Sign::Well)));
        assert!(faults.begin_trial(AT) && faults.end_trial(AT, Some(Sign::Fault)));
        assert_eq!(faults.verdict(), Some(Sign::Fault));
        faults.clear();
        assert_eq!(faults.verdict(), None);
    }

    #[test]
    fn one_that_hangs_holds_nobody_up() {
        let (faults, later) = (Faults::default(), Time::from_millis(1007));
        assert!(faults.begin_trial(AT));
        assert!(!faults.begin_trial(Time::from_millis(1006)));
        assert!(faults.begin_trial(later));
        assert!(!faults.end_trial(AT, Some(Sign::Fault)), "its time was up");
        assert_eq!(faults.verdict(), None);
        assert!(faults.end_trial(later, Some(Sign::Fault)));
    }
}
