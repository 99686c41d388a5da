//! Whether an endpoint is down, and why: one state for all workers. And the rate limit of connection
//! failure logs: whether a cause is news.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::time::Time;

/// The same cause is logged at most once in this many seconds.
const AGAIN: u64 = 60;

/// Causes remembered per endpoint: more than the addresses of a name that could each fail
/// differently.
const CAUSES: usize = 16;

/// Stands for the last cause when that was forgotten.
const FORGOTTEN: u32 = u32::MAX;

/// An endpoint that is down again this soon after its return has had a brief life.
const BRIEF: Duration = Duration::from_secs(5);

/// Connections that end within this of one that was lost went with it: a process that dies closes
/// idle ones in good order.
const TOGETHER: Duration = Duration::from_secs(1);

/// That an endpoint is down: no connection to it stands, as they were lost, or the last attempt at one
/// failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// In few words.
    pub why: Arc<str>,
    /// Since when.
    pub since: Time,
}

/// Whether and why an endpoint is unreachable. Shared by all workers.
#[derive(Debug, Default)]
pub struct Outage {
    down: ArcSwapOption<Down>,
    /// When a connection was last lost, in nanoseconds; 0 if one was established since.
    lost: AtomicU64,
    /// How often it went down.
    falls: AtomicU32,
    /// When it was last back, in nanoseconds; 0 for never.
    back: AtomicU64,
    /// Brief lives in a row.
    brief: AtomicU32,
    /// Hash of the cause logged last; 0 while reachable.
    told: AtomicU32,
    /// Logged causes: hash in the upper half, second of logging (from 1 on) in the lower.
    causes: [AtomicU64; CAUSES],
}

impl Outage {
    /// A connection was lost; others may stand.
    pub fn note_loss(&self, now: Time) {
        self.lost.store(now.as_nanos().max(1), Relaxed);
    }

    /// Whether a connection that ends now in good order ends as others were lost.
    pub fn is_breaking(&self, now: Time) -> bool {
        let lost = self.lost.load(Relaxed);
        lost > 0 && now.since(Time::from_nanos(lost)) < TOGETHER
    }

    /// It is down. Returns whether that is news.
    pub fn fall(&self, why: &str, now: Time) -> bool {
        let down = Some(Arc::new(Down { why: why.into(), since: now }));
        let is_news = self.down.compare_and_swap(&None::<Arc<Down>>, down).is_none();
        if is_news {
            self.falls.fetch_add(1, Relaxed);
            let back = self.back.load(Relaxed);
            let brief = back > 0 && now.since(Time::from_nanos(back)) < BRIEF;
            let lives = if brief { self.brief.load(Relaxed).saturating_add(1) } else { 0 };
            self.brief.store(lives, Relaxed);
        }
        is_news
    }

    /// It is still down, if it was, but for another reason.
    pub fn restate(&self, why: &str) {
        self.down.rcu(|down| {
            let since = down.as_ref()?.since;
            Some(Arc::new(Down { why: why.into(), since }))
        });
    }

    /// A connection stands. Returns whether it was down.
    pub fn rise(&self, now: Time) -> bool {
        self.lost.store(0, Relaxed);
        let was_down = self.down.swap(None).is_some();
        if was_down {
            self.back.store(now.as_nanos().max(1), Relaxed);
        }
        was_down
    }

    /// That it is down, if it is.
    pub fn down(&self) -> Option<Arc<Down>> {
        self.down.load_full()
    }

    /// Whether it is down.
    pub fn is_down(&self) -> bool {
        self.down.load().is_some()
    }

    /// How often it went down.
    pub fn falls(&self) -> u32 {
        self.falls.load(Relaxed)
    }

    /// How often in a row it was down again soon after its return.
    pub fn brief_lives(&self) -> u32 {
        self.brief.load(Relaxed)
    }

    /// Records a failed attempt; `cause` is a hash. Returns whether to log it: a new or changed
    /// cause is logged, but each at most once a minute.
    pub fn begin(&self, cause: u32, now: Time) -> bool {
        let cause = cause.clamp(1, FORGOTTEN - 1);
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

    /// Records a successful connection; returns whether that ends what was logged.
    pub fn end(&self) -> bool {
        let told = self.told.swap(0, Relaxed) != 0;
        if told {
            self.causes.iter().for_each(|entry| entry.store(0, Relaxed));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_down_once_whoever_finds_it_so() {
        let (outage, at) = (Outage::default(), Time::from_millis);
        assert!(!outage.is_down() && !outage.rise(at(1)));
        outage.restate("nothing");
        assert_eq!(outage.down(), None);
        assert!(outage.fall("lost", at(2)) && !outage.fall("refused", at(3)));
        let down = |why: &str, since| Some(Arc::new(Down { why: why.into(), since: at(since) }));
        assert_eq!(outage.down(), down("lost", 2));
        outage.restate("refused");
        assert_eq!(outage.down(), down("refused", 2));
        assert!(outage.rise(at(4)) && !outage.rise(at(4)));
        assert_eq!((outage.down(), outage.falls()), (None, 1));
    }

    #[test]
    fn what_ends_soon_after_a_loss_went_with_it() {
        let (outage, at) = (Outage::default(), Time::from_millis);
        assert!(!outage.is_breaking(at(0)));
        outage.note_loss(at(1));
        assert!(outage.is_breaking(at(0)) && outage.is_breaking(at(1000)));
        assert!(!outage.is_breaking(at(1001)));
        outage.rise(at(2));
        assert!(!outage.is_breaking(at(3)), "it answers");
    }

    #[test]
    fn lives_are_brief_until_one_lasts() {
        let (outage, at) = (Outage::default(), Time::from_millis);
        let lives = |from, to| {
            outage.rise(at(from));
            outage.fall("lost", at(to));
            outage.brief_lives()
        };
        assert_eq!(lives(0, 1000), 0, "it was never back");
        assert_eq!([lives(2000, 6999), lives(7000, 7001), lives(8000, 13_000)], [1, 2, 0]);
    }

    #[test]
    fn a_changed_cause_is_logged_and_the_same_is_not() {
        let outage = Outage::default();
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        assert!(!outage.end());
        assert!(outage.begin(7, at(0)));
        assert!(!outage.begin(7, at(1)) && !outage.begin(7, at(1000)));
        assert!(outage.begin(8, at(1000)), "another one");
        assert!(outage.begin(7, at(1001)), "it was told long ago");
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
        assert!(outage.begin(7, Time::ZERO));
        outage.forget();
        assert!(outage.end());
    }
}
