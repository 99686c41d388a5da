//! Two concurrency limits for look-ups, quick and slow, so that names whose servers do not answer
//! delay only each other.
//!
//! A look-up begins in a quick slot, which it has to leave soon. One that takes longer goes on
//! in a slow slot if one is free, and gives up if there is none; the next one of that name
//! queues for a slow slot from the beginning.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Concurrent quick look-ups.
const QUICK_SLOTS: usize = 96;

/// Time limit of a look-up in its slot.
const QUICK_TIMEOUT: Duration = Duration::from_millis(500);

/// Concurrent slow look-ups.
const SLOW_SLOTS: usize = 32;

/// Time limit of a look-up in its slot.
const SLOW_TIMEOUT: Duration = Duration::from_secs(5);

/// The semaphores of both kinds, which are fair.
#[derive(Debug)]
pub struct LookupSlots {
    quick: Semaphore,
    slow: Semaphore,
}

impl Default for LookupSlots {
    fn default() -> LookupSlots {
        LookupSlots { quick: Semaphore::new(QUICK_SLOTS), slow: Semaphore::new(SLOW_SLOTS) }
    }
}

impl LookupSlots {
    /// Runs `look_up` in a quick slot, or in a slow one if the name is known to be `slow`; `None` if it
    /// was given up.
    pub async fn run<T>(&self, slow: bool, look_up: impl Future<Output = T>) -> Option<T> {
        let mut look_up = pin!(look_up);
        let permit = if slow {
            self.slow.acquire().await
        } else {
            let permit = self.quick.acquire().await;
            if let Ok(found) = timeout(QUICK_TIMEOUT, &mut look_up).await {
                return Some(found);
            }
            drop(permit);
            Ok(self.slow.try_acquire().ok()?)
        };
        let found = timeout(SLOW_TIMEOUT, look_up).await.ok();
        drop(permit);
        found
    }
}
