//! Back-off between attempts to reach a registry.

use std::time::Duration;

/// The upper bound of the first pause.
const FIRST: Duration = Duration::from_millis(200);

/// The upper bound while requests flow to the service.
const BUSY_CAP: Duration = Duration::from_secs(3);

/// The upper bound while none do.
const IDLE_CAP: Duration = Duration::from_secs(30);

/// The shortest pause, so that an unlucky draw does not spin.
const LEAST: Duration = Duration::from_millis(20);

/// Exponential back-off with full jitter, so that many gateways do not come back at once.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after another failure. `busy` is whether requests flow to the service, `chance` a
    /// random number from 0 to 1.
    pub fn next(&mut self, busy: bool, chance: f64) -> Duration {
        let cap = if busy { BUSY_CAP } else { IDLE_CAP };
        let bound = FIRST.saturating_mul(1 << self.failures.min(16)).min(cap);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(chance).max(LEAST)
    }

    /// The registry has answered.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_that_is_lower_while_requests_flow() {
        let pauses = |busy| {
            let mut backoff = Backoff::default();
            [(); 9].map(|()| backoff.next(busy, 1.0).as_millis())
        };
        assert_eq!(pauses(true), [200, 400, 800, 1600, 3000, 3000, 3000, 3000, 3000]);
        assert_eq!(pauses(false), [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000]);
        let mut backoff = Backoff { failures: u32::MAX };
        assert_eq!(backoff.next(false, 0.5), Duration::from_secs(15));
        backoff.reset();
        assert_eq!(backoff.next(false, 0.5), Duration::from_millis(100));
        assert_eq!(backoff.next(false, 0.0), LEAST);
    }
}
