//! The listeners that run, and how they become those of another configuration.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use super::StartError;
use crate::net::{
    Beside, Listener, ListenerSpec, WorkerHandle, accept_loop, bind, leaves_ipv4, listen, overlap,
};
use crate::tasks::{Task, Tasks, lasting};
use crate::telemetry::RefusedConnections;

/// The listeners that run, in the order of the configuration.
pub struct Listeners {
    /// Where the gateway listens for others than clients, until its next start.
    own: [SocketAddr; 2],
    tasks: Arc<Tasks>,
    running: Vec<Running>,
    /// Those that are gone, but for the clients that wait there.
    leaving: Vec<(SocketAddr, Weak<TcpListener>)>,
    refused: Arc<RefusedConnections>,
    acceptors: JoinSet<()>,
}

struct Running {
    /// As the configuration has it: port 0 is any.
    configured: SocketAddr,
    bound: SocketAddr,
    ipv6_only: bool,
    /// Its acceptor has it.
    socket: Weak<TcpListener>,
    listener: Arc<Listener>,
}

/// What a configuration asks for, with every new address listened on.
pub struct Prepared {
    steps: Vec<Step>,
    /// Those that run whose place is taken by new ones.
    taken_over: Vec<usize>,
}

enum Step {
    /// One that runs has other settings, or the same.
    Keep(usize, ListenerSpec),
    Open(TcpListener, bool, ListenerSpec),
}

/// A socket that is to be, or is already.
enum Place {
    Kept(usize),
    Bound(TcpSocket),
}

impl Listeners {
    /// None yet; those to come are accepted from under the eyes of `tasks`, and what they refuse is
    /// counted in `refused`. `own` is where the gateway listens for others than clients.
    pub fn new(
        tasks: &Arc<Tasks>,
        refused: &Arc<RefusedConnections>,
        own: [SocketAddr; 2],
    ) -> Listeners {
        let (running, leaving, acceptors) = Default::default();
        let (tasks, refused) = (Arc::clone(tasks), Arc::clone(refused));
        Listeners { own, tasks, running, leaving, refused, acceptors }
    }

    /// Listens on the addresses that are new, beside those whose place they take: nobody is let
    /// down, and nothing has changed if one of them cannot be had.
    pub fn prepare(&self, specs: &[ListenerSpec]) -> Result<Prepared, StartError> {
        let mut all: Vec<_> = specs.iter().map(|spec| spec.address).collect();
        all.extend(self.own);
        let ipv6_only = |spec: &ListenerSpec| leaves_ipv4(spec.address, &all);
        let kept = self.kept(specs, ipv6_only);
        let opened = || specs.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
        let met = |bound| opened().any(|(spec, _)| overlap(spec.address, bound));
        let gone = self.running.iter().enumerate();
        let gone = gone.filter(|(index, gone)| !kept.contains(&Some(*index)) && met(gone.bound));
        let (taken_over, sockets): (Vec<_>, Vec<_>) =
            gone.map(|(index, gone)| (index, (gone.bound, Weak::clone(&gone.socket)))).unzip();
        let sockets = [sockets, self.leaving.clone()].concat();

        // No client comes to any of them before all are bound.
        let _beside = Beside::these(sockets.iter().filter_map(|(_, socket)| socket.upgrade()));
        let place = |(spec, kept): (&ListenerSpec, &Option<usize>)| match kept {
            Some(index) => Ok(Place::Kept(*index)),
            None => {
                let takes_over = sockets.iter().any(|(bound, _)| overlap(spec.address, *bound));
                bind(spec.address, ipv6_only(spec), takes_over)
                    .map(Place::Bound)
                    .map_err(|error| self.refused_address(spec.address, error))
            }
        };
        let places = specs.iter().zip(&kept).map(place).collect::<Result<Vec<_>, _>>()?;
        let step = |(spec, place): (&ListenerSpec, Place)| match place {
            Place::Kept(index) => Ok(Step::Keep(index, spec.clone())),
            Place::Bound(socket) => listen(socket)
                .map(|socket| Step::Open(socket, ipv6_only(spec), spec.clone()))
                .map_err(|error| self.refused_address(spec.address, error)),
        };
        let steps = specs.iter().zip(places).map(step).collect::<Result<_, _>>()?;
        Ok(Prepared { steps, taken_over })
    }

    /// For each of `specs`, the one that runs with its address already.
    fn kept(
        &self,
        specs: &[ListenerSpec],
        ipv6_only: impl Fn(&ListenerSpec) -> bool,
    ) -> Vec<Option<usize>> {
        let mut free: Vec<Option<&Running>> = self.running.iter().map(Some).collect();
        let find = |spec: &ListenerSpec| {
            let same = |running: &Running| {
                let address = [running.configured, running.bound].contains(&spec.address);
                address && running.ipv6_only == ipv6_only(spec)
            };
            let index = free.iter().position(|running| running.is_some_and(same))?;
            free.get_mut(index)?.take();
            Some(index)
        };
        specs.iter().map(find).collect()
    }

    /// Why `address` cannot be listened on: it may be the gateway itself that does.
    fn refused_address(&self, address: SocketAddr, source: std::io::Error) -> StartError {
        let mut held = self.own.into_iter().chain(self.addresses());
        let held = held.find(|held| overlap(*held, address));
        match held.filter(|_| !self.running.is_empty() && source.kind() == ErrorKind::AddrInUse) {
            Some(held) => StartError::Held { address, held, source },
            None => StartError::Listen { what: "clients", address, source },
        }
    }

    /// Goes over to what was prepared. Connections of listeners that are gone are asked to go.
    pub fn commit(&mut self, prepared: Prepared, workers: &[WorkerHandle]) {
        self.leaving.retain(|(_, socket)| socket.strong_count() > 0);
        let mut before: Vec<_> = self.running.drain(..).map(Some).collect();
        for step in prepared.steps {
            let running = match step {
                Step::Keep(index, spec) => {
                    let kept = before.get_mut(index).and_then(Option::take);
                    kept.map(|kept| kept.configure(spec))
                }
                Step::Open(socket, ipv6_only, spec) => {
                    Some(self.open(socket, ipv6_only, spec, workers))
                }
            };
            self.running.extend(running);
        }
        for (index, gone) in before.into_iter().enumerate() {
            let Some(gone) = gone else { continue };
            tracing::info!(address = %gone.bound, "no longer listening");
            self.leaving.push((gone.bound, gone.socket));
            match prepared.taken_over.contains(&index) {
                true => gone.listener.hand_over(),
                false => gone.listener.close(),
            }
        }
        while self.acceptors.try_join_next().is_some() {} // those that have ended since
    }

    fn open(
        &mut self,
        socket: TcpListener,
        ipv6_only: bool,
        spec: ListenerSpec,
        workers: &[WorkerHandle],
    ) -> Running {
        let configured = spec.address;
        let bound = socket.local_addr().unwrap_or(configured);
        tracing::info!(address = %bound, tls = spec.tls.is_some(), "listening");
        let listener = Listener::new(spec, self.refused.at(&bound.to_string()));
        let (socket, workers, accepting) =
            (Arc::new(socket), workers.to_vec(), Arc::clone(&listener));
        let held = Arc::downgrade(&socket);
        let accept = move || {
            let (socket, listener) = (Arc::clone(&socket), Arc::clone(&accepting));
            tokio::spawn(lasting(accept_loop(socket, listener, workers.clone())))
        };
        self.acceptors.spawn(Arc::clone(&self.tasks).keep(Task::Accept, accept));
        Running { configured, bound, ipv6_only, socket: held, listener }
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

impl Running {
    fn configure(mut self, spec: ListenerSpec) -> Running {
        self.configured = spec.address;
        self.listener.configure(spec);
        self
    }
}
