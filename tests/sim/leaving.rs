//! Removed backends: checks that they have no requests left after their drain timeout.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::world::World;

/// Polling interval.
const LOOK: Duration = Duration::from_millis(20);

/// Workers apply a change within a second, and timers may be late.
const NOTICE: Duration = Duration::from_millis(1100);

/// Watches removed backends, which have this drain timeout.
pub async fn watch(world: Rc<World>, limit: Duration) {
    let mut since = BTreeMap::new();
    loop {
        sleep(LOOK).await;
        for service in world.registry.list() {
            for backend in &service.view().leaving {
                let endpoint = &backend.endpoint;
                let since = *since.entry(endpoint.id()).or_insert_with(Instant::now);
                if since.elapsed() > limit + NOTICE && !endpoint.load().is_idle() {
                    let address = endpoint.address();
                    world.ledger.wrong(format!("{address} was removed, and is not empty in time"));
                    return;
                }
            }
        }
    }
}
