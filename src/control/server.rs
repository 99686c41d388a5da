//! The tonic server of the control API.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::server::NamedService;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use tower::limit::GlobalConcurrencyLimitLayer;

use super::access::Control;
use super::activity::TrackCalls;
use super::arrival::{Clients, Socket};
use super::door::Door;
use super::guard::Guard;
use super::handshakes::Entrance;
use super::limit::LimitedConnections;
use super::proto::FILE_DESCRIPTOR_SET;
use super::proto::control_server::ControlServer;
use crate::clock::Clock;
use crate::model::ConnectionRefusals;
use crate::service::Registry;

/// Limit of concurrent calls (streams count until their response begins); more are refused.
const MAX_CALLS: usize = 256;
const MAX_STREAMS_PER_CONNECTION: u32 = 256;
/// Timeout of a call until its response begins.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Grace period of calls at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// Why the control API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The file descriptor set is invalid.
    #[error("control API: the descriptors for reflection are broken: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A transport error.
    #[error("control API: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// The gRPC service's name, as in health checks.
pub const NAME: &str = ControlServer::<Control>::NAME;

/// What the server is made of.
#[derive(Clone)]
pub struct Server {
    /// The services under control.
    pub registry: Arc<Registry>,
    /// Who is let in.
    pub door: Arc<Door>,
    /// The health service beside it.
    pub health: HealthServer<HealthService>,
    /// Connection limit. One more evicts the connection with the least to do.
    pub max_connections: usize,
    /// Counts refused connections.
    pub refusals: Arc<ConnectionRefusals>,
    /// Throttles repeated log messages.
    pub clock: Clock,
}

impl Server {
    /// Serves `clients` until `shutdown` completes, which ends streams.
    ///
    /// # Errors
    /// The server failed.
    pub async fn run<S: Socket>(
        self,
        clients: impl Clients<S>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let Server { registry, door, health, max_connections, refusals, clock } = self;
        let (stop, stopped) = watch::channel(false);
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let mut gone = stopped.clone();
        let server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
            .timeout(CALL_TIMEOUT)
            .load_shed(true)
            .layer(TrackCalls)
            .layer(Guard(Arc::clone(&door)))
            .layer(GlobalConcurrencyLimitLayer::new(MAX_CALLS))
            .add_service(ControlServer::new(Control::new(registry, stopped)))
            .add_service(health)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .serve_with_incoming_shutdown(
                LimitedConnections::new(
                    Entrance::new(clients, door),
                    max_connections,
                    refusals,
                    clock,
                ),
                async move {
                    let _ = gone.wait_for(|stop| *stop).await;
                },
            );
        tokio::pin!(server);
        tokio::select! {
            result = &mut server => return Ok(result?),
            () = shutdown => {}
        }
        stop.send_replace(true);
        match tokio::time::timeout(SHUTDOWN_GRACE, server).await {
            Ok(result) => Ok(result?),
            Err(_) => Ok(()), // do not wait longer for clients
        }
    }
}
