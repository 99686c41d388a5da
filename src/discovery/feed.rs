//! What a source tells of its service.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::set::Discovered;
use crate::clock::Clock;
use crate::dns::Dns;

/// Sets that wait to be taken, at most.
const QUEUE: usize = 16;

/// Takes what a source tells of one service.
#[derive(Clone, Debug)]
pub struct Feed {
    service: Arc<str>,
    clock: Clock,
    dns: Arc<dyn Dns>,
    told: mpsc::Sender<Told>,
}

/// What a source tells.
#[derive(Debug)]
pub(super) enum Told {
    /// All backends of the service.
    Set(Vec<Discovered>),
    /// The registry has answered, and says the same as before.
    Same,
    /// An entry that cannot be used.
    Rejected { key: String, reason: String },
}

impl Feed {
    pub(super) fn new(
        service: Arc<str>,
        clock: Clock,
        dns: Arc<dyn Dns>,
    ) -> (Feed, mpsc::Receiver<Told>) {
        let (told, receiver) = mpsc::channel(QUEUE);
        (Feed { service, clock, dns, told }, receiver)
    }

    /// The name of the service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Who looks up names.
    pub fn dns(&self) -> &Arc<dyn Dns> {
        &self.dns
    }

    /// The backends of the service, all of them. Of several at one address the first counts.
    pub async fn publish(&self, backends: Vec<Discovered>) {
        self.tell(Told::Set(backends)).await;
    }

    /// The registry has answered, and says the same as before.
    pub async fn confirm(&self) {
        self.tell(Told::Same).await;
    }

    /// An entry of the registry cannot be used, and is left out. Counted, and logged once for each `key`.
    pub async fn reject(&self, key: &str, reason: &str) {
        self.tell(Told::Rejected { key: key.into(), reason: reason.into() }).await;
    }

    async fn tell(&self, told: Told) {
        let _ = self.told.send(told).await; // nobody listens: the source is about to be dropped
    }
}
