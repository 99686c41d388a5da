//! Rate limits: a token bucket for all requests, or one for each key.
//!
//! A bucket is one time, as the generic cell rate algorithm has it (ITU-T I.371): when it would be full
//! again. A request puts that off by one interval, and is refused if that is more than a burst away.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use dashmap::DashMap;

use crate::model::{CallerKey, Time};

/// Keys with buckets of their own; further ones share `SHARED` buckets.
const MAX_KEYS: usize = 100_000;

/// Buckets of the keys that are too many.
const SHARED: u64 = 4096;

/// Nanoseconds between two looks for full buckets.
const SWEEP_EVERY: u64 = 1_000_000_000;

/// The requests that a route lets through.
#[derive(Debug)]
pub struct RateLimit {
    settings: RateLimitSettings,
    buckets: Buckets,
}

/// Settings of a rate limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitSettings {
    /// Requests per second.
    pub per_second: u32,
    /// Requests that may come at once after a pause.
    pub burst: u32,
    /// What requests are told apart by, if they have buckets of their own.
    pub key: Option<CallerKey>,
}

#[derive(Debug)]
enum Buckets {
    One(AtomicU64),
    /// By the hash of the key, in nanoseconds.
    Keyed {
        buckets: DashMap<u64, u64>,
        count: AtomicUsize,
        /// When full ones were removed last, in nanoseconds.
        swept: AtomicU64,
    },
}

impl RateLimitSettings {
    fn interval(&self) -> u64 {
        1_000_000_000 / u64::from(self.per_second.max(1))
    }
}

impl RateLimit {
    /// Full buckets.
    pub fn new(settings: RateLimitSettings) -> RateLimit {
        let buckets = match settings.key {
            None => Buckets::One(AtomicU64::new(0)),
            Some(_) => Buckets::Keyed {
                buckets: DashMap::new(),
                count: AtomicUsize::new(0),
                swept: AtomicU64::new(0),
            },
        };
        RateLimit { settings, buckets }
    }

    /// Its settings.
    pub fn settings(&self) -> &RateLimitSettings {
        &self.settings
    }

    /// Takes a token for a request, with the hash of its key if requests are told apart.
    ///
    /// # Errors
    /// After how long there will be one.
    pub fn take(&self, key: u64, now: Time) -> Result<(), Duration> {
        match &self.buckets {
            Buckets::One(bucket) => {
                let next = |full_at| self.next(full_at, now).ok();
                bucket
                    .fetch_update(Relaxed, Relaxed, next)
                    .map(|_| ())
                    .map_err(|full_at| self.next(full_at, now).err().unwrap_or_default())
            }
            Buckets::Keyed { buckets, count, swept } => {
                let key = own_or_shared(buckets, count, swept, (key, now));
                let mut bucket = buckets.entry(key).or_insert_with(|| {
                    count.fetch_add(1, Relaxed);
                    0
                });
                *bucket = self.next(*bucket, now)?;
                Ok(())
            }
        }
    }

    /// When a bucket is full again after one more token was taken.
    fn next(&self, full_at: u64, now: Time) -> Result<u64, Duration> {
        let (now, interval) = (now.as_nanos(), self.settings.interval());
        let next = full_at.max(now) + interval;
        match next.saturating_sub(now + interval * u64::from(self.settings.burst)) {
            0 => Ok(next),
            more => Err(Duration::from_nanos(more)),
        }
    }
}

/// The key itself or, if there are too many, one that it shares with others. Full buckets are as good as
/// none, and make room first, once a second at most.
fn own_or_shared(
    buckets: &DashMap<u64, u64>,
    count: &AtomicUsize,
    swept: &AtomicU64,
    (key, now): (u64, Time),
) -> u64 {
    if count.load(Relaxed) < MAX_KEYS || buckets.contains_key(&key) {
        return key;
    }
    let (now, last) = (now.as_nanos(), swept.load(Relaxed));
    let is_due = now.saturating_sub(last) >= SWEEP_EVERY;
    if is_due && swept.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
        buckets.retain(|_, full_at| *full_at > now);
        count.store(buckets.len(), Relaxed);
    }
    if count.load(Relaxed) < MAX_KEYS { key } else { key % SHARED }
}

/// By their settings: what is left in the buckets makes no difference.
impl PartialEq for RateLimit {
    fn eq(&self, other: &RateLimit) -> bool {
        self.settings == other.settings
    }
}

impl Eq for RateLimit {}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_second: u32, burst: u32, keyed: bool) -> RateLimit {
        let key = keyed.then_some(CallerKey::Client);
        RateLimit::new(RateLimitSettings { per_second, burst, key })
    }

    fn at(ms: u64) -> Time {
        Time::from_millis(1000 + ms)
    }

    fn granted(limit: &RateLimit, key: u64, now: Time) -> usize {
        (0..10_000).take_while(|_| limit.take(key, now).is_ok()).count()
    }

    #[test]
    fn a_burst_and_then_so_many_a_second() {
        let limit = limit(100, 20, false);
        assert_eq!(granted(&limit, 0, at(0)), 20);
        assert_eq!(limit.take(0, at(0)), Err(Duration::from_millis(10)));
        assert_eq!(granted(&limit, 0, at(50)), 5);
        assert_eq!(granted(&limit, 0, at(10_000)), 20, "no more is saved than a burst");
    }

    #[test]
    fn keys_have_buckets_of_their_own() {
        let limit = limit(10, 2, true);
        assert_eq!([granted(&limit, 1, at(0)), granted(&limit, 2, at(0))], [2, 2]);
        assert_eq!(granted(&limit, 1, at(100)), 1);
    }

    #[test]
    fn however_many_keys_there_are_memory_is_bounded() {
        let limit = limit(1, 1, true);
        for key in 0..2 * MAX_KEYS as u64 {
            let _ = limit.take(u64::MAX - key, at(0)); // some share buckets that are empty
        }
        let Buckets::Keyed { buckets, .. } = &limit.buckets else { panic!() };
        assert!(buckets.len() <= MAX_KEYS + SHARED as usize, "{}", buckets.len());
        assert!(limit.take(u64::MAX / 2, at(5000)).is_ok(), "full buckets make room");
        assert!(buckets.len() < 10, "{}", buckets.len());
    }

    #[test]
    fn workers_that_take_at_the_same_time_get_no_more_together() {
        for keyed in [false, true] {
            let limit = limit(1, 100, keyed);
            let granted = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let mine = (0..1000).filter(|_| limit.take(3, at(0)).is_ok()).count();
                        granted.fetch_add(mine, Relaxed);
                    });
                }
            });
            assert_eq!(granted.into_inner(), 100);
        }
    }
}
