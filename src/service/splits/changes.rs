//! Changes of splits by operators, and the end of those that hold for a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{SplitState, Splits, Weights, redirects, with_overrides};
use crate::model::Time;
use crate::overrides::{
    ChangeLog, ChangeRecord, Edit, Expiry, Field, FieldChange, Provenance, Setting, Value, edited,
};
use crate::route::{Route, Split};
use crate::service::change::{Terms, validate_ttl};
use crate::service::split::{self, SplitChange, SplitError};
use crate::text::listed;

/// The splits after a change.
pub(in crate::service) struct ChangedSplits {
    pub(in crate::service) splits: Splits,
    pub(in crate::service) revision: u64,
    /// What the change has edited.
    pub(in crate::service) fields: Vec<FieldChange>,
    /// When it reverts by itself, if ever.
    pub(in crate::service) until: Option<Expiry>,
}

impl Splits {
    /// Applies a change to the split of a route.
    pub(in crate::service) fn changed(
        &self,
        route: &str,
        change: &SplitChange,
        terms: Terms,
        provenance: &Provenance,
        now: Time,
    ) -> Result<ChangedSplits, SplitError> {
        let split = match self.configured.get(route) {
            None => return Err(self.unknown(route)),
            Some(Route::Redirect(_)) => return Err(redirects(route)),
            Some(Route::Forward(forward)) => &forward.split,
        };
        validate_ttl(terms.ttl).map_err(|error| SplitError::Invalid(error.to_string()))?;
        let mut splits = self.clone();
        let current = self.revision(route);
        let state = splits.states.entry(route.into()).or_insert_with(|| SplitState::at(1));
        let edits = match change {
            SplitChange::Reset => {
                let keys = state.overrides.keys().cloned();
                keys.map(|key| Edit::to(Field::Share(key), None)).collect()
            }
            SplitChange::Set(weights) => edits(route, split, weights)?,
            SplitChange::Revert(revision) => state.log.revert(*revision, now)?,
        };
        let until = terms.ttl.map(|ttl| Expiry::after(ttl, now, provenance.at));
        let stamp = Setting {
            value: None,
            provenance: provenance.clone(),
            since: now,
            revision: current + 1,
            place: (current + 1, 0),
            until,
            under: None,
            instance: None,
        };
        let before = state.overrides.clone();
        let fields = apply(&mut state.overrides, &edits, &stamp, now)?;
        if let Some(expected) = terms.expected_revision.filter(|expected| *expected != current) {
            return Err(SplitError::Stale { route: route.into(), current, expected });
        }
        // A split that serves nothing may be changed: only losing the last share is refused.
        let serves = |overrides| with_overrides(split, overrides).serves();
        if serves(&before) && !serves(&state.overrides) {
            return Err(SplitError::Empty(route.into()));
        }
        state.revision = current + 1;
        Ok(ChangedSplits { splits, revision: current + 1, fields, until })
    }

    /// Remembers a change of the split of a route.
    pub(in crate::service) fn remember(&mut self, route: &str, record: &Arc<ChangeRecord>) {
        if let Some(state) = self.states.get_mut(route) {
            state.log.push(Arc::clone(record));
        }
    }

    /// The last changes of the split of a route.
    pub(in crate::service) fn log(&self, route: &str) -> ChangeLog {
        self.states.get(route).map(|state| state.log.clone()).unwrap_or_default()
    }

    /// When the next override is over.
    pub(in crate::service) fn next_expiry(&self) -> Option<Time> {
        let all = self.states.values().flat_map(|state| state.overrides.values());
        all.filter_map(|setting| setting.until).map(|until| until.at).min()
    }

    /// The splits without overrides that are over at `now`, and which these were, in words. Where
    /// nothing would be left to send requests to, all overrides of the route end.
    pub(in crate::service) fn expired(&self, now: Time) -> Option<(Splits, Vec<(String, String)>)> {
        self.next_expiry().filter(|next| *next <= now)?;
        let (mut splits, mut told) = (self.clone(), Vec::new());
        for (route, state) in &mut splits.states {
            let is_over =
                |setting: &Arc<Setting>| setting.until.is_some_and(|until| until.is_over(now));
            let over: Vec<String> = state
                .overrides
                .iter()
                .filter(|(_, it)| is_over(it))
                .map(|(key, _)| key.clone())
                .collect();
            if over.is_empty() {
                continue;
            }
            for key in &over {
                let left = state.overrides.remove(key).and_then(|setting| setting.live(now));
                if let Some(left) = left {
                    state.overrides.insert(key.clone(), left);
                }
            }
            if let Some(forward) = self.forward(route)
                && !with_overrides(&forward.split, &state.overrides).serves()
            {
                state.overrides.clear();
            }
            told.push((route.to_string(), listed(over)));
        }
        Some((splits, told))
    }
}

/// The edits that set these weights.
fn edits(
    route: &str,
    split: &Split,
    weights: &BTreeMap<String, u32>,
) -> Result<Vec<Edit>, SplitError> {
    split::validate(route, split, weights)?;
    let edit = |(key, weight): (&String, &u32)| {
        Edit::to(Field::Share(key.clone()), Some(Value::Weight(*weight)))
    };
    Ok(weights.iter().map(edit).collect())
}

/// Applies edits by `stamp`, and returns those that have changed something.
fn apply(
    overrides: &mut Weights,
    edits: &[Edit],
    stamp: &Setting,
    now: Time,
) -> Result<Vec<FieldChange>, SplitError> {
    let mut fields = Vec::new();
    for edit in edits {
        let Field::Share(key) = &edit.field else { continue };
        let from = overrides.remove(key);
        let to = edited(from.as_ref(), edit, stamp.clone(), now);
        let to = to.map_err(|error| SplitError::Invalid(error.to_string()))?;
        if let Some(to) = &to {
            overrides.insert(key.clone(), Arc::clone(to));
        }
        if from.is_some() || to.is_some() {
            fields.push(FieldChange { field: edit.field.clone(), from, to });
        }
    }
    Ok(fields)
}
