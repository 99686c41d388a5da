//! The running listeners, and their changes by a reload.

use std::io::ErrorKind;
use std::sync::{Arc, Weak};

use tokio::task::JoinSet;

use super::StartError;
use crate::clock::Clock;
use crate::model::SocketAddress;
use crate::net::{
    Bound, Listener, ListenerSpec, ListeningSocket, SharedPort, SocketFile, WorkerHandle,
    accept_loop, leaves_ipv4, overlap,
};
use crate::tasks::{Task, Tasks, infallible};
use crate::telemetry::RefusedConnections;

/// The running listeners, in the order of the configuration.
pub struct Listeners {
    /// The addresses of the cold servers, fixed until a restart.
    own: Vec<SocketAddress>,
    tasks: Arc<Tasks>,
    clock: Clock,
    running: Vec<Running>,
    /// Closed listeners whose backlog is still being accepted.
    leaving: Vec<(SocketAddress, Weak<ListeningSocket>)>,
    refused: Arc<RefusedConnections>,
    acceptors: JoinSet<()>,
}

struct Running {
    /// As configured; port 0 means any.
    configured: SocketAddress,
    bound: SocketAddress,
    ipv6_only: bool,
    /// The file of a Unix socket.
    file: Option<SocketFile>,
    /// Owned by its acceptor task.
    socket: Weak<ListeningSocket>,
    listener: Arc<Listener>,
}

/// A new configuration's listeners, with all new addresses bound; to be committed.
pub struct Prepared {
    steps: Vec<Step>,
    /// Running ones whose address is taken over by new ones.
    taken_over: Vec<usize>,
}

enum Step {
    /// Keeps a running one, possibly with other settings.
    Keep(usize, ListenerSpec),
    Open(Opened, ListenerSpec),
}

/// A new listening socket.
struct Opened {
    file: Option<SocketFile>,
    socket: ListeningSocket,
    ipv6_only: bool,
}

impl Prepared {
    /// Their addresses, of which those that are kept are `running`.
    pub fn addresses(&self, running: &Listeners) -> Vec<SocketAddress> {
        let kept = |index: &usize| running.running.get(*index).map(|kept| kept.bound.clone());
        let address = |step: &Step| match step {
            Step::Keep(index, _) => kept(index),
            Step::Open(opened, spec) => opened.socket.port().or(Some(spec.address.clone())),
        };
        self.steps.iter().filter_map(address).collect()
    }
}

/// The socket of a listener: kept or newly bound.
enum ListenerSocket {
    Kept(usize),
    Bound(Bound),
}

impl Listeners {
    /// No listeners yet. Their acceptors are supervised by `tasks`, and refused connections counted
    /// in `refused`. `own` are the addresses of the cold servers.
    pub fn new(
        tasks: &Arc<Tasks>,
        refused: &Arc<RefusedConnections>,
        own: Vec<SocketAddress>,
        clock: Clock,
    ) -> Listeners {
        let (running, leaving, acceptors) = Default::default();
        let (tasks, refused) = (Arc::clone(tasks), Arc::clone(refused));
        Listeners { own, tasks, clock, running, leaving, refused, acceptors }
    }

    /// Binds new addresses, beside the running listeners that they replace. No client is refused,
    /// and on an error nothing has changed.
    pub fn prepare(&self, specs: &[ListenerSpec]) -> Result<Prepared, StartError> {
        let mut all: Vec<_> = specs.iter().filter_map(|spec| spec.address.ip()).collect();
        all.extend(self.own.iter().filter_map(SocketAddress::ip));
        let ipv6_only = |spec: &ListenerSpec| {
            spec.address.ip().is_some_and(|address| leaves_ipv4(address, &all))
        };
        let kept = self.kept(specs, ipv6_only);
        let opened = || specs.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
        let met = |bound: &SocketAddress| opened().any(|(spec, _)| conflict(&spec.address, bound));
        let gone = self.running.iter().enumerate();
        let gone = gone.filter(|(index, gone)| !kept.contains(&Some(*index)) && met(&gone.bound));
        let (taken_over, sockets): (Vec<_>, Vec<_>) = gone
            .map(|(index, gone)| (index, (gone.bound.clone(), Weak::clone(&gone.socket))))
            .unzip();
        let sockets = [sockets, self.leaving.clone()].concat();

        // All are bound before any of them listens, so no client connects in between.
        let _shared = SharedPort::of(sockets.iter().filter_map(|(_, socket)| socket.upgrade()));
        let bind = |(spec, kept): (&ListenerSpec, &Option<usize>)| match kept {
            Some(index) => Ok(ListenerSocket::Kept(*index)),
            None => {
                let takes_over = sockets.iter().any(|(bound, _)| conflict(&spec.address, bound));
                let bound = match &spec.address {
                    SocketAddress::Ip(address) => {
                        Bound::to_port(*address, ipv6_only(spec), takes_over)
                    }
                    SocketAddress::Unix(path) => Bound::to_path(path, spec.mode),
                };
                bound
                    .map(ListenerSocket::Bound)
                    .map_err(|error| self.bind_error(&spec.address, error))
            }
        };
        let bound = specs.iter().zip(&kept).map(bind).collect::<Result<Vec<_>, _>>()?;
        let step = |(spec, socket): (&ListenerSpec, ListenerSocket)| match socket {
            ListenerSocket::Kept(index) => Ok(Step::Keep(index, spec.clone())),
            ListenerSocket::Bound(bound) => bound
                .listen()
                .map(|(file, socket)| {
                    Step::Open(Opened { file, socket, ipv6_only: ipv6_only(spec) }, spec.clone())
                })
                .map_err(|error| self.bind_error(&spec.address, error)),
        };
        let steps = specs.iter().zip(bound).map(step).collect::<Result<_, _>>()?;
        Ok(Prepared { steps, taken_over })
    }

    /// For each of `specs`, the running listener with the same address.
    fn kept(
        &self,
        specs: &[ListenerSpec],
        ipv6_only: impl Fn(&ListenerSpec) -> bool,
    ) -> Vec<Option<usize>> {
        let mut free: Vec<Option<&Running>> = self.running.iter().map(Some).collect();
        let find = |spec: &ListenerSpec| {
            let same = |running: &Running| running.is_at(&spec.address, ipv6_only(spec));
            let index = free.iter().position(|running| running.is_some_and(same))?;
            free.get_mut(index)?.take();
            Some(index)
        };
        specs.iter().map(find).collect()
    }

    /// The error for an address that cannot be bound, which may conflict with our own listener.
    fn bind_error(&self, wanted: &SocketAddress, source: std::io::Error) -> StartError {
        let address = wanted.clone();
        let mut held = self.own.iter().cloned().chain(self.addresses());
        let held = held.find(|held| conflict(held, wanted));
        match held.filter(|_| !self.running.is_empty() && source.kind() == ErrorKind::AddrInUse) {
            Some(held) => StartError::Held { address, held, source },
            None => StartError::Listen { what: "clients", address, source },
        }
    }

    /// Switches to the prepared listeners. Connections of closed listeners are told to go away.
    pub fn commit(&mut self, prepared: Prepared, workers: &[WorkerHandle]) {
        self.leaving.retain(|(_, socket)| socket.strong_count() > 0);
        let mut before: Vec<_> = self.running.drain(..).map(Some).collect();
        for step in prepared.steps {
            let running = match step {
                Step::Keep(index, spec) => {
                    let kept = before.get_mut(index).and_then(Option::take);
                    kept.map(|kept| kept.configure(spec))
                }
                Step::Open(opened, spec) => Some(self.open(opened, spec, workers)),
            };
            self.running.extend(running);
        }
        for (index, gone) in before.into_iter().enumerate() {
            let Some(gone) = gone else { continue };
            tracing::info!(address = %gone.bound, "no longer listening");
            drop(gone.file); // no new clients; the backlog is still served
            self.leaving.push((gone.bound, gone.socket));
            match prepared.taken_over.contains(&index) {
                true => gone.listener.hand_over(),
                false => gone.listener.close(),
            }
        }
        while self.acceptors.try_join_next().is_some() {} // reap those that have ended
    }

    fn open(&mut self, opened: Opened, spec: ListenerSpec, workers: &[WorkerHandle]) -> Running {
        let Opened { file, socket, ipv6_only } = opened;
        let configured = spec.address.clone();
        let bound = socket.port().unwrap_or(configured.clone());
        tracing::info!(address = %bound, tls = spec.tls.is_some(), "listening");
        let listener = Listener::new(spec, self.refused.at(&bound.to_string()));
        let (socket, workers, accepting) =
            (Arc::new(socket), workers.to_vec(), Arc::clone(&listener));
        let held = Arc::downgrade(&socket);
        let clock = self.clock;
        let accept = move || {
            let (socket, listener) = (Arc::clone(&socket), Arc::clone(&accepting));
            tokio::spawn(infallible(accept_loop(socket, listener, workers.clone(), clock)))
        };
        self.acceptors.spawn(Arc::clone(&self.tasks).supervise(Task::Accept, accept));
        Running { configured, bound, ipv6_only, file, socket: held, listener }
    }

    /// The addresses for clients.
    pub fn addresses(&self) -> Vec<SocketAddress> {
        self.running.iter().map(|running| running.bound.clone()).collect()
    }

    /// Stops accepting.
    pub async fn close(&mut self) {
        for running in &mut self.running {
            running.file = None;
            running.listener.close();
        }
        while self.acceptors.join_next().await.is_some() {}
    }
}

impl Running {
    /// Whether clients reach it at `address`.
    fn is_at(&self, address: &SocketAddress, ipv6_only: bool) -> bool {
        match address {
            SocketAddress::Ip(_) => {
                [&self.configured, &self.bound].contains(&address) && self.ipv6_only == ipv6_only
            }
            SocketAddress::Unix(path) => self.file.as_ref().is_some_and(|file| file.is_at(path)),
        }
    }

    fn configure(mut self, spec: ListenerSpec) -> Running {
        if let Some(file) = &self.file
            && spec.mode != self.listener.spec().mode
            && let Err(error) = file.admit(spec.mode)
        {
            tracing::warn!(address = %self.bound, %error, "its `mode` stays what it was");
        }
        self.configured = spec.address.clone();
        self.listener.configure(spec);
        self
    }
}

/// Whether two addresses overlap, so that a client could mean either.
fn conflict(one: &SocketAddress, other: &SocketAddress) -> bool {
    one.ip().zip(other.ip()).is_some_and(|(one, other)| overlap(one, other))
}
