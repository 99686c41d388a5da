//! Two-phase commit of a configuration: each service stages its snapshot, then all are committed.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Service, ServiceConfig, Snapshot};

/// A service with a staged snapshot of another configuration. It takes no changes until this is
/// committed; dropping this rolls back.
#[derive(Debug)]
pub struct StagedService {
    pub(super) service: Arc<Service>,
    next: Option<StagedSnapshot>,
}

#[derive(Debug)]
struct StagedSnapshot {
    snapshot: Arc<Snapshot>,
    commit: oneshot::Sender<oneshot::Sender<()>>,
}

/// Request to a writer to stage a configuration.
#[derive(Debug)]
pub(super) struct StageRequest {
    pub(super) config: ServiceConfig,
    /// Returns the staged snapshot; `None` if nothing differs.
    pub(super) staged: oneshot::Sender<Option<Arc<Snapshot>>>,
    /// Receives the commit, with the channel for the acknowledgement.
    pub(super) commit: oneshot::Receiver<oneshot::Sender<()>>,
}

/// A service with nothing to commit, such as a new one.
impl From<Arc<Service>> for StagedService {
    fn from(service: Arc<Service>) -> StagedService {
        StagedService { service, next: None }
    }
}

impl StagedService {
    /// Has the writer of `service` build the snapshot of `config`.
    pub(super) async fn new(service: Arc<Service>, config: ServiceConfig) -> StagedService {
        let (staged, ready) = oneshot::channel();
        let (commit, committed) = oneshot::channel();
        service.stage(StageRequest { config, staged, commit: committed }).await;
        // If the writer has ended, there is nothing to commit.
        let snapshot = ready.await.ok().flatten();
        let next = snapshot.map(|snapshot| StagedSnapshot { snapshot, commit });
        StagedService { service, next }
    }

    /// The snapshot to publish.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        let staged = self.next.as_ref().map(|next| Arc::clone(&next.snapshot));
        staged.unwrap_or_else(|| self.service.snapshot().load_full())
    }

    /// Has the writer adopt the published snapshot as its state; returns once it has.
    pub(super) async fn commit(self) {
        let Some(StagedSnapshot { commit, .. }) = self.next else { return };
        let (acknowledge, done) = oneshot::channel();
        if commit.send(acknowledge).is_ok() {
            let _ = done.await;
        }
    }
}
