//! The sockets of the cold servers.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;

use super::StartError;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::config::{ControlPlaces, ControlPlan, ControlSocket, Plan};
use crate::control::{Door, DoorSettings, Users, usual_socket};
use crate::model::SocketAddress;
use crate::net::{Bound, ListeningSocket, SocketFile, leaves_ipv4};
use crate::telemetry::Entrance;

/// The control API can redirect all traffic, so by default only the owner has access.
const CONTROL_MODE: u32 = 0o600;

/// The sockets of the cold servers.
pub struct Sockets {
    /// Over TCP, if it is, then the Unix socket, if there is one.
    pub control: Vec<Opened>,
    /// Who may come by the Unix socket.
    users: Users,
    pub metrics: Opened,
    /// Kept until the end, to be removed on drop.
    pub files: Vec<SocketFile>,
}

/// Who is let in to the cold servers; it is reloaded.
#[derive(Clone)]
pub struct Entrances {
    /// To the control API.
    pub door: Arc<Door>,
    pub metrics: Arc<Entrance>,
}

/// An open socket, with its configured address.
pub struct Opened {
    socket: Arc<ListeningSocket>,
    configured: SocketAddress,
}

impl Opened {
    /// The socket.
    pub fn socket(&self) -> Arc<ListeningSocket> {
        Arc::clone(&self.socket)
    }

    /// Its actual address.
    pub fn address(&self) -> SocketAddress {
        self.socket.port().unwrap_or_else(|| self.configured.clone())
    }
}

impl Sockets {
    /// Binds the addresses of `plan`.
    pub fn bind(plan: &Plan) -> Result<Sockets, StartError> {
        let (places, metrics) = (&plan.control.places, &plan.metrics);
        let clients = plan.listeners.iter().map(|listener| &listener.address);
        let all = clients.chain([&metrics.address]).filter_map(SocketAddress::ip);
        let all: Vec<_> = all.chain(places.address).collect();
        let mut files = Vec::new();
        let mut open = |what, address: SocketAddress, mode| {
            let bound = match &address {
                SocketAddress::Ip(address) => {
                    Bound::to_port(*address, leaves_ipv4(*address, &all), false)
                }
                SocketAddress::Unix(path) => Bound::to_path(path, mode),
            };
            match bound.and_then(Bound::listen) {
                Ok((file, socket)) => {
                    files.extend(file);
                    Ok(Opened { socket: Arc::new(socket), configured: address })
                }
                Err(source) => Err(StartError::Listen { what, address, source }),
            }
        };
        let mut control = Vec::new();
        if let Some(address) = places.address {
            control.push(open("the control API", address.into(), None)?);
        }
        let port = control.first().and_then(|tcp: &Opened| tcp.address().ip());
        let mode = Some(places.mode.unwrap_or(CONTROL_MODE));
        let users = users(places)?;
        match &places.socket {
            ControlSocket::Off => {}
            ControlSocket::At(path) => {
                let address = SocketAddress::Unix(Arc::clone(path));
                control.push(open("the control API", address, mode)?);
            }
            ControlSocket::Usual => {
                let opened = usual(port.map(|address| address.port()))
                    .and_then(|address| open("the control API", address, mode));
                match opened {
                    Ok(opened) => control.push(opened),
                    Err(error) if control.is_empty() => return Err(error),
                    // It has not been asked for, and there is another way.
                    Err(error) => tracing::warn!(
                        %error,
                        "control API: no Unix socket; name one under `socket` of `control`, or `off`"
                    ),
                }
            }
        }
        let metrics = open("metrics", metrics.address.clone(), metrics.mode)?;
        warn_of_open_loopback(plan);
        Ok(Sockets { control, users, metrics, files })
    }

    /// Their actual addresses.
    pub fn addresses(&self) -> Vec<SocketAddress> {
        self.control.iter().chain([&self.metrics]).map(Opened::address).collect()
    }

    /// Who is let in to them.
    pub fn entrances(&self, plan: &Plan, audit: Option<Arc<Audit>>, clock: Clock) -> Entrances {
        let door = DoorSettings::from(&plan.control);
        let door = Door::new(door, self.users, Arc::default(), clock).audited(audit);
        Entrances { door: Arc::new(door), metrics: Arc::new(Entrance::new(plan.entrance.clone())) }
    }
}

impl Entrances {
    /// Goes over to those of another configuration.
    pub fn configure(&self, plan: &Plan) {
        self.door.configure(DoorSettings::from(&plan.control));
        self.metrics.configure(plan.entrance.clone());
    }
}

/// Who may come by the socket: whoever has been let in by a mode that was chosen, else this user.
fn users(places: &ControlPlaces) -> Result<Users, StartError> {
    let others = 0o066;
    if places.mode.is_some_and(|mode| mode & others != 0) {
        return Ok(Users::ByMode);
    }
    usual_socket::this_user().map(Users::Only).map_err(StartError::Worker)
}

/// Where `ctl` looks for the socket of the gateway whose control API has this port.
fn usual(port: Option<u16>) -> Result<SocketAddress, StartError> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR");
    let found = usual_socket::this_user().and_then(|user| {
        let folders = usual_socket::folders(runtime.as_deref().map(Path::new), user);
        usual_socket::private_folder(folders, user)
    });
    let name = usual_socket::file_name(port);
    let listen = |address: String, source| {
        let address = SocketAddress::Unix(address.into());
        StartError::Listen { what: "the control API", address, source }
    };
    let folder = found.map_err(|source| listen(name.clone(), source))?;
    let path = folder.join(name).to_string_lossy().into_owned();
    Ok(SocketAddress::Unix(path.into()))
}

/// Warns of a port on which every user of this machine can steer, where the gateway is for others: who
/// tries it out on loopback alone is left in peace.
fn warn_of_open_loopback(plan: &Plan) {
    let outside = |address: &SocketAddress| address.ip().is_some_and(|it| !it.ip().is_loopback());
    let serves_others = plan.listeners.iter().any(|listener| outside(&listener.address));
    if let Some(address) = plan.control.places.address
        && plan.control.access.open_loopback
        && serves_others
    {
        tracing::warn!(
            %address,
            "control API: every user of this machine can steer: write `control: off` for its Unix \
             socket alone, or add `tokens`; the next version asks for one of them",
        );
    }
}

impl From<&ControlPlan> for DoorSettings {
    fn from(plan: &ControlPlan) -> DoorSettings {
        let tls = plan.tls.as_ref().map(|tls| {
            let mut config = ServerConfig::clone(tls.config());
            config.alpn_protocols = vec![b"h2".to_vec()]; // the API speaks nothing else
            Arc::new(config)
        });
        let verifier = plan.tls.as_ref().and_then(|tls| tls.verifier().cloned());
        DoorSettings { access: plan.access.clone(), tls, verifier }
    }
}
