//! The listeners that run, and how they become those of another configuration.

use std::io::ErrorKind;
use std::sync::{Arc, Weak};

use tokio::task::JoinSet;

use super::StartError;
use crate::clock::Clock;
use crate::model::Place;
use crate::net::{
    Beside, Bound, Listener, ListenerSpec, ListeningSocket, SocketFile, WorkerHandle, accept_loop,
    leaves_ipv4, overlap,
};
use crate::tasks::{Task, Tasks, lasting};
use crate::telemetry::RefusedConnections;

/// The listeners that run, in the order of the configuration.
pub struct Listeners {
    /// Where the gateway listens for others than clients, until its next start.
    own: [Place; 2],
    tasks: Arc<Tasks>,
    clock: Clock,
    running: Vec<Running>,
    /// Those that are gone, but for the clients that wait there.
    leaving: Vec<(Place, Weak<ListeningSocket>)>,
    refused: Arc<RefusedConnections>,
    acceptors: JoinSet<()>,
}

struct Running {
    /// As the configuration has it: port 0 is any.
    configured: Place,
    bound: Place,
    ipv6_only: bool,
    /// Of a Unix socket.
    file: Option<SocketFile>,
    /// Its acceptor has it.
    socket: Weak<ListeningSocket>,
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
    Open(Opened, ListenerSpec),
}

/// A new socket that is listened on.
struct Opened {
    file: Option<SocketFile>,
    socket: ListeningSocket,
    ipv6_only: bool,
}

/// A socket that is to be, or is already.
enum Socket {
    Kept(usize),
    Bound(Bound),
}

impl Listeners {
    /// None yet; those to come are accepted from under the eyes of `tasks`, and what they refuse is
    /// counted in `refused`. `own` is where the gateway listens for others than clients.
    pub fn new(
        tasks: &Arc<Tasks>,
        refused: &Arc<RefusedConnections>,
        own: [Place; 2],
        clock: Clock,
    ) -> Listeners {
        let (running, leaving, acceptors) = Default::default();
        let (tasks, refused) = (Arc::clone(tasks), Arc::clone(refused));
        Listeners { own, tasks, clock, running, leaving, refused, acceptors }
    }

    /// Listens on the addresses that are new, beside those whose place they take: nobody is let
    /// down, and nothing has changed if one of them cannot be had.
    pub fn prepare(&self, specs: &[ListenerSpec]) -> Result<Prepared, StartError> {
        let mut all: Vec<_> = specs.iter().filter_map(|spec| spec.address.ip()).collect();
        all.extend(self.own.iter().filter_map(Place::ip));
        let ipv6_only = |spec: &ListenerSpec| {
            spec.address.ip().is_some_and(|address| leaves_ipv4(address, &all))
        };
        let kept = self.kept(specs, ipv6_only);
        let opened = || specs.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
        let met = |bound: &Place| opened().any(|(spec, _)| meet(&spec.address, bound));
        let gone = self.running.iter().enumerate();
        let gone = gone.filter(|(index, gone)| !kept.contains(&Some(*index)) && met(&gone.bound));
        let (taken_over, sockets): (Vec<_>, Vec<_>) = gone
            .map(|(index, gone)| (index, (gone.bound.clone(), Weak::clone(&gone.socket))))
            .unzip();
        let sockets = [sockets, self.leaving.clone()].concat();

        // No client comes to any of them before all are bound.
        let _beside = Beside::these(sockets.iter().filter_map(|(_, socket)| socket.upgrade()));
        let bind = |(spec, kept): (&ListenerSpec, &Option<usize>)| match kept {
            Some(index) => Ok(Socket::Kept(*index)),
            None => {
                let takes_over = sockets.iter().any(|(bound, _)| meet(&spec.address, bound));
                let bound = match &spec.address {
                    Place::Ip(address) => Bound::to_port(*address, ipv6_only(spec), takes_over),
                    Place::Unix(path) => Bound::to_path(path, spec.mode),
                };
                bound.map(Socket::Bound).map_err(|error| self.refused_place(&spec.address, error))
            }
        };
        let bound = specs.iter().zip(&kept).map(bind).collect::<Result<Vec<_>, _>>()?;
        let step = |(spec, socket): (&ListenerSpec, Socket)| match socket {
            Socket::Kept(index) => Ok(Step::Keep(index, spec.clone())),
            Socket::Bound(bound) => bound
                .listen()
                .map(|(file, socket)| {
                    Step::Open(Opened { file, socket, ipv6_only: ipv6_only(spec) }, spec.clone())
                })
                .map_err(|error| self.refused_place(&spec.address, error)),
        };
        let steps = specs.iter().zip(bound).map(step).collect::<Result<_, _>>()?;
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
            let same = |running: &Running| running.is_at(&spec.address, ipv6_only(spec));
            let index = free.iter().position(|running| running.is_some_and(same))?;
            free.get_mut(index)?.take();
            Some(index)
        };
        specs.iter().map(find).collect()
    }

    /// Why a place cannot be listened on: it may be the gateway itself that does.
    fn refused_place(&self, place: &Place, source: std::io::Error) -> StartError {
        let address = place.clone();
        let mut held = self.own.iter().cloned().chain(self.places());
        let held = held.find(|held| meet(held, place));
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
                Step::Open(opened, spec) => Some(self.open(opened, spec, workers)),
            };
            self.running.extend(running);
        }
        for (index, gone) in before.into_iter().enumerate() {
            let Some(gone) = gone else { continue };
            tracing::info!(address = %gone.bound, "no longer listening");
            drop(gone.file); // then nobody comes any more but those who wait
            self.leaving.push((gone.bound, gone.socket));
            match prepared.taken_over.contains(&index) {
                true => gone.listener.hand_over(),
                false => gone.listener.close(),
            }
        }
        while self.acceptors.try_join_next().is_some() {} // those that have ended since
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
            tokio::spawn(lasting(accept_loop(socket, listener, workers.clone(), clock)))
        };
        self.acceptors.spawn(Arc::clone(&self.tasks).keep(Task::Accept, accept));
        Running { configured, bound, ipv6_only, file, socket: held, listener }
    }

    /// Where clients connect.
    pub fn places(&self) -> Vec<Place> {
        self.running.iter().map(|running| running.bound.clone()).collect()
    }

    /// Takes no new connections any more.
    pub async fn close(&mut self) {
        for running in &mut self.running {
            running.file = None;
            running.listener.close();
        }
        while self.acceptors.join_next().await.is_some() {}
    }
}

impl Running {
    /// Whether it is at `place`, where its clients find it.
    fn is_at(&self, place: &Place, ipv6_only: bool) -> bool {
        match place {
            Place::Ip(_) => {
                [&self.configured, &self.bound].contains(&place) && self.ipv6_only == ipv6_only
            }
            Place::Unix(path) => self.file.as_ref().is_some_and(|file| file.is_at(path)),
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

/// Whether some client could mean either.
fn meet(one: &Place, other: &Place) -> bool {
    one.ip().zip(other.ip()).is_some_and(|(one, other)| overlap(one, other))
}
