//! WatchService: periodic snapshots of a service's state.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval_at};
use tonic::Status;

use super::{convert, proto};
use crate::service::ServiceView;

const DEFAULT: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3600);

type Item = Result<proto::Service, Status>;

/// The interval of a request, validated.
pub(super) fn interval(wanted: Option<prost_types::Duration>) -> Result<Duration, Status> {
    let Some(wanted) = wanted else {
        return Ok(DEFAULT);
    };
    match Duration::try_from(wanted) {
        Ok(interval) if (SHORTEST..=LONGEST).contains(&interval) => Ok(interval),
        _ => Err(Status::invalid_argument(format!(
            "interval is out of range: 0.1 to 3600 seconds, not {wanted}"
        ))),
    }
}

/// The producer of one stream. It ends when the subscriber leaves, the gateway stops, the service
/// is removed, or the revision to count from is no longer kept.
pub(super) struct StatePublisher {
    pub(super) views: watch::Receiver<Arc<ServiceView>>,
    pub(super) interval: Duration,
    /// The revision to count from; by default the current one.
    pub(super) since: Option<u64>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) permit: OwnedSemaphorePermit,
}

impl StatePublisher {
    /// Starts producing; returns the receiver. The channel holds one message: for a slow subscriber
    /// the next snapshot is taken only when there is room.
    pub(super) fn start(self) -> mpsc::Receiver<Item> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(self.run(sender));
        receiver
    }

    async fn run(self, sender: mpsc::Sender<Item>) {
        let mut stop = self.stop.clone();
        let stopped = tokio::select! {
            () = self.publish(&sender) => false,
            () = sender.closed() => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        if stopped {
            let _ = sender.try_send(Err(Status::unavailable("the gateway is shutting down")));
        }
        drop(self.permit);
    }

    async fn publish(&self, sender: &mpsc::Sender<Item>) {
        let mut views = self.views.clone();
        let mut ticks = interval_at(tokio::time::Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Ok(slot) = sender.reserve().await {
            let view = Arc::clone(&views.borrow_and_update());
            let state = convert::service(&view, self.since);
            let ends = state.is_err();
            slot.send(state);
            if ends {
                return;
            }
            tokio::select! {
                changed = views.wait_for(|now| now.generation != view.generation) => {
                    if changed.is_err() {
                        return;
                    }
                }
                _ = ticks.tick() => {}
            }
        }
    }
}
