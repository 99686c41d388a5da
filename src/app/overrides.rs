//! The store of what operators change, as the configuration names it.

use std::sync::Arc;

use tokio::task::{JoinSet, spawn_blocking};

use super::StartError;
use crate::audit::{Audit, AuditCounters, AuditedStore};
use crate::clock::Clock;
use crate::config::{AuditPlan, OverridesPlan, Plan};
use crate::overrides::{Counters, Journal, Memory, Store};
use crate::service::Registry;
use crate::tasks::{Task, Tasks, infallible};

/// The store, and what keeps it going.
pub struct Overrides {
    store: Arc<dyn Store>,
    /// Of the journal, if there is one.
    pub counters: Option<Arc<Counters>>,
    /// The audit, if there is one.
    pub audit: Option<Arc<Audit>>,
    /// Their tasks, which end when this is dropped: after all that may wait for it.
    _keeping: JoinSet<()>,
}

impl Overrides {
    /// The registry whose changes the store keeps.
    pub fn registry(&self, plan: &Plan, clock: Clock) -> Arc<Registry> {
        let (store, counts) = (Arc::clone(&self.store), plan.metrics.counts.clone());
        Arc::new(Registry::with_store(plan.workers, counts, clock, store))
    }

    /// Counters of the audit, if there is one.
    pub fn audit_counters(&self) -> Option<Arc<AuditCounters>> {
        self.audit.as_ref().map(|audit| Arc::clone(audit.counters()))
    }

    /// Opens the store, with the audit if there is one, and starts their tasks. Call it on the cold
    /// runtime.
    pub async fn open(
        plan: &Plan,
        tasks: &Arc<Tasks>,
        clock: Clock,
    ) -> Result<Overrides, StartError> {
        let opened = Overrides::of(&plan.overrides, tasks, clock).await?;
        let Some(AuditPlan { path, strict }) = plan.audit.clone() else { return Ok(opened) };
        let Overrides { store, counters, _keeping: mut keeping, .. } = opened;
        let known = Arc::clone(&store);
        let opening = spawn_blocking(move || Audit::open(&path, strict, &*known, clock));
        let audit = opening.await.map_err(|error| StartError::Worker(error.into()))?;
        let audit = Arc::new(audit?);
        let kept = Arc::clone(&audit);
        let run = move || {
            let audit = Arc::clone(&kept);
            tokio::spawn(infallible(async move { audit.run().await }))
        };
        keeping.spawn(Arc::clone(tasks).supervise(Task::Audit, run));
        let store = Arc::new(AuditedStore::new(store, Arc::clone(&audit)));
        Ok(Overrides { store, counters, audit: Some(audit), _keeping: keeping })
    }

    async fn of(
        plan: &OverridesPlan,
        tasks: &Arc<Tasks>,
        clock: Clock,
    ) -> Result<Overrides, StartError> {
        let mut keeping = JoinSet::new();
        let Some(path) = plan.journal.clone() else {
            let store = Arc::new(Memory);
            return Ok(Overrides { store, counters: None, audit: None, _keeping: keeping });
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
        Ok(Overrides { store: journal, counters: Some(counters), audit: None, _keeping: keeping })
    }
}
