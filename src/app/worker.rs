//! The threads that carry requests.

use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;

use super::StartError;
use crate::config::Plan;
use crate::net::{Acceptor, Command, Worker, WorkerHandle};
use crate::proxy::{Front, Proxy};
use crate::service::Registry;
use crate::telemetry::WorkerMetrics;
use crate::upstream::Dialer;

/// Tasks that run before sockets are asked again: a turn is one round over all that is ready, and
/// asking in its midst would only cut it into smaller writes.
const EVENT_INTERVAL: u32 = 1024;

/// How often a worker looks for changes that no request has brought to light.
const REFRESH: Duration = Duration::from_secs(1);

/// What one worker is made of.
struct Setup {
    index: usize,
    buffer: usize,
    registry: Arc<Registry>,
    metrics: Arc<WorkerMetrics>,
    dialer: Arc<Dialer>,
}

/// Starts a thread for each worker.
pub fn start(
    plan: &Plan,
    registry: &Arc<Registry>,
    metrics: &[Arc<WorkerMetrics>],
    dialer: &Arc<Dialer>,
) -> Result<(Vec<WorkerHandle>, Vec<JoinHandle<()>>), StartError> {
    let mut workers = Vec::new();
    let mut threads = Vec::new();
    for (index, metrics) in metrics.iter().enumerate() {
        let setup = Setup {
            index,
            buffer: plan.worker_buffer,
            registry: Arc::clone(registry),
            metrics: Arc::clone(metrics),
            dialer: Arc::clone(dialer),
        };
        let (handle, inbox) = WorkerHandle::new();
        let flow_pause = plan.flow_pause;
        let runtime = move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .on_thread_park(move || crate::net::pause(flow_pause))
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => run(&runtime, setup, inbox),
                Err(error) => tracing::error!(%error, "a worker has no runtime"),
            }
        };
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(runtime);
        threads.push(thread.map_err(StartError::Worker)?);
        workers.push(handle);
    }
    Ok((workers, threads))
}

fn run(runtime: &LocalRuntime, setup: Setup, mut inbox: mpsc::Receiver<Command>) {
    runtime.block_on(async move {
        let worker = Worker::new(setup.index, setup.buffer);
        let proxy = Proxy::new(&worker, &setup.registry, &setup.metrics, &setup.dialer);
        let acceptor = Acceptor::new(&worker, Rc::new(Front(Rc::clone(&proxy))));
        let housekeeping = Rc::clone(&worker);
        worker.spawn(async move { housekeeping.run().await });
        worker.spawn(refresh(proxy));
        while let Some(command) = inbox.recv().await {
            match command {
                Command::Accept(accepted) => acceptor.accept(accepted),
                Command::Drain => worker.drain(),
                Command::CutOff => worker.cut_off(),
            }
        }
    });
}

/// Has a worker without requests notice changes too, to part with what they have made needless.
async fn refresh(proxy: Rc<Proxy>) {
    let mut tick = tokio::time::interval(REFRESH);
    loop {
        tick.tick().await;
        proxy.refresh();
    }
}
