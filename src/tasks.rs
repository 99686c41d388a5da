//! Supervision of background tasks that live as long as the gateway.
//!
//! A task that panics or ends unexpectedly is logged, counted and restarted: at once, then with
//! exponential backoff. Its state is kept outside of it and survives.

use std::convert::Infallible;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// The backoff after the second end in a row; doubles with each.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);

/// The maximum backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// A task that ran this long resets the backoff.
const BACKOFF_RESET: Duration = Duration::from_secs(60);

/// The kind of a supervised task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The thread of a worker. The only kind that is not restarted: its connections are gone.
    Worker,
    /// Flushing the output of a worker's turn.
    Flush,
    /// Scheduling read turns of a worker's busy connections.
    Turns,
    /// Firing a worker's timers.
    Timers,
    /// Polling a worker's requests that time out, or that were woken by something other than their
    /// connections.
    Requests,
    /// Applying new snapshots on an idle worker.
    Refresh,
    /// Accepting a listener's connections.
    Accept,
    /// Applying changes to a service: its single writer.
    Service,
    /// The control API.
    Control,
    /// Metrics and health.
    Metrics,
    /// The daily check of certificates' expiry.
    Certificates,
    /// Resolving host names.
    Resolver,
    /// Health checks of one backend.
    Health,
    /// Following one service in a registry.
    Discovery,
    /// Keeping what operators change, and ending what holds for a time.
    Overrides,
    /// Writing the audit.
    Audit,
}

impl Task {
    /// All of them.
    pub const ALL: [Task; 16] = [
        Task::Worker,
        Task::Flush,
        Task::Turns,
        Task::Timers,
        Task::Requests,
        Task::Refresh,
        Task::Accept,
        Task::Service,
        Task::Control,
        Task::Metrics,
        Task::Certificates,
        Task::Resolver,
        Task::Health,
        Task::Discovery,
        Task::Overrides,
        Task::Audit,
    ];

    /// The name in metrics and the log.
    pub const fn name(self) -> &'static str {
        match self {
            Task::Worker => "worker",
            Task::Flush => "flush",
            Task::Turns => "turns",
            Task::Timers => "timers",
            Task::Requests => "requests",
            Task::Refresh => "refresh",
            Task::Accept => "accept",
            Task::Service => "service",
            Task::Control => "control",
            Task::Metrics => "metrics",
            Task::Certificates => "certificates",
            Task::Resolver => "resolver",
            Task::Health => "health",
            Task::Discovery => "discovery",
            Task::Overrides => "overrides",
            Task::Audit => "audit",
        }
    }
}

/// The supervisor: counts unexpected ends by kind of task.
#[derive(Debug, Default)]
pub struct Tasks {
    ended: [AtomicU64; Task::ALL.len()],
}

impl Tasks {
    /// Counts an unexpected end.
    pub fn ended(&self, task: Task) {
        if let Some(count) = self.ended.get(task as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Unexpected ends of this kind of task.
    pub fn count(&self, task: Task) -> u64 {
        self.ended.get(task as usize).map_or(0, |count| count.load(Relaxed))
    }

    /// Supervises a task: spawns it and restarts it until it returns `Ok`. Dropping the future
    /// aborts the task.
    pub async fn supervise<E: Display>(
        self: Arc<Self>,
        task: Task,
        mut spawn: impl FnMut() -> JoinHandle<Result<(), E>>,
    ) {
        let mut backoff = Duration::ZERO;
        loop {
            let begun = Instant::now();
            let mut running = AbortOnDrop(spawn());
            match (&mut running.0).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => self.note(task, &error),
                Err(ended) if ended.is_panic() => self.note(task, &"a panic, which the log has"),
                Err(_) => return, // its runtime has shut down
            }
            if begun.elapsed() >= BACKOFF_RESET {
                backoff = Duration::ZERO;
            }
            sleep(backoff).await;
            backoff = (backoff * 2).clamp(INITIAL_BACKOFF, MAX_BACKOFF);
        }
    }

    fn note(&self, task: Task, why: &dyn Display) {
        self.ended(task);
        tracing::error!(task = task.name(), %why, "a task has ended and is started again");
    }
}

/// Adapts a task that cannot fail to what [`Tasks::supervise`] supervises.
pub async fn infallible(task: impl Future<Output = ()>) -> Result<(), Infallible> {
    task.await;
    Ok(())
}

/// RAII guard that runs a closure if its owner panics, to release whatever would otherwise wait for
/// the owner for ever.
pub struct OnPanic<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A second panic while unwinding would abort the process.
            let _ = catch_unwind(AssertUnwindSafe(&mut self.0));
        }
    }
}

/// Aborts the task on drop.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn names_are_in_their_places() {
        for (index, task) in Task::ALL.into_iter().enumerate() {
            assert_eq!(task as usize, index, "{}", task.name());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panicking_task_is_restarted_and_counted() {
        let tasks = Arc::new(Tasks::default());
        let mut life = 0;
        let begun = Instant::now();
        let kept = Arc::clone(&tasks).supervise(Task::Service, || {
            life += 1;
            let life = life;
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                match life {
                    1..=3 => panic!("life {life} is over"),
                    4 => Err("no more descriptors"),
                    _ => Ok(()),
                }
            })
        });
        kept.await;
        assert_eq!(life, 5);
        assert_eq!(tasks.count(Task::Service), 4);
        assert_eq!(tasks.count(Task::Control), 0);
        // At once, then 100 ms, 200 ms and 400 ms.
        assert_eq!(begun.elapsed(), Duration::from_millis(700));
    }

    #[tokio::test(start_paused = true)]
    async fn backoff_is_bounded_and_reset_after_a_long_run() {
        let tasks = Arc::new(Tasks::default());
        let lives = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&lives);
        let kept = Arc::clone(&tasks).supervise(Task::Accept, move || {
            let life = count.fetch_add(1, Relaxed);
            tokio::spawn(async move {
                if life == 20 {
                    sleep(BACKOFF_RESET).await;
                }
                Err::<(), _>("over")
            })
        });
        let kept = tokio::spawn(kept);
        // 0, 0.1, 0.2 … 6.4 s, then 10 s each.
        sleep(Duration::from_secs_f64(12.7 + 12.0 * 10.0) + Duration::from_millis(50)).await;
        let before = lives.load(Relaxed);
        assert_eq!(before, 21);
        sleep(BACKOFF_RESET + Duration::from_millis(150)).await;
        assert_eq!(lives.load(Relaxed), 23, "at once, and after 100 ms");
        kept.abort();
    }

    #[tokio::test]
    async fn the_panic_guard_runs_on_panics_only() {
        let cleaned = Arc::new(AtomicUsize::new(0));
        let task = |panics: bool| {
            let cleaned = Arc::clone(&cleaned);
            async move {
                let _guard = OnPanic(|| {
                    cleaned.fetch_add(1, Relaxed);
                    panic!("this goes wrong too, and goes no further");
                });
                tokio::task::yield_now().await;
                assert!(!panics, "as if");
            }
        };
        tokio::spawn(task(false)).await.unwrap();
        let aborted = tokio::spawn(task(false));
        aborted.abort();
        aborted.await.unwrap_err();
        assert_eq!(cleaned.load(Relaxed), 0);
        assert!(tokio::spawn(task(true)).await.unwrap_err().is_panic());
        assert_eq!(cleaned.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn dropping_the_supervisor_aborts_the_task() {
        let (held, gone) = tokio::sync::oneshot::channel::<()>();
        let mut held = Some(held);
        let kept = Arc::new(Tasks::default()).supervise(Task::Metrics, move || {
            let held = held.take();
            tokio::spawn(async move {
                let _held = held;
                std::future::pending::<Result<(), Infallible>>().await
            })
        });
        let kept = tokio::spawn(kept);
        tokio::task::yield_now().await;
        kept.abort();
        gone.await.unwrap_err();
    }
}
