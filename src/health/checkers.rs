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

use super::board::{Checkers, Orders, Over};
use super::patient::Patient;
use super::prober::Prober;
use super::{Board, Subject};
use crate::clock::Clock;
use crate::model::stable_hash;
use crate::tasks::{Task, Tasks};
use crate::upstream::Dialer;

/// The first check comes at random within this time, so that many new targets are not checked all
/// at once.
const FIRST: Duration = Duration::from_millis(500);

/// What checkers share.
#[derive(Clone)]
struct Setting {
    board: Weak<Board>,
    dialer: Arc<Dialer>,
    tasks: Arc<Tasks>,
    seed: u64,
}

impl Board {
    /// Starts a board with its checker thread, which ends when the board is dropped.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub async fn start(
        dialer: &Arc<Dialer>,
        tasks: &Arc<Tasks>,
        clock: Clock,
        seed: u64,
    ) -> io::Result<Arc<Board>> {
        let orders = Arc::<Orders>::default();
        let (_running, over) = oneshot::channel();
        let checkers = Checkers { orders: Arc::clone(&orders), _running };
        let board = Arc::new(Board::with(Some(checkers), clock));
        let (dialer, tasks) = (Arc::clone(dialer), Arc::clone(tasks));
        let setting = Setting { board: Arc::downgrade(&board), dialer, tasks, seed };
        let runtime =
            move || Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let (started, start) = oneshot::channel();
        std::thread::Builder::new().name("health".into()).spawn(move || match runtime() {
            Ok(runtime) => {
                // if the caller is gone, so is the board, and the thread ends
                let _ = started.send(Ok(()));
                runtime.block_on(take(&orders, over, setting));
            }
            Err(error) => drop(started.send(Err(error))),
        })?;
        start.await.unwrap_or_else(|_| Err(io::Error::other("the health checks panicked")))?;
        Ok(board)
    }
}

/// Starts a checker for each new target, until the board is dropped.
async fn take(orders: &Orders, mut over: Over, setting: Setting) {
    loop {
        let orders = tokio::select! {
            biased;
            _ = &mut over => return, // the board was dropped
            orders = orders.take() => orders,
        };
        for (subject, over) in orders {
            spawn_local(check_until(over, subject, setting.clone()));
        }
    }
}

async fn check_until(over: Over, subject: Subject, setting: Setting) {
    let tasks = Arc::clone(&setting.tasks);
    let start = || spawn_local(check(subject.clone(), setting.clone()));
    tokio::select! {
        biased;
        _ = over => {}
        () = tasks.supervise(Task::Health, start) => {}
    }
}

/// Checks one target periodically.
fn check(
    subject: Subject,
    Setting { board, dialer, seed, .. }: Setting,
) -> impl Future<Output = Result<(), Infallible>> {
    let mut rng = fastrand::Rng::with_seed(seed ^ stable_hash(subject.address.as_bytes(), 0));
    let every = subject.check.interval;
    let patient = Rc::new(Patient::new(subject, &board));
    let mut prober = Prober::new(&patient, &dialer);
    async move {
        sleep(FIRST.min(every).mul_f64(rng.f64())).await;
        // The interval is jittered, so that checks of different targets spread out.
        let mut beat = interval(every.mul_f64(0.95 + 0.1 * rng.f64()));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            patient.checked(&prober.ask().await);
        }
    }
}
