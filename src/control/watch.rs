//! Streams, and WatchService: periodic snapshots of a service's state.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval_at, sleep, timeout};
use tonic::Status;

use super::guard::Permit;
use super::{convert, proto};
use crate::service::ServiceView;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const MIN_INTERVAL: Duration = Duration::from_millis(100);
const MAX_INTERVAL: Duration = Duration::from_secs(3600);

/// Limit of concurrent streams.
const MAX_STREAMS: usize = 1000;

/// Interval at which it is asked whether whoever reads a stream may still do so.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a reader has to take why its stream ends.
const LAST_WORD: Duration = Duration::from_millis(500);

type Item = Result<proto::Service, Status>;

/// Waits until the caller may not read the stream any more: its token or role is gone, or expired.
async fn revoked(permit: &Permit, service: &str) -> Status {
    loop {
        sleep(RECHECK_INTERVAL).await;
        if let Some(why) = permit.revoked(service) {
            return why;
        }
    }
}

/// The interval of a request, validated.
pub(super) fn interval(wanted: Option<prost_types::Duration>) -> Result<Duration, Status> {
    let Some(wanted) = wanted else {
        return Ok(DEFAULT_INTERVAL);
    };
    match Duration::try_from(wanted) {
        Ok(interval) if (MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) => Ok(interval),
        _ => Err(Status::invalid_argument(format!(
            "interval is out of range: 0.1 to 3600 seconds, not {wanted}"
        ))),
    }
}

/// Limits the number of concurrent streams, and ends them at shutdown.
pub(super) struct Streams {
    permits: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Streams {
    /// Streams end when `stop` turns true.
    pub(super) fn new(stop: watch::Receiver<bool>) -> Streams {
        Streams { permits: Arc::new(Semaphore::new(MAX_STREAMS)), stop }
    }

    /// A stream of what `produce` sends, until that returns, the subscriber leaves, or may not see the
    /// service any more, or the gateway stops. The channel holds one message.
    pub(super) fn start<T, F>(
        &self,
        (permit, service): (Permit, String),
        produce: impl FnOnce(mpsc::Sender<Result<T, Status>>) -> F,
    ) -> Result<mpsc::Receiver<Result<T, Status>>, Status>
    where
        T: Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let own = permit.stream()?;
        let place = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            permit.no_stream();
            Status::resource_exhausted(format!("{MAX_STREAMS} streams are open, the most allowed"))
        })?;
        let (sender, receiver) = mpsc::channel(1);
        let (produced, mut stop) = (produce(sender.clone()), self.stop.clone());
        tokio::spawn(async move {
            let ended = tokio::select! {
                () = produced => None,
                () = sender.closed() => None,
                revoked = revoked(&permit, &service) => Some(revoked),
                _ = stop.wait_for(|stop| *stop) => {
                    Some(Status::unavailable("the gateway is shutting down"))
                }
            };
            if let Some(why) = ended {
                // A reader that is slow has a state to take first, and is not waited for for ever.
                let _ = timeout(LAST_WORD, sender.send(Err(why))).await;
            }
            drop((place, own));
        });
        Ok(receiver)
    }
}

/// The producer of one stream. It ends when the subscriber leaves, the gateway stops, the service
/// is removed, or the revision to count from is no longer kept.
pub(super) struct StatePublisher {
    pub(super) views: watch::Receiver<Arc<ServiceView>>,
    pub(super) interval: Duration,
    /// The revision to count from; by default the current one.
    pub(super) since: Option<u64>,
}

impl StatePublisher {
    /// Sends states. For a slow subscriber the next state is read only once the channel has room.
    pub(super) async fn publish(self, sender: mpsc::Sender<Item>) {
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
