//! Changes of splits, and what the store is told of services and routes that are gone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Registry;
use crate::overrides::{Author, ChangeLog, ChangeRecord, Expiry, Provenance, Store, Subject};
use crate::service::change::Terms;
use crate::service::routing::RoutingCell;
use crate::service::splits::ChangedSplits;
use crate::service::{Routing, SplitChange, SplitError, SplitView, Splits};

/// The routing before the first configuration, with the splits that an earlier process has left.
pub(super) fn restored_routing(store: &dyn Store) -> Arc<RoutingCell> {
    let routes = store.subjects().into_iter().filter_map(|subject| match &subject {
        Subject::Route(name) => Some((name.clone(), store.take_kept(&subject)?)),
        Subject::Service(_) => None,
    });
    let routes: HashMap<_, _> = routes.collect();
    let routing = Arc::<RoutingCell>::default();
    let splits = Splits::restored(routes, store.retired().route);
    routing.update(|now| (Some(now.with_splits(splits.clone())), ()));
    routing
}

impl Registry {
    /// Whether what operators change outlives the process.
    pub fn keeps_changes(&self) -> bool {
        self.store.lasts()
    }

    /// Changes the split of a route and returns its new revision, once it is kept and in effect.
    /// Every change, refused ones included, is logged.
    ///
    /// # Errors
    /// The change was refused; nothing has changed.
    pub async fn change_split(
        &self,
        route: &str,
        change: &SplitChange,
        terms: Terms,
        by: &Author,
    ) -> Result<u64, SplitError> {
        let provenance = Provenance::now(by);
        let _one_at_a_time = self.splits.lock().await;
        let before = Arc::clone(&self.routing.load().splits);
        let changed = before.changed(route, change, terms, &provenance, self.clock.now());
        let made = match changed {
            Ok(changed) => self.make(route, change, &before, changed, &provenance).await,
            Err(error) => Err(error),
        };
        made.inspect_err(|error| {
            let known = before.configured().get(route);
            let revision = known.map(|_| before.revision(route));
            let (subject, text) = (Subject::route(route), error.to_string());
            let record = ChangeRecord::refused(provenance, subject, change, &text, revision);
            record.log();
            // What could not be kept the store knows.
            if !matches!(error, SplitError::NotKept(_)) {
                self.store.tell(&record);
            }
        })
    }

    /// What a change of the split of a route would do: the split now and then, and when that would
    /// revert by itself.
    ///
    /// # Errors
    /// It would be refused.
    pub(crate) async fn preview_split(
        &self,
        route: &str,
        change: &SplitChange,
        terms: Terms,
        by: &Author,
    ) -> Result<(SplitView, SplitView, Option<Expiry>), SplitError> {
        let provenance = Provenance::now(by);
        let _after_those_under_way = self.splits.lock().await;
        let before = Arc::clone(&self.routing.load().splits);
        let changed = before.changed(route, change, terms, &provenance, self.clock.now())?;
        Ok((before.view(route)?, changed.splits.view(route)?, changed.until))
    }

    /// Logs a change that was refused, and tells the store.
    pub fn refused(&self, record: &ChangeRecord) {
        record.log();
        self.store.tell(record);
    }

    /// Has a change that was accepted kept, and then take effect.
    async fn make(
        &self,
        route: &str,
        change: &SplitChange,
        before: &Splits,
        changed: ChangedSplits,
        provenance: &Provenance,
    ) -> Result<u64, SplitError> {
        let ChangedSplits { mut splits, revision, fields, until } = changed;
        let (difference, subject) =
            (before.difference(route, &splits), Subject::Route(route.into()));
        let made = ChangeRecord::made(provenance.clone(), subject, change, difference, revision);
        let record = Arc::new(made.editing(fields, until));
        splits.remember(route, &record);
        self.store.keep(vec![Arc::clone(&record)]).await?;
        self.routing.update(|now| (Some(now.with_splits(splits.clone())), ()));
        record.log();
        Ok(revision)
    }

    /// The last changes of the split of a route.
    ///
    /// # Errors
    /// There is no such route, or it redirects.
    pub fn split_changes(&self, route: &str) -> Result<ChangeLog, SplitError> {
        let splits = Arc::clone(&self.routing().splits);
        splits.view(route).map(|_| splits.log(route))
    }

    /// Ends overrides of splits when their time is over, for ever.
    pub async fn expire_splits(&self) {
        let mut changes = self.changes();
        loop {
            let due = Routing::next_expiry(&self.routing());
            tokio::select! {
                biased;
                changed = changes.changed() => if changed.is_err() { return },
                () = self.clock.sleep_until(due.unwrap_or_default()), if due.is_some() => {
                    self.end_expired().await;
                }
            }
        }
    }

    async fn end_expired(&self) {
        let _one_at_a_time = self.splits.lock().await;
        let now = self.clock.now();
        let told = self.routing.update(|routing| match routing.splits.expired(now) {
            Some((splits, told)) => (Some(routing.with_splits(splits)), told),
            None => (None, Vec::new()),
        });
        for (route, shares) in told {
            tracing::info!(
                route,
                shares,
                "the time of a change of this split is over: what was before is back",
            );
            let revision = self.routing.load().splits.revision(&route);
            self.store.tell(&ChangeRecord::over(Subject::route(&route), shares, revision));
        }
    }

    /// Ends what an earlier process has left of services that are no longer configured.
    pub(super) async fn end_unconfigured(&self) {
        for subject in self.store.subjects() {
            let Subject::Service(name) = &subject else { continue };
            let Some(kept) = self.store.take_kept(&subject) else { continue };
            if self.get(name).is_none() {
                self.retired_revision.fetch_max(kept.revision, Ordering::Relaxed);
                let (service, count) = (name, kept.settings.len());
                if count > 0 {
                    tracing::warn!(
                        service,
                        count,
                        "what operators wanted has ended: the configuration has this service no more",
                    );
                }
                self.keep_gone(&subject, kept.revision).await;
            }
        }
    }

    /// Has the store know that a service is no longer configured.
    pub(super) async fn keep_gone(&self, subject: &Subject, revision: u64) {
        self.keep_end(vec![Arc::new(ChangeRecord::gone(subject, revision))]).await;
    }

    /// Has the store know of overrides that have ended.
    pub(super) async fn keep_end(&self, ended: Vec<Arc<ChangeRecord>>) {
        if ended.is_empty() {
            return;
        }
        if let Err(error) = self.store.keep(ended).await {
            tracing::warn!(%error, "the end of overrides is not kept yet");
        }
    }
}
