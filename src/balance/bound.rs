//! Bounded loads: caps each member at a multiple of its fair share in flight, of calls and of
//! streams each.
//!
//! After Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads": with a
//! factor of 1.25 and 100 requests in flight, a member of a tenth of the weight has room for
//! `1.25 x 100 / 10`, rounded up: 13. A key whose member has no room goes to the next of its
//! candidates, the same each time, as long as that lasts. The bounds' sum is more than the total
//! in flight, so some member has room.
//!
//! The total in flight over all workers is cached. It is recomputed once a millisecond (once in
//! two for 128 members, once in four for 256), and within that whenever a sixteenth of it may have
//! ended: one request in 16 of all, or of as many as there are members. So under load a pick costs
//! 16 additions on average at most, however many members there are, and for fewer than 16 members
//! with fewer than 16 requests the sum is exact. Requests that several workers start at the same
//! instant do not see each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::sampling::Weights;
use crate::model::{EndpointSet, ExchangeClass, Load, Time};
use crate::text::keys::{Plain, Text};

/// Maximum factor: a larger one would hardly bound anything.
const MAX_FACTOR: f64 = 100.0;

/// Fraction of the requests that may have ended since the last sum.
const STALE_DIVISOR: u32 = 16;

/// A factor, as it is written.
pub(super) static FACTOR: Text = Text {
    name: "factor",
    range: "1 to 100",
    pattern: || r"\+?0*([1-9][0-9]?(\.[0-9]*)?|100(\.0*)?)|\+?[0-9.]+[Ee][+-]?[0-9]+".into(),
    plain: Plain::Numbers(1.0, MAX_FACTOR),
};

/// Reads a factor.
pub(super) fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if (1.0..=MAX_FACTOR).contains(&factor) => Ok(factor),
        _ => Err(format!(
            "`{text}` is not a factor from 1 to {MAX_FACTOR}: write 1.25 for a quarter more than \
             the fair share"
        )),
    }
}

/// The bounds of the members of a set.
pub(super) struct Bound {
    set: Arc<EndpointSet>,
    /// Each member's share of the total in flight.
    shares: Box<[f64]>,
    calls: OpenTotal,
    streams: OpenTotal,
}

impl Bound {
    /// Bounds of `factor` times the fair share of each member.
    pub fn new(factor: f64, set: Arc<EndpointSet>, weights: &Weights) -> Bound {
        let share = |index| factor * weights.of(index) as f64 / weights.total() as f64;
        let shares = (0..weights.len()).map(share).collect();
        let all = || OpenTotal { age: (set.len() / 64).max(1).ilog2(), ..OpenTotal::default() };
        Bound { shares, calls: all(), streams: all(), set }
    }

    /// Whether a member has room for the request being picked for.
    pub fn room(&self, class: ExchangeClass, now: Time) -> impl Fn(usize) -> bool {
        let (all, open): (_, fn(&Load) -> u32) = match class {
            ExchangeClass::Call => (&self.calls, Load::calls),
            ExchangeClass::Stream => (&self.streams, |load| load.streams().count()),
        };
        let all = f64::from(all.with_one_more(&self.set, open, now));
        // `n + 1 <= ceil(bound)`, for whole numbers.
        move |index| {
            f64::from(open(self.set.members()[index].endpoint.load())) < self.shares[index] * all
        }
    }
}

/// Cached total in flight of one class.
#[derive(Default)]
struct OpenTotal {
    /// High half: time of the last sum. Low half: the sum, incremented by each pick since.
    count: AtomicU64,
    /// From this count on the sum is recomputed, as requests may have ended since.
    stale_from: AtomicU32,
    /// log2 of the milliseconds that a sum is valid for.
    age: u32,
}

impl OpenTotal {
    fn with_one_more(&self, set: &EndpointSet, open: fn(&Load) -> u32, now: Time) -> u32 {
        let stamp = (now.as_millis() >> self.age) as u32;
        let before = self.count.fetch_add(1, Relaxed);
        let (at, count) = ((before >> 32) as u32, before as u32);
        if at == stamp && count < self.stale_from.load(Relaxed) {
            return count + 1;
        }
        let sum: u32 = set.members().iter().map(|m| open(m.endpoint.load())).sum();
        let matters = sum.max(set.len() as u32) / STALE_DIVISOR;
        self.stale_from.store(sum.saturating_add(matters), Relaxed);
        self.count.store(u64::from(stamp) << 32 | u64::from(sum + 1), Relaxed);
        sum + 1
    }
}
