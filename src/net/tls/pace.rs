//! Bounds on the TLS handshakes of one worker. The signature of one takes as long as many requests, so
//! that a storm of new clients must not hold up the calls of those that are there.

use std::io;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;

/// Handshakes at a time; further ones queue, within their timeout.
const MAX_HANDSHAKES: usize = 256;

/// How many handshakes there may be, and how many of them compute in one turn: one.
#[derive(Debug)]
pub struct Pace {
    at_a_time: Semaphore,
    turn: Semaphore,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { at_a_time: Semaphore::new(MAX_HANDSHAKES), turn: Semaphore::new(1) }
    }
}

impl Pace {
    /// Waits for a place among the handshakes.
    ///
    /// # Errors
    /// There are none: nobody closes it.
    pub async fn begin(&self) -> io::Result<SemaphorePermit<'_>> {
        self.at_a_time.acquire().await.map_err(io::Error::other)
    }

    /// Does the `work` of a handshake that takes long. Whatever else is ready goes before that of the
    /// next one, in the order in which they came.
    ///
    /// # Errors
    /// As of [`Pace::begin`].
    pub async fn compute<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let _turn = self.turn.acquire().await.map_err(io::Error::other)?;
        let done = work();
        yield_now().await; // until all that is ready has run and the sockets were polled
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    #[tokio::test]
    async fn whatever_is_ready_goes_between_two_handshakes() {
        const MANY: usize = 20;
        let (pace, log) = (Rc::new(Pace::default()), Rc::new(RefCell::new(Vec::new())));
        let all = async {
            let mut running = Vec::new();
            for index in 0..MANY {
                let (pace, log) = (Rc::clone(&pace), Rc::clone(&log));
                running.push(spawn_local(async move {
                    let _place = pace.begin().await.unwrap();
                    pace.compute(|| log.borrow_mut().push(Some(index))).await.unwrap();
                }));
            }
            let calls = Rc::clone(&log);
            running.push(spawn_local(async move {
                for _ in 0..MANY {
                    calls.borrow_mut().push(None);
                    yield_now().await;
                }
            }));
            for one in running {
                one.await.unwrap();
            }
        };
        LocalSet::new().run_until(all).await;
        let log = log.borrow();
        let order: Vec<usize> = log.iter().flatten().copied().collect();
        assert!(order.iter().copied().eq(0..MANY), "{log:?}");
        let together = log.windows(2).filter(|pair| pair.iter().all(Option::is_some)).count();
        assert!(together <= 1, "a call goes between each two: {log:?}");
    }
}
