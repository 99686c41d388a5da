//! WatchDrain: streams the number of requests in flight at a drained backend until there are none.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tonic::Status;

use super::proto;
use crate::model::Endpoint;
use crate::service::ServiceView;
use crate::text::address::identity;

/// Polling interval.
const INTERVAL: Duration = Duration::from_millis(100);

type Item = Result<proto::DrainProgress, Status>;

/// The drain timeout, validated.
pub(super) fn timeout(wanted: prost_types::Duration) -> Result<Duration, Status> {
    Duration::try_from(wanted)
        .map_err(|_| Status::invalid_argument(format!("timeout is out of range: {wanted}")))
}

/// Follows a drained backend.
pub(super) struct DrainWatcher {
    views: watch::Receiver<Arc<ServiceView>>,
    endpoint: Arc<Endpoint>,
    cut_before: u64,
}

impl DrainWatcher {
    /// A watcher of the backend at this address, which must be drained.
    pub(super) fn new(
        views: watch::Receiver<Arc<ServiceView>>,
        address: &str,
    ) -> Result<DrainWatcher, Status> {
        let view = Arc::clone(&views.borrow());
        let is_meant = |known: &str| identity(known) == identity(address);
        let found = view.backends.iter().find(|backend| is_meant(backend.endpoint.address()));
        let (service, address) = (&view.spec.name, address.chars().take(64).collect::<String>());
        let Some(backend) = found else {
            let message = format!("service `{service}` has no backend `{address}`");
            return Err(Status::invalid_argument(message));
        };
        if !backend.intent.drained {
            let message = format!("`{address}` is not drained: drain it first");
            return Err(Status::failed_precondition(message));
        }
        let (endpoint, cut_before) =
            (Arc::clone(&backend.endpoint), backend.serving_period.cut_before);
        Ok(DrainWatcher { views, endpoint, cut_before })
    }

    /// Sends the number of requests in flight whenever it changes, until there are none.
    pub(super) async fn follow(self, sender: mpsc::Sender<Item>) {
        let (mut told, mut was_empty) = (None, false);
        loop {
            if self.is_back() {
                let message = format!("`{}` is drained no more", self.endpoint.address());
                let _ = sender.send(Err(Status::aborted(message))).await;
                return;
            }
            let now = self.progress();
            // The second poll counts a request that was about to be sent when the backend was drained.
            let is_empty = now.in_flight == 0 && now.open_streams == 0;
            if told != Some(now) && sender.send(Ok(now)).await.is_err() {
                return;
            }
            if is_empty && was_empty {
                return;
            }
            (told, was_empty) = (Some(now), is_empty);
            sleep(INTERVAL).await;
        }
    }

    fn is_back(&self) -> bool {
        let view = Arc::clone(&self.views.borrow());
        let mut backends = view.backends.iter();
        backends.any(|it| it.endpoint.id() == self.endpoint.id() && !it.intent.drained)
    }

    fn progress(&self) -> proto::DrainProgress {
        let load = self.endpoint.load();
        proto::DrainProgress {
            in_flight: load.calls(),
            open_streams: load.streams().count(),
            cut: self.endpoint.cut() - self.cut_before,
        }
    }
}
