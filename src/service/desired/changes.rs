//! Changes by operators, and the end of what they wanted.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Backend, Desired};
use crate::model::Address;
use crate::overrides::{
    ChangeLog, ChangeRecord, Expiry, FieldChange, Provenance, Subject, TooDeep,
};
use crate::service::MAX_BACKENDS;
use crate::service::change::{Change, ChangeContext, ChangeError, Terms};
use crate::service::overrides::{Awaited, Present, Stamp};

/// The state after a change by an operator.
pub(in crate::service) struct Changed {
    pub(in crate::service) desired: Desired,
    /// What the change has edited.
    pub(in crate::service) fields: Vec<FieldChange>,
    /// When it reverts by itself, if ever.
    pub(in crate::service) until: Option<Expiry>,
}

impl Desired {
    /// Applies a change by an operator.
    pub(in crate::service) fn changed(
        &self,
        change: &Change,
        terms: Terms,
        provenance: &Provenance,
    ) -> Result<Changed, ChangeError> {
        let service = &self.spec.name;
        let mut overrides = self.overrides.clone();
        let backends: HashSet<_> = self.backends.iter().flat_map(Backend::called).collect();
        let backends: Vec<_> = backends.into_iter().collect();
        let (below, now) = (&*self.below, self.now());
        let current = ChangeContext {
            service,
            below,
            backends: &backends,
            overrides: &self.overrides,
            log: &self.log,
            now,
        };
        let (ttl, edits) = (change.ttl(terms)?, change.edits(current)?);
        let until = ttl.map(|ttl| Expiry::after(ttl, now, provenance.at));
        let revision = self.revision + 1;
        let stamp = Stamp { provenance, revision, now, until, registered: &self.registered };
        let too_deep = |error: TooDeep| ChangeError::Invalid(error.to_string());
        let mut fields = overrides.edit(&edits, stamp).map_err(too_deep)?;
        fields.extend(overrides.prune(self.present(), now));
        if let Some(expected) = terms.expected_revision
            && expected != self.revision
        {
            let (service, current) = (service.clone(), self.revision);
            return Err(ChangeError::Stale { service, current, expected });
        }
        let mut changed = Desired { overrides, revision, ..self.clone() };
        if let Change::Heal(address) = change {
            changed = changed.healed(address);
        }
        let changed = changed.merged();
        if changed.backends.len() > MAX_BACKENDS.max(self.backends.len()) {
            let message =
                format!("service `{service}` would have more than {MAX_BACKENDS} backends");
            return Err(ChangeError::Invalid(message));
        }
        // A service without eligible backends may be changed: only losing the last one is refused.
        if !terms.allow_empty && self.has_eligible() && !changed.has_eligible() {
            return Err(ChangeError::Empty { service: service.clone() });
        }
        Ok(Changed { desired: changed, fields, until })
    }

    /// The backends that there are without overrides.
    fn present(&self) -> Present<'_> {
        let (below, registered) = (&*self.below, &*self.registered);
        Present { below, registered, awaited: self.awaited() }
    }

    fn awaited(&self) -> Awaited {
        let is_name = |address: &Address| address.name().is_some();
        match self.source {
            Some(_) => Awaited::All,
            None if self.below.iter().any(|(address, _)| is_name(address)) => Awaited::Addresses,
            None if self.overrides.addresses().any(is_name) => Awaited::Addresses,
            None => Awaited::Nobody,
        }
    }

    /// Ends overrides of what is there no more, and records it.
    pub(super) fn prune(&mut self) -> Option<Arc<ChangeRecord>> {
        let (below, registered) = (Arc::clone(&self.below), Arc::clone(&self.registered));
        let awaited = self.awaited();
        let present = Present { below: &below, registered: &registered, awaited };
        let ended = self.overrides.prune(present, self.now());
        if ended.is_empty() {
            return None;
        }
        let subject = Subject::service(&self.spec.name);
        let record = Arc::new(ChangeRecord::ended(&subject, ended, self.revision));
        self.log.push(Arc::clone(&record));
        Some(record)
    }

    /// Remembers a change.
    pub(in crate::service) fn remember(&mut self, record: &Arc<ChangeRecord>) {
        self.log.push(Arc::clone(record));
    }

    /// The last changes.
    pub(in crate::service) fn log(&self) -> &ChangeLog {
        &self.log
    }

    /// This with the changes that have led from an earlier state of it to `changed`, while health
    /// and ejections went on.
    pub(in crate::service) fn adopting(&self, changed: &Desired, healed: &[String]) -> Desired {
        let overrides = changed.overrides.clone();
        let (log, revision) = (changed.log.clone(), changed.revision);
        let mut next = Desired { overrides, log, revision, ..self.clone() };
        for address in healed {
            next = next.healed(address);
        }
        // What has ended meanwhile was recorded then.
        next.overrides.prune(self.present(), self.now());
        next.merged()
    }
}
