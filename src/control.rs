//! The gRPC control API: services, weights and drains, with health and reflection.
//!
//! It only talks to the services' writers and knows nothing of the data path.

mod access;
mod activity;
mod arrival;
mod audit;
mod changes;
mod convert;
mod door;
mod drain;
mod explain_route;
mod explain_service;
mod guard;
mod handshakes;
mod limit;
mod log_level;
mod methods;
mod overridden;
mod policy;
mod preview;
mod server;
mod service;
mod sources;
mod split;
pub mod usual_socket;
mod watch;
mod whoami;

pub use arrival::Arrival;
pub(crate) use audit::{BY, BY_BINARY, Claim, NOT_KEPT, REASON, REASON_BINARY};
pub use door::{Door, DoorSettings, Users};
pub use server::{NAME, ServeError, Server};

/// Code generated from `equipoise.control.v1`, which is documented in the `.proto` file.
#[allow(missing_docs, clippy::all, clippy::too_many_lines)]
pub mod proto {
    tonic::include_proto!("equipoise.control.v1");

    /// The file descriptor set for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/control.binpb"));
}
