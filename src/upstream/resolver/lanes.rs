//! Two concurrency limits (quick and slow lane), so that names with silent servers delay only each
//! other.
//!
//! A look-up begins in the quick lane, which it has to leave soon. One that takes longer goes on
//! in the slow lane if there is a place, and gives up if there is none; the next one of that name
//! queues for the slow lane from the beginning.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Found, LookupError};

/// Concurrent look-ups in the quick lane.
const QUICK: usize = 96;

/// Time limit of each.
const SOON: Duration = Duration::from_millis(500);

/// Concurrent look-ups in the slow lane.
const SLOW: usize = 32;

/// Time limit of each.
const AT_LAST: Duration = Duration::from_secs(5);

/// The semaphores of both lanes, which are fair.
pub struct Lanes {
    quick: Semaphore,
    slow: Semaphore,
}

impl Lanes {
    pub fn new() -> Lanes {
        Lanes { quick: Semaphore::new(QUICK), slow: Semaphore::new(SLOW) }
    }

    /// Runs `look_up` in the quick lane, or the slow one if it is known to be `slow`.
    pub async fn carry(
        &self,
        slow: bool,
        look_up: impl Future<Output = Result<Found, LookupError>>,
    ) -> Result<Found, LookupError> {
        let mut look_up = pin!(look_up);
        let place = if slow {
            self.slow.acquire().await
        } else {
            let place = self.quick.acquire().await;
            if let Ok(found) = timeout(SOON, &mut look_up).await {
                return found;
            }
            drop(place);
            let Ok(place) = self.slow.try_acquire() else { return Err(LookupError::Silent) };
            Ok(place)
        };
        let found = timeout(AT_LAST, look_up).await.unwrap_or(Err(LookupError::Silent));
        drop(place);
        found
    }
}
