//! Bounded thread pool for building pickers and snapshots off the control thread.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Concurrent builds; the other cores are left to requests.
const MAX_BUILDS: usize = 2;

/// Bounded thread pool for building pickers and snapshots.
#[derive(Clone, Debug)]
pub struct BuildPool {
    /// Permits for blocking threads; `None` runs builds on the calling thread.
    permits: Option<Arc<Semaphore>>,
}

/// Builds on blocking threads.
impl Default for BuildPool {
    fn default() -> BuildPool {
        BuildPool { permits: Some(Arc::new(Semaphore::new(MAX_BUILDS))) }
    }
}

impl BuildPool {
    /// Builds on the calling thread, for a deterministic order in a single-threaded simulation.
    pub fn in_place() -> BuildPool {
        BuildPool { permits: None }
    }

    /// Runs `build` on the pool; its panic is resumed in the caller.
    pub async fn run<T: Send + 'static>(&self, build: impl FnOnce() -> T + Send + 'static) -> T {
        let Some(permits) = &self.permits else { return build() };
        let permit = Arc::clone(permits).acquire_owned().await;
        let built = spawn_blocking(move || {
            let _permit = permit;
            build()
        });
        match built.await {
            Ok(built) => built,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => std::future::pending().await, // the runtime is shutting down
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn the_thread_that_asks_goes_on_meanwhile_and_few_build_at_a_time() {
        let build_pool = BuildPool::default();
        let here = thread::current().id();
        let mut ends = Vec::new();
        let (begun, begin) = mpsc::channel();
        for _ in 0..MAX_BUILDS + 1 {
            let (end, ended) = mpsc::channel::<()>();
            let (build_pool, begun) = (build_pool.clone(), begun.clone());
            let built = tokio::spawn(async move {
                let build = move || {
                    begun.send(thread::current().id()).unwrap();
                    ended.recv().unwrap();
                };
                build_pool.run(build).await;
            });
            ends.push((end, built));
        }
        // The runtime has this one thread: that it runs shows that no build blocks it.
        let mut others = Vec::new();
        while others.len() < MAX_BUILDS {
            tokio::task::yield_now().await;
            others.extend(begin.try_recv());
        }
        assert!(others.iter().all(|thread| *thread != here));
        assert!(begin.try_recv().is_err(), "a third one waits");
        for (end, built) in ends {
            end.send(()).unwrap();
            built.await.unwrap();
        }
        assert!(begin.try_recv().is_ok());
    }

    #[tokio::test]
    async fn in_place_is_here() {
        let here = thread::current().id();
        assert_eq!(BuildPool::in_place().run(|| thread::current().id()).await, here);
    }

    #[tokio::test]
    async fn a_panic_is_resumed_in_the_caller() {
        let asks = tokio::spawn(async { BuildPool::default().run(|| panic!("as if")).await });
        assert!(asks.await.unwrap_err().is_panic());
    }
}
