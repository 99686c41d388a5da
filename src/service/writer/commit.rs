//! Changes of operators are decided, then kept, then take effect, and then are answered. While a
//! store keeps them, which may take as long as its disk takes, the writer goes on with health and
//! ejections; further changes wait, and share the next batch.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Command, Writer};
use crate::overrides::{ChangeRecord, FieldChange, Kept, NotKept, Subject};
use crate::service::Cause;
use crate::service::desired::Desired;
use crate::service::transition::{ChangeRequest, DecidedChange};
use crate::text::listed;

/// Decided changes that are being kept.
pub(super) struct Committing {
    decided: Vec<DecidedChange>,
    next: Desired,
    /// The generation that `next` was derived from.
    generation: u64,
    kept: Kept,
}

/// Waits until the changes are kept; for ever if there are none.
pub(super) async fn kept(committing: &mut Option<Committing>) -> Result<(), NotKept> {
    match committing {
        Some(committing) => committing.kept.as_mut().await,
        None => std::future::pending().await,
    }
}

impl Writer {
    fn generation(&self) -> u64 {
        self.publisher.snapshot().load().generation
    }

    /// Decides a change with all queued behind it as one batch, so that one picker is built for
    /// them all, and begins to keep them. Returns the command that ended the batch, if any.
    pub(super) async fn decide_changes(
        &mut self,
        first: ChangeRequest,
        inbox: &mut mpsc::Receiver<Command>,
    ) -> Option<Command> {
        let (mut requests, mut after) = (vec![first], None);
        while after.is_none() && requests.len() < inbox.max_capacity() {
            match inbox.try_recv() {
                Ok(Command::Change(another)) => requests.push(another),
                Ok(command) => after = Some(command),
                Err(_) => break, // the queue is empty or closed
            }
        }
        let builder = self.transition_builder();
        let (decided, next) = self.build_pool.run(move || builder.decide(requests)).await;
        let Some(next) = next else {
            decided.into_iter().for_each(|change| change.answer(&*self.store));
            return after;
        };
        let records = decided.iter().filter_map(DecidedChange::accepted).cloned().collect();
        let (kept, generation) = (self.store.keep(records), self.generation());
        self.committing = Some(Committing { decided, next, generation, kept });
        after
    }

    /// Has changes that are kept take effect, and answers them; those that could not be kept are
    /// refused.
    pub(super) async fn commit(&mut self, kept: Result<(), NotKept>) {
        let Some(Committing { decided, next, generation, .. }) = self.committing.take() else {
            return;
        };
        let decided = match kept {
            Ok(()) => {
                let healed: Vec<String> = decided.iter().filter_map(DecidedChange::heals).collect();
                // Health or ejections may have changed since.
                let is_current = generation == self.generation();
                let builder = self.transition_builder();
                let build = move || match is_current {
                    true => builder.build(next),
                    false => {
                        let next = builder.desired.adopting(&next, &healed);
                        builder.build(next)
                    }
                };
                let transition = self.build_pool.run(build).await;
                self.apply(transition);
                decided
            }
            Err(why) => self.refused(decided, &why),
        };
        for change in decided {
            if change.ejects() {
                self.ejections.count(Cause::Hand);
            }
            change.answer(&*self.store);
        }
    }

    /// The first change that was accepted and all after it, which were decided on top of it, as
    /// refused.
    fn refused(&self, decided: Vec<DecidedChange>, why: &NotKept) -> Vec<DecidedChange> {
        let revision = self.desired.revision;
        let mut accepted = false;
        let refused = decided.into_iter().map(|change| {
            accepted |= change.accepted().is_some();
            if accepted { change.not_kept(why, revision) } else { change }
        });
        refused.collect()
    }

    /// Logs that overrides have ended as they are no longer configured, and has the store know.
    pub(super) async fn end(&mut self, ended: Arc<ChangeRecord>) {
        let (service, overrides) = (&self.desired.spec.name, &ended.old);
        tracing::warn!(
            service,
            overrides,
            "what operators wanted has ended: the configuration has it no more",
        );
        self.keep_end(ended).await;
    }

    /// Has the store know of overrides that have ended.
    pub(super) async fn keep_end(&mut self, ended: Arc<ChangeRecord>) {
        let service = &self.desired.spec.name;
        if let Err(error) = self.store.keep(vec![ended]).await {
            tracing::warn!(service, %error, "the end of overrides is not kept yet");
        }
    }

    /// Logs that the time of overrides was over.
    pub(super) fn log_expired(&self, expired: &[FieldChange]) {
        if expired.is_empty() {
            return;
        }
        let fields = listed(expired.iter().map(|change| change.field.to_string()).collect());
        let (service, count) = (&self.desired.spec.name, expired.len());
        tracing::info!(
            service,
            count,
            fields,
            "the time of a change is over: what was before is back",
        );
        let subject = Subject::service(service);
        self.store.tell(&ChangeRecord::over(subject, fields, self.desired.revision));
    }
}
