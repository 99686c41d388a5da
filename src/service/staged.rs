//! A service that is ready to go over to another configuration, and waits until all are.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Service, ServiceConfig, Snapshot};

/// A service with the snapshot that another configuration makes of it. Until that is published it
/// takes no changes, and if it is dropped instead, all stays as it was.
#[derive(Debug)]
pub struct Staged {
    pub(super) service: Arc<Service>,
    next: Option<Next>,
}

#[derive(Debug)]
struct Next {
    snapshot: Arc<Snapshot>,
    commit: oneshot::Sender<oneshot::Sender<()>>,
}

/// What a writer gets to be configured by.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) config: ServiceConfig,
    /// For the snapshot, unless all stays as it is.
    pub(super) staged: oneshot::Sender<Option<Arc<Snapshot>>>,
    /// Says that it is published, and where the writer is to say that it has gone over.
    pub(super) commit: oneshot::Receiver<oneshot::Sender<()>>,
}

/// One that has nothing to change: it is new, say.
impl From<Arc<Service>> for Staged {
    fn from(service: Arc<Service>) -> Staged {
        Staged { service, next: None }
    }
}

impl Staged {
    /// Has the writer of `service` build what `config` makes of it.
    pub(super) async fn new(service: Arc<Service>, config: ServiceConfig) -> Staged {
        let (staged, ready) = oneshot::channel();
        let (commit, committed) = oneshot::channel();
        service.stage(Staging { config, staged, commit: committed }).await;
        // A writer that is gone has nothing left to configure.
        let snapshot = ready.await.ok().flatten();
        let next = snapshot.map(|snapshot| Next { snapshot, commit });
        Staged { service, next }
    }

    /// By which requests are to go when it is published.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        let staged = self.next.as_ref().map(|next| Arc::clone(&next.snapshot));
        staged.unwrap_or_else(|| self.service.snapshot().load_full())
    }

    /// Has the writer go over, as it is published; it has when this returns.
    pub(super) async fn commit(self) {
        let Some(Next { commit, .. }) = self.next else { return };
        let (gone_over, done) = oneshot::channel();
        if commit.send(gone_over).is_ok() {
            let _ = done.await;
        }
    }
}
