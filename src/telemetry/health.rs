//! `grpc.health.v1`: readiness for gRPC health probes.

use std::future::Future;

use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::http::Readiness;

/// The health service, shared by all ports that serve it.
#[derive(Clone, Debug, Default)]
pub struct Health(HealthReporter);

impl Health {
    /// The tonic service.
    pub fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.0.clone()))
    }

    /// Keeps `names` (the empty one is the whole process) SERVING while the gateway is ready, until
    /// `stop`. Then Watch streams end.
    pub async fn follow(
        mut self,
        names: &'static [&'static str],
        mut readiness: watch::Receiver<Readiness>,
        stop: impl Future<Output = ()>,
    ) {
        tokio::pin!(stop);
        loop {
            let status = match *readiness.borrow_and_update() {
                Readiness::Ready => ServingStatus::Serving,
                _ => ServingStatus::NotServing,
            };
            for name in names {
                self.0.set_service_status(name, status).await;
            }
            tokio::select! {
                Ok(()) = readiness.changed() => {}
                () = &mut stop => break,
            }
        }
        for name in names {
            self.0.clear_service_status(name).await;
        }
    }
}
