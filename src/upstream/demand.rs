//! Whether a service was requested recently: then reconnects to its endpoints are frequent.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::model::Time;

/// A service counts as in use for this long after a request.
const USE_WINDOW: Duration = Duration::from_secs(60);

/// When a service was last requested. Shared by all workers; written about once a second.
#[derive(Debug, Default)]
pub struct Demand {
    /// Time of the last request, in nanoseconds.
    asked: AtomicU64,
    renewed: Notify,
}

impl Demand {
    /// Records a request.
    pub fn note(&self, now: Time) {
        let before = self.asked.swap(now.as_nanos(), Relaxed);
        if !is_recent(before, now) {
            self.renewed.notify_waiters();
        }
    }

    /// Whether it is in use.
    pub fn is_recent(&self, now: Time) -> bool {
        is_recent(self.asked.load(Relaxed), now)
    }

    /// Resolves when it is in use again.
    pub(super) fn renewed(&self) -> Notified<'_> {
        self.renewed.notified()
    }
}

fn is_recent(asked: u64, now: Time) -> bool {
    now.since(Time::from_nanos(asked)) < USE_WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_request_after_a_pause_renews_it() {
        let (demand, at) = (Demand::default(), |seconds: u64| Time::from_millis(seconds * 1000));
        assert!(demand.is_recent(at(59)) && !demand.is_recent(at(60)));
        let renewed = demand.renewed();
        demand.note(at(59));
        demand.note(at(100));
        assert!(demand.is_recent(at(159)) && !demand.is_recent(at(160)));
        demand.note(at(160));
        renewed.await;
    }
}
