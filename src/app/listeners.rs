//! The listeners that run, and how they become those of another configuration.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{StartError, bind};
use crate::net::{Listener, ListenerSpec, WorkerHandle, accept_loop};
use crate::tasks::{Task, Tasks, lasting};
use crate::telemetry::RefusedConnections;

/// The listeners that run, in the order of the configuration.
pub struct Listeners {
    tasks: Arc<Tasks>,
    running: Vec<Running>,
    refused: Arc<RefusedConnections>,
    acceptors: JoinSet<()>,
}

struct Running {
    /// As the configuration has it: port 0 is any.
    configured: SocketAddr,
    bound: SocketAddr,
    listener: Arc<Listener>,
}

/// What a configuration asks for, with every new address bound.
pub struct Prepared(Vec<Step>);

enum Step {
    /// One that runs has other settings, or the same.
    Keep(usize, ListenerSpec),
    Open(TcpListener, ListenerSpec),
}

impl Listeners {
    /// None yet; those to come are accepted from under the eyes of `tasks`, and what they refuse is
    /// counted in `refused`.
    pub fn new(tasks: &Arc<Tasks>, refused: &Arc<RefusedConnections>) -> Listeners {
        let (running, acceptors) = Default::default();
        let (tasks, refused) = (Arc::clone(tasks), Arc::clone(refused));
        Listeners { tasks, running, refused, acceptors }
    }

    /// Binds the addresses that are new. Nothing has changed yet.
    pub fn prepare(&self, specs: &[ListenerSpec]) -> Result<Prepared, StartError> {
        let mut free: Vec<bool> = vec![true; self.running.len()];
        let step = |spec: &ListenerSpec| {
            let same = |(index, running): &(usize, &Running)| {
                running.configured == spec.address && free.get(*index) == Some(&true)
            };
            let kept = self.running.iter().enumerate().find(same).map(|(index, _)| index);
            if let Some(kept) = kept {
                if let Some(free) = free.get_mut(kept) {
                    *free = false;
                }
                return Ok(Step::Keep(kept, spec.clone()));
            }
            Ok(Step::Open(bind("clients", spec.address)?, spec.clone()))
        };
        specs.iter().map(step).collect::<Result<_, _>>().map(Prepared)
    }

    /// Goes over to what was prepared. Connections of listeners that are gone are asked to go.
    pub fn commit(&mut self, prepared: Prepared, workers: &[WorkerHandle]) {
        let mut before: Vec<_> = self.running.drain(..).map(Some).collect();
        for step in prepared.0 {
            let running = match step {
                Step::Keep(index, spec) => {
                    let kept = before.get_mut(index).and_then(Option::take);
                    kept.inspect(|running| running.listener.configure(spec))
                }
                Step::Open(socket, spec) => Some(self.open(socket, spec, workers)),
            };
            self.running.extend(running);
        }
        for gone in before.into_iter().flatten() {
            tracing::info!(address = %gone.bound, "no longer listening");
            gone.listener.close();
        }
        while self.acceptors.try_join_next().is_some() {} // those that have ended since
    }

    fn open(
        &mut self,
        socket: TcpListener,
        spec: ListenerSpec,
        workers: &[WorkerHandle],
    ) -> Running {
        let configured = spec.address;
        let bound = socket.local_addr().unwrap_or(configured);
        tracing::info!(address = %bound, tls = spec.tls.is_some(), "listening");
        let listener = Listener::new(spec, self.refused.at(&bound.to_string()));
        let (socket, workers, accepting) =
            (Arc::new(socket), workers.to_vec(), Arc::clone(&listener));
        let accept = move || {
            let (socket, listener) = (Arc::clone(&socket), Arc::clone(&accepting));
            tokio::spawn(lasting(accept_loop(socket, listener, workers.clone())))
        };
        self.acceptors.spawn(Arc::clone(&self.tasks).keep(Task::Accept, accept));
        Running { configured, bound, listener }
    }

    /// Where clients connect.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.running.iter().map(|running| running.bound).collect()
    }

    /// Takes no new connections any more.
    pub async fn close(&mut self) {
        for running in &self.running {
            running.listener.close();
        }
        while self.acceptors.join_next().await.is_some() {}
    }
}
