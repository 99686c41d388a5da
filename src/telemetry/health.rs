//! `grpc.health.v1`: whether new traffic should come here, for probes that speak gRPC.

use std::future::Future;

use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::http::Readiness;

/// What `grpc.health.v1` answers, wherever it is served.
#[derive(Clone, Debug, Default)]
pub struct Health(HealthReporter);

impl Health {
    /// The service, to be served beside others.
    pub fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.0.clone()))
    }

    /// Has `names`, of which the empty one is the whole process, serve while it is ready, until
    /// `stop` is there. Then the calls that watch them end.
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
