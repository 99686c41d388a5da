//! The store of what operators change, as the configuration names it.

use std::sync::Arc;

use tokio::task::{JoinSet, spawn_blocking};

use super::StartError;
use crate::clock::Clock;
use crate::config::{OverridesPlan, Plan};
use crate::overrides::{Counters, Journal, Memory, Store};
use crate::service::Registry;
use crate::tasks::{Task, Tasks, infallible};

/// The store, and what keeps it going.
pub struct Overrides {
    store: Arc<dyn Store>,
    /// Of the journal, if there is one.
    pub counters: Option<Arc<Counters>>,
    /// Its task, which ends when this is dropped: after all that may wait for it.
    pub keeping: JoinSet<()>,
}

impl Overrides {
    /// The registry whose changes the store keeps.
    pub fn registry(&self, plan: &Plan, clock: Clock) -> Arc<Registry> {
        let (store, counts) = (Arc::clone(&self.store), plan.metrics.counts.clone());
        Arc::new(Registry::with_store(plan.workers, counts, clock, store))
    }

    /// Opens the store and starts its task. Call it on the cold runtime.
    pub async fn open(
        plan: &OverridesPlan,
        tasks: &Arc<Tasks>,
        clock: Clock,
    ) -> Result<Overrides, StartError> {
        let mut keeping = JoinSet::new();
        let Some(path) = plan.journal.clone() else {
            return Ok(Overrides { store: Arc::new(Memory), counters: None, keeping });
        };
        let opening = spawn_blocking(move || Journal::open(&path, clock));
        let opened = opening.await.map_err(|error| StartError::Worker(error.into()))?;
        let journal = Arc::new(opened?);
        let (counters, kept) = (Arc::clone(journal.counters()), Arc::clone(&journal));
        let run = move || {
            let journal = Arc::clone(&kept);
            tokio::spawn(infallible(async move { journal.run().await }))
        };
        keeping.spawn(Arc::clone(tasks).supervise(Task::Overrides, run));
        Ok(Overrides { store: journal, counters: Some(counters), keeping })
    }
}
