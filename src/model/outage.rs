//! Whether an endpoint is down, and why: one state for all workers. Also limits how often the same
//! cause of connection failures is logged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::time::Time;

/// The same cause is logged at most once in this many seconds.
const LOG_INTERVAL_SECS: u64 = 60;

/// Causes remembered per endpoint: more than the addresses of a name that could each fail
/// differently.
const MAX_CAUSES: usize = 16;

/// Placeholder for the last cause once it was forgotten.
const FORGOTTEN: u32 = u32::MAX;

/// An endpoint that is down again within this time of its return flaps.
const FLAP_WINDOW: Duration = Duration::from_secs(5);

/// Connections that close within this time of a lost one count as lost with it: a process that dies
/// closes its idle ones gracefully.
const LOSS_WINDOW: Duration = Duration::from_secs(1);

/// An endpoint is down: it has no connection, as all were lost, or as the last attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// The reason, for people.
    pub why: Arc<str>,
    /// Since when.
    pub since: Time,
}

/// Whether and why an endpoint is down. Shared by all workers.
#[derive(Debug, Default)]
pub struct Outage {
    down: ArcSwapOption<Down>,
    /// When a connection was last lost, in nanoseconds; 0 if one was established since.
    lost: AtomicU64,
    /// How often it went down.
    down_count: AtomicU32,
    /// When it last came up, in nanoseconds; 0 for never.
    back: AtomicU64,
    /// Consecutive flaps.
    flaps: AtomicU32,
    /// Hash of the cause that was logged last; 0 while reachable.
    logged: AtomicU32,
    /// Logged causes: hash in the upper half, second of logging (from 1 on) in the lower.
    causes: [AtomicU64; MAX_CAUSES],
}

impl Outage {
    /// Records that a connection was lost; there may be others.
    pub fn note_loss(&self, now: Time) {
        self.lost.store(now.as_nanos().max(1), Relaxed);
    }

    /// Whether others were lost just now, so that a graceful close counts as a loss too.
    pub fn is_losing(&self, now: Time) -> bool {
        let lost = self.lost.load(Relaxed);
        lost > 0 && now.since(Time::from_nanos(lost)) < LOSS_WINDOW
    }

    /// Marks it as down. Returns whether it was up.
    pub fn mark_down(&self, why: &str, now: Time) -> bool {
        let down = Some(Arc::new(Down { why: why.into(), since: now }));
        let is_news = self.down.compare_and_swap(&None::<Arc<Down>>, down).is_none();
        if is_news {
            self.down_count.fetch_add(1, Relaxed);
            let back = self.back.load(Relaxed);
            let brief = back > 0 && now.since(Time::from_nanos(back)) < FLAP_WINDOW;
            let lives = if brief { self.flaps.load(Relaxed).saturating_add(1) } else { 0 };
            self.flaps.store(lives, Relaxed);
        }
        is_news
    }

    /// Updates why it is down, if it is.
    pub fn update_reason(&self, why: &str) {
        self.down.rcu(|down| {
            let since = down.as_ref()?.since;
            Some(Arc::new(Down { why: why.into(), since }))
        });
    }

    /// Marks it as up, as there is a connection. Returns whether it was down.
    pub fn mark_up(&self, now: Time) -> bool {
        self.lost.store(0, Relaxed);
        let was_down = self.down.swap(None).is_some();
        if was_down {
            self.back.store(now.as_nanos().max(1), Relaxed);
        }
        was_down
    }

    /// Since when and why it is down, if it is.
    pub fn down(&self) -> Option<Arc<Down>> {
        self.down.load_full()
    }

    /// Whether it is down.
    pub fn is_down(&self) -> bool {
        self.down.load().is_some()
    }

    /// How often it went down.
    pub fn down_count(&self) -> u32 {
        self.down_count.load(Relaxed)
    }

    /// How often in a row it was down again soon after its return: the reconnect backoff grows with it.
    pub fn flaps(&self) -> u32 {
        self.flaps.load(Relaxed)
    }

    /// Records a failed attempt; `cause` is a hash. Returns whether to log it: a new or changed
    /// cause is logged, but each at most once a minute.
    pub fn note_failure(&self, cause: u32, now: Time) -> bool {
        let cause = cause.clamp(1, FORGOTTEN - 1);
        if self.logged.load(Relaxed) == cause {
            return false;
        }
        let second = now.as_secs().saturating_add(1) & u64::from(u32::MAX);
        let logged_at = |entry: u64| entry & u64::from(u32::MAX);
        let recent = |entry: u64| entry != 0 && second < logged_at(entry) + LOG_INTERVAL_SECS;
        let entries = self.causes.each_ref().map(|entry| entry.load(Relaxed));
        let same = entries.iter().position(|entry| entry >> 32 == u64::from(cause));
        if same.is_some_and(|at| recent(entries[at % MAX_CAUSES])) {
            return false;
        }
        // A new cause is always logged; it replaces the oldest.
        let oldest = || (0..MAX_CAUSES).min_by_key(|at| logged_at(entries[at % MAX_CAUSES]));
        let at = same.or_else(oldest).unwrap_or_default() % MAX_CAUSES;
        let entry = u64::from(cause) << 32 | second;
        // If several workers race, one logs.
        let tell = self.causes[at].compare_exchange(entries[at], entry, Relaxed, Relaxed).is_ok();
        if tell {
            self.logged.store(cause, Relaxed);
        }
        tell
    }

    /// Forgets which causes were logged, so that they are logged again after a change of settings.
    pub fn forget_logged(&self) {
        let _ =
            self.logged.fetch_update(Relaxed, Relaxed, |logged| (logged != 0).then_some(FORGOTTEN));
        self.causes.iter().for_each(|entry| entry.store(0, Relaxed));
    }

    /// Records a successful connection; returns whether that ends what was logged.
    pub fn note_success(&self) -> bool {
        let logged = self.logged.swap(0, Relaxed) != 0;
        if logged {
            self.causes.iter().for_each(|entry| entry.store(0, Relaxed));
        }
        logged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_report_marks_it_down() {
        let (outage, at) = (Outage::default(), Time::from_millis);
        assert!(!outage.is_down() && !outage.mark_up(at(1)));
        outage.update_reason("nothing");
        assert_eq!(outage.down(), None);
        assert!(outage.mark_down("lost", at(2)) && !outage.mark_down("refused", at(3)));
        let down = |why: &str, since| Some(Arc::new(Down { why: why.into(), since: at(since) }));
        assert_eq!(outage.down(), down("lost", 2));
        outage.update_reason("refused");
        assert_eq!(outage.down(), down("refused", 2));
        assert!(outage.mark_up(at(4)) && !outage.mark_up(at(4)));
        assert_eq!((outage.down(), outage.down_count()), (None, 1));
    }

    #[test]
    fn a_graceful_close_soon_after_a_loss_is_a_loss() {
        let (outage, at) = (Outage::default(), Time::from_millis);
        assert!(!outage.is_losing(at(0)));
        outage.note_loss(at(1));
        assert!(outage.is_losing(at(0)) && outage.is_losing(at(1000)));
        assert!(!outage.is_losing(at(1001)));
        outage.mark_up(at(2));
        assert!(!outage.is_losing(at(3)), "it answers");
    }

    #[test]
    fn flaps_are_counted_until_it_stays_up() {
        let (outage, at) = (Outage::default(), Time::from_millis);
        let lives = |from, to| {
            outage.mark_up(at(from));
            outage.mark_down("lost", at(to));
            outage.flaps()
        };
        assert_eq!(lives(0, 1000), 0, "it was never back");
        assert_eq!([lives(2000, 6999), lives(7000, 7001), lives(8000, 13_000)], [1, 2, 0]);
    }

    #[test]
    fn a_changed_cause_is_logged_and_the_same_is_not() {
        let outage = Outage::default();
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        assert!(!outage.note_success());
        assert!(outage.note_failure(7, at(0)));
        assert!(!outage.note_failure(7, at(1)) && !outage.note_failure(7, at(1000)));
        assert!(outage.note_failure(8, at(1000)), "another one");
        assert!(outage.note_failure(7, at(1001)), "it was told long ago");
        assert!(outage.note_success() && !outage.note_success());
        assert!(outage.note_failure(7, at(1002)), "there was a connection in between");
    }

    #[test]
    fn causes_that_alternate_fill_no_log() {
        let outage = Outage::default();
        let logged = |causes: u32| {
            let seconds = 0..600u64;
            let all = seconds.flat_map(|second| (0..causes).map(move |cause| (second, cause + 1)));
            all.filter(|(second, cause)| {
                outage.note_failure(*cause, Time::from_millis(second * 1000))
            })
            .count()
        };
        let two = logged(2);
        assert!((10..=20).contains(&two), "{two} lines in ten minutes");
        outage.note_success();
        let many = logged(16);
        assert!((80..=160).contains(&many), "{many} lines in ten minutes");
    }

    #[test]
    fn a_new_cause_is_logged_however_many_there_were() {
        let outage = Outage::default();
        for cause in 1..=100 {
            assert!(
                outage.note_failure(cause, Time::from_millis(u64::from(cause) * 100)),
                "{cause}"
            );
            assert!(
                !outage.note_failure(cause, Time::from_millis(u64::from(cause) * 100)),
                "{cause}"
            );
        }
    }

    #[test]
    fn a_forgotten_cause_is_logged_again_and_so_is_the_end() {
        let outage = Outage::default();
        outage.forget_logged();
        assert!(!outage.note_success(), "there was no outage");
        assert!(outage.note_failure(7, Time::ZERO) && !outage.note_failure(7, Time::ZERO));
        outage.forget_logged();
        assert!(outage.note_failure(7, Time::ZERO));
        outage.forget_logged();
        assert!(outage.note_success());
    }
}
