//! Backends that were removed, or drained with a timeout: checks that they have no requests left then.

use std::rc::Rc;
use std::time::Duration;

use equipoise::model::Time;
use equipoise::service::BackendView;
use tokio::time::sleep;

use super::world::World;

/// Polling interval.
const LOOK: Duration = Duration::from_millis(20);

/// Workers apply a change within a second, and timers may be late.
const NOTICE: Duration = Duration::from_millis(1100);

/// Watches such backends; removed ones have this drain timeout.
pub async fn watch(world: Rc<World>, limit: Duration) {
    loop {
        sleep(LOOK).await;
        let now = world.environment.clock.now();
        for service in world.registry.list() {
            let view = service.view();
            let removed = view.leaving.iter().map(|it| (it, it.serving_period.since + limit));
            let drained =
                view.backends.iter().filter_map(|it| Some((it, it.serving_period.drain_deadline?)));
            let is_late = |(backend, by): &(&BackendView, Time)| {
                now > *by + NOTICE && !backend.endpoint.load().is_idle()
            };
            if let Some((late, _)) = removed.chain(drained).find(is_late) {
                let address = late.endpoint.address();
                world.ledger.wrong(format!("{address} was taken out, and is not empty in time"));
                return;
            }
        }
    }
}
