//! WatchDrain: streams the number of requests in flight at a drained backend until there are none.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tonic::Status;

use super::proto;
use crate::model::Endpoint;
use crate::service::{BackendView, ServiceView};
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
    /// Several, if a name is drained that resolves to as many addresses; with what was cut off before.
    endpoints: Vec<(Arc<Endpoint>, u64)>,
    address: String,
}

impl DrainWatcher {
    /// A watcher of the backend at this address, which must be drained.
    pub(super) fn new(
        views: watch::Receiver<Arc<ServiceView>>,
        address: &str,
    ) -> Result<DrainWatcher, Status> {
        let view = Arc::clone(&views.borrow());
        let is_meant = |known: &str| identity(known) == identity(address);
        let found = view.backends.iter().filter(|backend| {
            is_meant(backend.endpoint.address()) || is_meant(backend.endpoint.place())
        });
        let found: Vec<&BackendView> = found.collect();
        let (service, address) = (&view.spec.name, address.chars().take(64).collect::<String>());
        if found.is_empty() {
            let message = format!("service `{service}` has no backend `{address}`");
            return Err(Status::invalid_argument(message));
        }
        if !found.iter().all(|backend| backend.intent.drained) {
            let message = format!("`{address}` is not drained: drain it first");
            return Err(Status::failed_precondition(message));
        }
        let cut = |it: &&BackendView| (Arc::clone(&it.endpoint), it.serving_period.cut_before);
        let endpoints = found.iter().map(cut).collect();
        Ok(DrainWatcher { views, endpoints, address })
    }

    /// Sends the number of requests in flight whenever it changes, until there are none.
    pub(super) async fn follow(self, sender: mpsc::Sender<Item>) {
        let (mut told, mut was_empty) = (None, false);
        loop {
            if self.is_back() {
                let message = format!("`{}` is drained no more", self.address);
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
        let is_watched = |id| self.endpoints.iter().any(|(endpoint, _)| endpoint.id() == id);
        view.backends.iter().any(|it| !it.intent.drained && is_watched(it.endpoint.id()))
    }

    fn progress(&self) -> proto::DrainProgress {
        let endpoints = self.endpoints.iter();
        endpoints.fold(proto::DrainProgress::default(), |sum, (endpoint, cut_before)| {
            let load = endpoint.load();
            proto::DrainProgress {
                in_flight: sum.in_flight + load.calls(),
                open_streams: sum.open_streams + load.streams().count(),
                cut: sum.cut + endpoint.cut() - cut_before,
            }
        })
    }
}
