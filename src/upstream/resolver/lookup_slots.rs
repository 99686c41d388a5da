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

use super::{Found, LookupError};

/// Concurrent quick look-ups.
const QUICK_SLOTS: usize = 96;

/// Time limit of a look-up in its slot.
const QUICK_TIMEOUT: Duration = Duration::from_millis(500);

/// Concurrent slow look-ups.
const SLOW_SLOTS: usize = 32;

/// Time limit of a look-up in its slot.
const SLOW_TIMEOUT: Duration = Duration::from_secs(5);

/// The semaphores of both kinds, which are fair.
pub struct LookupSlots {
    quick: Semaphore,
    slow: Semaphore,
}

impl LookupSlots {
    pub fn new() -> LookupSlots {
        LookupSlots { quick: Semaphore::new(QUICK_SLOTS), slow: Semaphore::new(SLOW_SLOTS) }
    }

    /// Runs `look_up` in a quick slot, or in a slow one if the name is known to be `slow`.
    pub async fn run(
        &self,
        slow: bool,
        look_up: impl Future<Output = Result<Found, LookupError>>,
    ) -> Result<Found, LookupError> {
        let mut look_up = pin!(look_up);
        let permit = if slow {
            self.slow.acquire().await
        } else {
            let permit = self.quick.acquire().await;
            if let Ok(found) = timeout(QUICK_TIMEOUT, &mut look_up).await {
                return found;
            }
            drop(permit);
            let Ok(permit) = self.slow.try_acquire() else { return Err(LookupError::Silent) };
            Ok(permit)
        };
        let found = timeout(SLOW_TIMEOUT, look_up).await.unwrap_or(Err(LookupError::Silent));
        drop(permit);
        found
    }
}
