//! When names are looked up again.

use std::time::Duration;

/// The shortest TTL that is heeded, so that a name of TTL 0 is not asked for all the time.
const FLOOR: Duration = Duration::from_secs(5);

/// The longest, so that a change is seen though somebody has forgotten to lower the TTL before.
const CAP: Duration = Duration::from_secs(300);

/// The same while something is missing: three answers in 30 s.
const SHORT_CAP: Duration = Duration::from_secs(15);

/// By how much of it a pause may be longer, so that gateways and names spread out. It is not shorter, as a
/// cache would give the old answer once more.
const JITTER: f64 = 0.1;

/// The pause after an answer of this TTL. `hurry` is whether something was missing, `chance` a random number
/// from 0 to 1.
pub(super) fn after_answer(ttl: Duration, hurry: bool, chance: f64) -> Duration {
    let cap = if hurry { SHORT_CAP } else { CAP };
    ttl.clamp(FLOOR, cap).mul_f64(1.0 + JITTER * chance)
}

/// The pause after an answer that has nothing, when `backoff` would be that after a failure: servers have
/// been asked, and have told.
pub(super) fn after_nothing(backoff: Duration) -> Duration {
    backoff.max(FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_the_ttl_within_bounds() {
        let seconds = |ttl, hurry| after_answer(Duration::from_secs(ttl), hurry, 0.0).as_secs();
        let cases = [(0, 5), (5, 5), (60, 60), (299, 299), (86_400, 300)];
        for (ttl, pause) in cases {
            assert_eq!(seconds(ttl, false), pause);
            assert_eq!(seconds(ttl, true), pause.min(15));
        }
        assert_eq!(after_answer(Duration::from_secs(60), false, 1.0), Duration::from_secs(66));
        assert_eq!(after_nothing(Duration::from_millis(20)), Duration::from_secs(5));
        assert_eq!(after_nothing(Duration::from_secs(9)), Duration::from_secs(9));
    }
}
