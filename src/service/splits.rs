//! Traffic splits of all routes: configured weights and operators' overrides.
//!
//! An immutable value that is part of the [`Routing`](super::Routing), next to the route table that
//! it produces, so that both are swapped together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::split::{ShareView, SplitChange, SplitError, SplitView};
use super::{Provenance, split};
use crate::route::RouteTable;
use crate::route::{Forward, Route, Share, Split};
use crate::text::{listed, nearest};

/// Traffic splits of all routes.
#[derive(Clone, Debug, Default)]
pub struct Splits {
    /// The configured routes.
    configured: Arc<RouteTable>,
    /// States by route; routes at their first revision are left out.
    states: HashMap<Box<str>, SplitState>,
    /// The highest revision of any removed route.
    retired_revision: u64,
}

/// Revision and overrides of a route's split.
#[derive(Clone, Debug)]
struct SplitState {
    revision: u64,
    /// Overridden weights by name of share.
    overrides: BTreeMap<String, WeightOverride>,
}

#[derive(Clone, Debug, PartialEq)]
struct WeightOverride {
    weight: u32,
    provenance: Provenance,
}

impl Splits {
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
            let overridden = state.and_then(|state| state.overrides.get(&key));
            ShareView {
                name: key,
                service: share.name.to_string(),
                weight: overridden.map_or(share.weight, |overridden| overridden.weight),
                configured: share.weight,
                provenance: overridden.map(|overridden| overridden.provenance.clone()),
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

    /// Applies a change; returns the new splits and the revision.
    pub(super) fn changed(
        &self,
        route: &str,
        change: &SplitChange,
        expected: Option<u64>,
        provenance: &Provenance,
    ) -> Result<(Splits, u64), SplitError> {
        let split = match self.configured.get(route) {
            None => return Err(self.unknown(route)),
            Some(Route::Redirect(_)) => return Err(redirects(route)),
            Some(Route::Forward(forward)) => &forward.split,
        };
        let mut splits = self.clone();
        let current = self.revision(route);
        let state = splits.states.entry(route.into());
        let state = state.or_insert_with(|| SplitState { revision: 1, overrides: BTreeMap::new() });
        match change {
            SplitChange::Reset => state.overrides.clear(),
            SplitChange::Set(weights) => {
                split::validate(route, split, weights)?;
                let overridden =
                    |weight: u32| WeightOverride { weight, provenance: provenance.clone() };
                state
                    .overrides
                    .extend(weights.iter().map(|(key, to)| (key.clone(), overridden(*to))));
            }
        }
        if let Some(expected) = expected.filter(|expected| *expected != current) {
            return Err(SplitError::Stale { route: route.into(), current, expected });
        }
        // A split that serves nothing may be changed: only losing the last share is refused.
        let serves = |overrides| with_overrides(split, overrides).serves();
        let before = self.states.get(route).map(|state| &state.overrides);
        if before.map_or(split.serves(), serves) && !serves(&state.overrides) {
            return Err(SplitError::Empty(route.into()));
        }
        state.revision = current + 1;
        Ok((splits, current + 1))
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

    /// Applies another configuration. Overrides are kept for shares that still exist.
    pub(super) fn reconfigured(&self, configured: Arc<RouteTable>) -> Splits {
        let changes = configured.changes_since(&self.configured);
        let gone = changes.removed.iter().map(|route| self.revision(route)).max();
        let retired_revision = self.retired_revision.max(gone.unwrap_or_default());
        let mut states = self.states.clone();
        for name in &changes.removed {
            states.remove(*name);
        }
        let fresh = |revision| SplitState { revision, overrides: BTreeMap::new() };
        for name in changes.added.iter().filter(|_| retired_revision > 0) {
            states.insert((*name).into(), fresh(retired_revision + 1));
        }
        for name in &changes.changed {
            let Some(state) = states.get_mut(*name) else { continue };
            match configured.get(name) {
                Some(Route::Forward(forward)) => {
                    let keys: Vec<String> = forward.split.keys().collect();
                    state.overrides.retain(|key, _| keys.contains(key));
                    // Drop the overrides rather than send requests nowhere.
                    if !with_overrides(&forward.split, &state.overrides).serves() {
                        state.overrides.clear();
                    }
                }
                _ => state.overrides.clear(),
            }
        }
        Splits { configured, states, retired_revision }
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
fn with_overrides(split: &Split, overrides: &BTreeMap<String, WeightOverride>) -> Split {
    let shares = split.keys().zip(split.shares());
    split.with_weights(shares.map(|(key, share)| {
        overrides.get(&key).map_or(share.weight, |overridden| overridden.weight)
    }))
}
