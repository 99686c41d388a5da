//! Traffic splits of all routes: configured weights and operators' overrides.
//!
//! An immutable value that is part of the [`Routing`](super::Routing), next to the route table that
//! it produces, so that both are swapped together.

mod changes;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::split::{ShareView, SplitError, SplitView};
use crate::model::Time;
use crate::overrides::{
    ChangeLog, ChangeRecord, Field, FieldChange, KeptState, Setting, Subject, Value,
};
use crate::route::RouteTable;
use crate::route::{Forward, Route, Share, Split};
use crate::text::{listed, nearest};
pub(super) use changes::ChangedSplits;

/// Traffic splits of all routes.
#[derive(Clone, Debug, Default)]
pub struct Splits {
    /// The configured routes.
    configured: Arc<RouteTable>,
    /// States by route; routes at their first revision are left out.
    states: HashMap<Box<str>, SplitState>,
    /// What an earlier process has left, until there is a configuration.
    kept: HashMap<String, KeptState>,
    /// The highest revision of any removed route.
    retired_revision: u64,
}

/// Revision and overrides of a route's split.
#[derive(Clone, Debug, Default)]
struct SplitState {
    revision: u64,
    /// Overrides by name of share.
    overrides: Weights,
    /// The last changes.
    log: ChangeLog,
}

/// Overridden weights by name of share.
type Weights = BTreeMap<String, Arc<Setting>>;

impl SplitState {
    fn at(revision: u64) -> SplitState {
        SplitState { revision, ..SplitState::default() }
    }

    /// What an earlier process has left, without what is over by `now`.
    fn kept(kept: &KeptState, now: Time) -> SplitState {
        let KeptState { revision, settings, log } = kept;
        let share = |(field, setting): &(Field, Arc<Setting>)| match field {
            Field::Share(name) => Some((name.clone(), setting.live(now)?)),
            _ => None,
        };
        let overrides = settings.iter().filter_map(share).collect();
        SplitState { revision: *revision, overrides, log: log.clone() }
    }

    /// Ends the overrides of shares that the route does not have, or all if they would leave it with
    /// none to send requests to.
    fn prune(&mut self, split: Option<&Split>) -> Vec<FieldChange> {
        let mut ended = BTreeMap::new();
        if let Some(split) = split {
            let keys: Vec<String> = split.keys().collect();
            ended = self.overrides.extract_if(.., |key, _| !keys.contains(key)).collect();
        }
        if split.is_none_or(|split| !with_overrides(split, &self.overrides).serves()) {
            ended.append(&mut self.overrides);
        }
        let ended = ended.into_iter();
        ended
            .map(|(key, from)| FieldChange { field: Field::Share(key), from: Some(from), to: None })
            .collect()
    }
}

/// The overriding weight, unless that is the configured one for a time.
fn weight(setting: &Setting) -> Option<u32> {
    match setting.value {
        Some(Value::Weight(weight)) => Some(weight),
        _ => None,
    }
}

impl Splits {
    /// What an earlier process has left; it takes effect with the first configuration.
    pub(super) fn restored(kept: HashMap<String, KeptState>, retired_revision: u64) -> Splits {
        Splits { kept, retired_revision, ..Splits::default() }
    }

    /// The configured routes.
    pub fn configured(&self) -> &Arc<RouteTable> {
        &self.configured
    }

    /// The route table in effect, overrides included.
    pub(super) fn effective_routes(&self) -> Arc<RouteTable> {
        let wanted = self.states.iter().filter(|(_, state)| !state.overrides.is_empty());
        let splits = wanted.filter_map(|(name, state)| {
            let split = &self.forward(name)?.split;
            Some((name.clone(), with_overrides(split, &state.overrides)))
        });
        let splits: HashMap<Box<str>, Split> = splits.collect();
        if splits.is_empty() {
            return Arc::clone(&self.configured);
        }
        Arc::new(self.configured.with_splits(&splits))
    }

    /// View of the split of a route.
    ///
    /// # Errors
    /// There is no such route, or it redirects.
    pub fn view(&self, route: &str) -> Result<SplitView, SplitError> {
        let found = self.configured.get(route).ok_or_else(|| self.unknown(route))?;
        let Route::Forward(forward) = found else { return Err(redirects(route)) };
        let matched = self.configured.match_in_words(route).unwrap_or_default();
        Ok(self.view_of(route, matched, forward))
    }

    /// Views of the splits with more than one share.
    pub fn list(&self) -> Vec<SplitView> {
        let routes = self.configured.iter();
        let views = routes.filter_map(|(name, route, matched)| match route {
            Route::Forward(forward) if forward.split.shares().len() > 1 => {
                Some(self.view_of(name, matched(), forward))
            }
            _ => None,
        });
        views.collect()
    }

    fn view_of(&self, name: &str, matched: String, forward: &Forward) -> SplitView {
        let state = self.states.get(name);
        let Forward { split, split_by, .. } = forward;
        let share = |(key, share): (String, &Share)| {
            let wanted = state.and_then(|state| state.overrides.get(&key));
            let wanted = wanted.and_then(|setting| Some((setting, weight(setting)?)));
            ShareView {
                name: key,
                service: share.name.to_string(),
                weight: wanted.map_or(share.weight, |(_, weight)| weight),
                configured: share.weight,
                provenance: wanted.map(|(setting, _)| setting.provenance.clone()),
                until: wanted.and_then(|(setting, _)| setting.until).map(|until| until.wall),
            }
        };
        SplitView {
            route: name.to_owned(),
            matched,
            revision: self.revision(name),
            split_by: split_by.as_deref().map(str::to_owned),
            shares: split.keys().zip(split.shares()).map(share).collect(),
        }
    }

    /// The revision of a route's split.
    pub fn revision(&self, route: &str) -> u64 {
        self.states.get(route).map_or(1, |state| state.revision)
    }

    /// What differs in `after` for a route, for the log: old and new weights.
    pub(super) fn difference(&self, route: &str, after: &Splits) -> (String, String) {
        let shares = |splits: &Splits| splits.view(route).map(|it| it.shares).unwrap_or_default();
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (was, is) in shares(self).into_iter().zip(shares(after)) {
            if was.weight != is.weight {
                old.push(format!("{}={}", was.name, was.weight));
                new.push(format!("{}={}", is.name, is.weight));
            }
        }
        (listed(old), listed(new))
    }

    /// Applies another configuration. Overrides are kept for shares that still exist; returns the
    /// end of the others, too.
    pub(super) fn reconfigured(
        &self,
        configured: Arc<RouteTable>,
        now: Time,
    ) -> (Splits, Vec<Arc<ChangeRecord>>) {
        let changes = configured.changes_since(&self.configured);
        let gone = changes.removed.iter().map(|route| self.revision(route)).max();
        let retired_revision = self.retired_revision.max(gone.unwrap_or_default());
        let mut next =
            Splits { retired_revision, states: self.states.clone(), ..Splits::default() };
        let mut ended = Vec::new();
        for name in &changes.removed {
            if let Some(state) = next.states.remove(*name) {
                ended.push(ChangeRecord::gone(&Subject::Route((*name).into()), state.revision));
            }
        }
        let mut kept = self.kept.clone();
        for name in &changes.added {
            let state = kept.remove(*name).map(|kept| SplitState::kept(&kept, now));
            let fresh = || (retired_revision > 0).then(|| SplitState::at(retired_revision + 1));
            if let Some(state) = state.or_else(fresh) {
                next.states.insert((*name).into(), state);
            }
        }
        for name in changes.changed.iter().chain(&changes.added) {
            let Some(state) = next.states.get_mut(*name) else { continue };
            let split = match configured.get(name) {
                Some(Route::Forward(forward)) => Some(&forward.split),
                _ => None,
            };
            let fields = state.prune(split);
            if !fields.is_empty() {
                let subject = Subject::Route((*name).into());
                let record = ChangeRecord::ended(&subject, fields, state.revision);
                state.log.push(Arc::new(record.clone()));
                ended.push(record);
            }
        }
        for (name, KeptState { revision, .. }) in kept {
            next.retired_revision = next.retired_revision.max(revision);
            ended.push(ChangeRecord::gone(&Subject::Route(name), revision));
        }
        next.configured = configured;
        (next, ended.into_iter().map(Arc::new).collect())
    }

    /// Logs overrides whose configured weight has changed since `before`, and those that ended.
    pub(super) fn log_since(&self, before: &Splits) {
        for (route, state) in before.states.iter().filter(|(_, state)| !state.overrides.is_empty())
        {
            let Ok(earlier) = before.view(route) else { continue };
            let now = self.view(route).map(|view| view.shares).unwrap_or_default();
            let (mut base_changed, mut ended) = (Vec::new(), Vec::new());
            for was in
                earlier.shares.iter().filter(|share| state.overrides.contains_key(&share.name))
            {
                let ShareView { name, weight, .. } = was;
                match now.iter().find(|share| share.name == *name && share.provenance.is_some()) {
                    None => ended.push(format!("{name} has weight {weight}")),
                    Some(is) if is.configured != was.configured => {
                        base_changed.push(format!(
                            "{name} has weight {weight}, configured is {}",
                            is.configured
                        ));
                    }
                    Some(_) => {}
                }
            }
            if !base_changed.is_empty() {
                let shares = listed(base_changed);
                tracing::warn!(
                    route,
                    shares,
                    "the configuration has changed under what operators want, which stays in \
                     effect: `ctl reset-split` takes it back",
                );
            }
            if !ended.is_empty() {
                let shares = listed(ended);
                tracing::warn!(
                    route,
                    shares,
                    "what operators wanted of this split has ended: the configuration has these \
                     shares no more",
                );
            }
        }
    }

    fn forward(&self, route: &str) -> Option<&Forward> {
        match self.configured.get(route)? {
            Route::Forward(forward) => Some(forward),
            Route::Redirect(_) => None,
        }
    }

    fn unknown(&self, route: &str) -> SplitError {
        let route: String = route.chars().take(128).collect();
        let near = nearest(&route, self.configured.names());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        SplitError::Unknown(route, near)
    }
}

fn redirects(route: &str) -> SplitError {
    SplitError::Invalid(format!("route `{route}` redirects: it sends requests to no service"))
}

/// The split with overrides applied.
fn with_overrides(split: &Split, overrides: &Weights) -> Split {
    let shares = split.keys().zip(split.shares());
    split.with_weights(shares.map(|(key, share)| {
        overrides.get(&key).and_then(|setting| weight(setting)).unwrap_or(share.weight)
    }))
}
