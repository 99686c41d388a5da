//! Rate limit of connection failure logs: why an endpoint is unreachable, and whether that is news.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::time::Time;

/// The same cause is logged at most once in this many seconds.
const AGAIN: u64 = 60;

/// Causes remembered per endpoint: more than the addresses of a name that could each fail
/// differently.
const CAUSES: usize = 16;

/// Stands for the last cause when that was forgotten.
const FORGOTTEN: u32 = u32::MAX;

/// Whether and why an endpoint is unreachable. Shared by all workers.
#[derive(Debug, Default)]
pub struct Outage {
    /// Hash of the cause logged last; 0 while reachable.
    told: AtomicU32,
    /// Logged causes: hash in the upper half, second of logging (from 1 on) in the lower.
    causes: [AtomicU64; CAUSES],
    /// Whether the last attempt failed: 0 or 1.
    lasts: AtomicU32,
}

impl Outage {
    /// Records a failed attempt; `cause` is a hash. Returns whether to log it: a new or changed
    /// cause is logged, but each at most once a minute.
    pub fn begin(&self, cause: u32, now: Time) -> bool {
        let cause = cause.clamp(1, FORGOTTEN - 1);
        self.lasts.store(1, Relaxed);
        if self.told.load(Relaxed) == cause {
            return false;
        }
        let second = now.as_secs().saturating_add(1) & u64::from(u32::MAX);
        let told_at = |entry: u64| entry & u64::from(u32::MAX);
        let recent = |entry: u64| entry != 0 && second < told_at(entry) + AGAIN;
        let entries = self.causes.each_ref().map(|entry| entry.load(Relaxed));
        let same = entries.iter().position(|entry| entry >> 32 == u64::from(cause));
        if same.is_some_and(|at| recent(entries[at % CAUSES])) {
            return false;
        }
        // A new cause is always logged; it replaces the oldest.
        let oldest = || (0..CAUSES).min_by_key(|at| told_at(entries[at % CAUSES]));
        let at = same.or_else(oldest).unwrap_or_default() % CAUSES;
        let entry = u64::from(cause) << 32 | second;
        // If several workers race, one logs.
        let tell = self.causes[at].compare_exchange(entries[at], entry, Relaxed, Relaxed).is_ok();
        if tell {
            self.told.store(cause, Relaxed);
        }
        tell
    }

    /// Forgets which causes were logged, so that they are logged again after a change of settings.
    pub fn forget(&self) {
        let _ = self.told.fetch_update(Relaxed, Relaxed, |told| (told != 0).then_some(FORGOTTEN));
        self.causes.iter().for_each(|entry| entry.store(0, Relaxed));
    }

    /// Records a successful connection; returns whether that ends an outage.
    pub fn end(&self) -> bool {
        self.lasts.store(0, Relaxed);
        let told = self.told.swap(0, Relaxed) != 0;
        if told {
            self.causes.iter().for_each(|entry| entry.store(0, Relaxed));
        }
        told
    }

    /// Whether the last attempt failed.
    pub fn lasts(&self) -> bool {
        self.lasts.load(Relaxed) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_cause_is_logged_and_the_same_is_not() {
        let outage = Outage::default();
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        assert!(!outage.end() && !outage.lasts());
        assert!(outage.begin(7, at(0)));
        assert!(!outage.begin(7, at(1)) && !outage.begin(7, at(1000)));
        assert!(outage.begin(8, at(1000)), "another one");
        assert!(outage.begin(7, at(1001)), "it was told long ago");
        assert!(outage.lasts());
        assert!(outage.end() && !outage.end());
        assert!(outage.begin(7, at(1002)), "there was a connection in between");
    }

    #[test]
    fn causes_that_alternate_fill_no_log() {
        let outage = Outage::default();
        let told = |causes: u32| {
            let seconds = 0..600u64;
            let all = seconds.flat_map(|second| (0..causes).map(move |cause| (second, cause + 1)));
            all.filter(|(second, cause)| outage.begin(*cause, Time::from_millis(second * 1000)))
                .count()
        };
        let two = told(2);
        assert!((10..=20).contains(&two), "{two} lines in ten minutes");
        outage.end();
        let many = told(16);
        assert!((80..=160).contains(&many), "{many} lines in ten minutes");
    }

    #[test]
    fn a_new_cause_is_logged_however_many_there_were() {
        let outage = Outage::default();
        for cause in 1..=100 {
            assert!(outage.begin(cause, Time::from_millis(u64::from(cause) * 100)), "{cause}");
            assert!(!outage.begin(cause, Time::from_millis(u64::from(cause) * 100)), "{cause}");
        }
    }

    #[test]
    fn a_forgotten_cause_is_logged_again_and_so_is_the_end() {
        let outage = Outage::default();
        outage.forget();
        assert!(!outage.end(), "there was no outage");
        assert!(outage.begin(7, Time::ZERO) && !outage.begin(7, Time::ZERO));
        outage.forget();
        assert!(outage.lasts() && outage.begin(7, Time::ZERO));
        outage.forget();
        assert!(outage.end());
    }
}
