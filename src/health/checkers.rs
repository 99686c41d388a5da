//! The checker thread: one per process, which serves no requests.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::monitor::{CheckQueue, CheckerThread, Stopped};
use super::prober::Prober;
use super::target::Target;
use super::{CheckTarget, HealthMonitor};
use crate::clock::Clock;
use crate::model::{Time, stable_hash};
use crate::tasks::{Task, Tasks};
use crate::upstream::Dialer;

/// The first check is made at a random time within this, so that many new targets are not checked all
/// at once.
const INITIAL_JITTER: Duration = Duration::from_millis(500);

/// Timer coalescing: checks begin at multiples of this, so that one wake-up of the thread begins
/// many of them.
const GRAIN: Duration = Duration::from_millis(20);

/// State shared by all checkers.
#[derive(Clone)]
struct Context {
    monitor: Weak<HealthMonitor>,
    dialer: Arc<Dialer>,
    tasks: Arc<Tasks>,
    clock: Clock,
    seed: u64,
}

impl HealthMonitor {
    /// Starts a monitor with its checker thread, which ends when the monitor is dropped.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub async fn start(
        dialer: &Arc<Dialer>,
        tasks: &Arc<Tasks>,
        clock: Clock,
        seed: u64,
    ) -> io::Result<Arc<HealthMonitor>> {
        let queue = Arc::<CheckQueue>::default();
        let (_running, stopped) = oneshot::channel();
        let checkers = CheckerThread { queue: Arc::clone(&queue), _running };
        let monitor = Arc::new(HealthMonitor::with(Some(checkers), clock));
        let (dialer, tasks) = (Arc::clone(dialer), Arc::clone(tasks));
        let cx = Context { monitor: Arc::downgrade(&monitor), dialer, tasks, clock, seed };
        let runtime =
            move || Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let (started, start) = oneshot::channel();
        std::thread::Builder::new().name("health".into()).spawn(move || match runtime() {
            Ok(runtime) => {
                // if the caller is gone, so is the monitor, and the thread ends
                let _ = started.send(Ok(()));
                runtime.block_on(take(&queue, stopped, cx));
            }
            Err(error) => drop(started.send(Err(error))),
        })?;
        start.await.unwrap_or_else(|_| Err(io::Error::other("the health checks panicked")))?;
        Ok(monitor)
    }
}

/// Starts a checker for each new target, until the monitor is dropped.
async fn take(queue: &CheckQueue, mut stopped: Stopped, cx: Context) {
    loop {
        let queue = tokio::select! {
            biased;
            _ = &mut stopped => return, // the monitor was dropped
            queue = queue.take() => queue,
        };
        for (target, stopped) in queue {
            spawn_local(check_until(stopped, target, cx.clone()));
        }
    }
}

async fn check_until(stopped: Stopped, target: CheckTarget, cx: Context) {
    let tasks = Arc::clone(&cx.tasks);
    let start = || spawn_local(check(target.clone(), cx.clone()));
    tokio::select! {
        biased;
        _ = stopped => {}
        () = tasks.supervise(Task::Health, start) => {}
    }
}

/// Checks one target periodically.
fn check(
    target: CheckTarget,
    Context { monitor, dialer, clock, seed, .. }: Context,
) -> impl Future<Output = Result<(), Infallible>> {
    let mut rng = fastrand::Rng::with_seed(seed ^ stable_hash(target.address.as_bytes(), 0));
    let every = target.check.interval;
    let target = Rc::new(Target::new(target, &monitor));
    let mut prober = Prober::new(&target, &dialer);
    async move {
        let grain = GRAIN.min(every / 10);
        let first = clock.now() + INITIAL_JITTER.min(every).mul_f64(rng.f64());
        sleep(coarse(first, grain).since(clock.now())).await;
        // The interval is jittered, so that checks of different targets spread out.
        let period = Time::ZERO + every.mul_f64(0.95 + 0.1 * rng.f64());
        let mut ticks = interval(coarse(period, grain).since(Time::ZERO));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            target.record_check(&prober.ask().await);
        }
    }
}

/// `time`, rounded up to a multiple of `grain`.
fn coarse(time: Time, grain: Duration) -> Time {
    let grain = u64::try_from(grain.as_nanos()).unwrap_or(u64::MAX).max(1);
    Time::from_nanos(time.as_nanos().div_ceil(grain).saturating_mul(grain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_begin_at_multiples_of_the_grain() {
        let coarse = |millis| coarse(Time::from_millis(millis), GRAIN);
        let cases = [(0, 0), (1, 20), (20, 20), (21, 40), (1007, 1020)];
        for (time, multiple) in cases {
            assert_eq!(coarse(time), Time::from_millis(multiple), "{time}");
        }
    }
}
