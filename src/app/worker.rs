//! Worker threads.

use std::convert::Infallible;
use std::io::Error;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, oneshot, watch};

use super::StartError;
use crate::clock::Clock;
use crate::config::Plan;
use crate::net::{Acceptor, Command, Sockets, Worker, WorkerHandle, WorkerSpec};
use crate::proxy::{Front, Proxy};
use crate::service::{Environment, Registry};
use crate::tasks::{Task, Tasks};
use crate::telemetry::{Readiness, WorkerMetrics};
use crate::upstream::Dialer;

/// Tasks polled between polls of sockets. A turn is one round over all that is ready; polling
/// sockets within it would only split it into smaller writes.
const EVENT_INTERVAL: u32 = 1024;

/// Everything that a worker is built from.
struct Setup {
    index: usize,
    buffer: usize,
    registry: Arc<Registry>,
    metrics: Arc<WorkerMetrics>,
    dialer: Arc<Dialer>,
    tasks: Arc<Tasks>,
    clock: Clock,
}

/// The threads of all workers.
pub struct Workers {
    /// The handles to send them commands.
    pub workers: Vec<WorkerHandle>,
    pub threads: Vec<JoinHandle<()>>,
    /// Closed when the last worker has ended.
    pub lost: mpsc::Receiver<Infallible>,
}

/// Starts a thread for each worker, and waits until all have started.
pub async fn start(
    plan: &Plan,
    registry: &Arc<Registry>,
    metrics: &[Arc<WorkerMetrics>],
    dialer: &Arc<Dialer>,
    (environment, readiness): (&Environment, &watch::Sender<Readiness>),
) -> Result<Workers, StartError> {
    let Environment { tasks, clock, .. } = environment;
    let (mut workers, mut threads, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    let (alive, lost) = mpsc::channel(1);
    for (index, metrics) in metrics.iter().enumerate() {
        let setup = Setup {
            index,
            buffer: plan.worker_buffer,
            registry: Arc::clone(registry),
            metrics: Arc::clone(metrics),
            dialer: Arc::clone(dialer),
            tasks: Arc::clone(tasks),
            clock: *clock,
        };
        let (tasks, readiness) = (Arc::clone(tasks), readiness.clone());
        let loss = LossGuard { tasks, readiness, told: false, _alive: alive.clone() };
        let (handle, inbox) = WorkerHandle::new();
        let (started, start) = oneshot::channel();
        let flow_pause = plan.flow_pause;
        let runtime = move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .on_thread_park(move || crate::net::pause(flow_pause))
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => {
                    let _ = started.send(Ok(())); // no receiver: the worker will be stopped
                    run(&runtime, setup, inbox);
                    loss.none();
                    runtime.shutdown_background(); // does not wait for blocking tasks
                }
                Err(error) => {
                    loss.none();
                    let _ = started.send(Err(error)); // as above
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(runtime);
        threads.push(thread.map_err(StartError::Worker)?);
        workers.push(handle);
        starts.push(start);
    }
    for start in starts {
        let started = start.await.unwrap_or_else(|_| Err(Error::other("a worker panicked")));
        started.map_err(StartError::Worker)?;
    }
    Ok(Workers { workers, threads, lost })
}

fn run(runtime: &LocalRuntime, setup: Setup, inbox: mpsc::Receiver<Command>) {
    let Setup { index, buffer: held_limit, clock, .. } = setup;
    runtime.block_on(async move {
        let spec = WorkerSpec {
            index,
            held_limit,
            clock,
            rng: fastrand::Rng::new(),
            connector: Rc::new(Sockets),
        };
        let Setup { registry, metrics, dialer, tasks, .. } = setup;
        DataPath::new(spec, &registry, &metrics, &dialer).run(&tasks, inbox).await;
    });
}

/// The data path of one worker; not `Send`.
pub struct DataPath {
    worker: Rc<Worker>,
    proxy: Rc<Proxy>,
    acceptor: Acceptor,
}

impl DataPath {
    /// A worker that proxies requests to the services of `registry`.
    pub fn new(
        spec: WorkerSpec,
        registry: &Arc<Registry>,
        metrics: &Arc<WorkerMetrics>,
        dialer: &Arc<Dialer>,
    ) -> DataPath {
        let worker = Worker::new(spec);
        let proxy = Proxy::new(&worker, registry, metrics, dialer);
        let acceptor = Acceptor::new(&worker, Rc::new(Front(Rc::clone(&proxy))));
        DataPath { worker, proxy, acceptor }
    }

    /// The state shared by its connections.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// Handles commands until the channel closes.
    pub async fn run(self, tasks: &Arc<Tasks>, mut inbox: mpsc::Receiver<Command>) {
        let DataPath { worker, proxy, acceptor } = self;
        worker.run(tasks);
        worker.supervise(tasks, Task::Refresh, move || refresh(Rc::clone(&proxy)));
        let worker = StopOnDrop(worker);
        while let Some(command) = inbox.recv().await {
            match command {
                Command::Accept(accepted) => acceptor.accept(accepted),
                Command::Leave(listener) => worker.leave(&listener),
                Command::Drain => worker.drain(),
                Command::CutOff => worker.cut_off(),
            }
        }
    }
}

/// RAII guard that stops the worker however its owner ends.
struct StopOnDrop(Rc<Worker>);

impl Deref for StopOnDrop {
    type Target = Worker;

    fn deref(&self) -> &Worker {
        &self.0
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Applies every change of the routing, even on a worker without requests: it has to close outdated
/// connections, and may have to reconnect on behalf of others.
async fn refresh(proxy: Rc<Proxy>) {
    let mut changes = proxy.changes();
    loop {
        proxy.refresh();
        if changes.changed().await.is_err() {
            std::future::pending().await // no change comes any more
        }
    }
}

/// RAII guard that reports the unexpected end of a worker thread, which takes its connections
/// along: readiness turns off so that the gateway gets replaced, while other workers serve on.
struct LossGuard {
    tasks: Arc<Tasks>,
    readiness: watch::Sender<Readiness>,
    told: bool,
    /// Held by every worker: the channel is open while any of them runs.
    _alive: mpsc::Sender<Infallible>,
}

impl LossGuard {
    /// Defuses it: the worker ended as requested.
    fn none(mut self) {
        self.told = true;
    }
}

impl Drop for LossGuard {
    fn drop(&mut self) {
        if !self.told {
            self.tasks.ended(Task::Worker);
            self.readiness.send_if_modified(|now| {
                let serves = *now != Readiness::Draining;
                if serves {
                    *now = Readiness::Crippled;
                }
                serves
            });
            tracing::error!("a worker has ended: not ready any more, the others go on");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::error::TryRecvError;

    use super::*;

    fn lose(before: Readiness, end: impl FnOnce(LossGuard) + Send + 'static) -> (u64, Readiness) {
        let (tasks, readiness) = (Arc::<Tasks>::default(), watch::Sender::new(before));
        let (alive, mut lost) = mpsc::channel(1);
        let loss = |readiness: &watch::Sender<_>| LossGuard {
            tasks: Arc::clone(&tasks),
            readiness: readiness.clone(),
            told: false,
            _alive: alive.clone(),
        };
        let (one, other) = (loss(&readiness), loss(&watch::Sender::new(before)));
        drop(alive);
        let _ = std::thread::spawn(move || end(one)).join();
        assert_eq!(lost.try_recv(), Err(TryRecvError::Empty), "one is left");
        other.none();
        assert_eq!(lost.try_recv(), Err(TryRecvError::Disconnected));
        (tasks.count(Task::Worker), *readiness.borrow())
    }

    #[test]
    fn a_worker_that_panics_takes_readiness_away() {
        let panicking = |before| lose(before, |_loss| panic!("as if"));
        assert_eq!(panicking(Readiness::Ready), (1, Readiness::Crippled));
        assert_eq!(panicking(Readiness::Starting), (1, Readiness::Crippled));
        assert_eq!(panicking(Readiness::Draining), (1, Readiness::Draining));
    }

    #[test]
    fn a_worker_that_stops_as_requested_keeps_readiness() {
        assert_eq!(lose(Readiness::Ready, LossGuard::none), (0, Readiness::Ready));
    }
}
