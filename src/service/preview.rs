//! What a change would do: worked out as if it were made, with nothing changed by that.

use std::collections::HashMap;
use std::time::SystemTime;

use tokio::sync::oneshot;

use super::Snapshot;
use super::change::{Change, ChangeError, Terms};
use super::desired::{Backend, Changed, Desired};
use super::standing::Standing;
use super::transition::TransitionBuilder;
use super::view::ejection_warning;
use super::writer::Writer;
use crate::balance::expected_shares;
use crate::model::{Address, EndpointId, Time};
use crate::overrides::{Author, Provenance};

/// What a change of a service would do.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The revision now.
    pub current: u64,
    /// The revision that it would make.
    pub revision: u64,
    /// What it would change, in words.
    pub old: String,
    /// The same afterwards.
    pub new: String,
    /// When it would revert by itself.
    pub until: Option<SystemTime>,
    /// That too many backends would be out.
    pub warning: Option<String>,
    /// All backends, those that would be added and removed included.
    pub backends: Vec<BackendPreview>,
}

/// A backend, before and after a change.
#[derive(Clone, Debug)]
pub struct BackendPreview {
    /// What operators call it.
    pub address: String,
    /// Where it is, if that is a name.
    pub resolved: Option<String>,
    /// `None` if it would be added.
    pub before: Option<SharePreview>,
    /// `None` if it would be removed.
    pub after: Option<SharePreview>,
}

/// What a backend gets.
#[derive(Clone, Debug)]
pub struct SharePreview {
    /// Its weight, whatever its state.
    pub weight: u32,
    /// Its effective weight and state.
    pub standing: Standing,
    /// Its share by weight alone, 0 to 1.
    pub weight_share: f64,
    /// Its expected share of the next calls, 0 to 1.
    pub expected_share: f64,
}

/// A question of an operator, and the channel for the answer.
#[derive(Debug)]
pub(super) struct PreviewRequest {
    pub(super) change: Change,
    pub(super) terms: Terms,
    pub(super) by: Author,
    pub(super) answer: oneshot::Sender<Result<Preview, ChangeError>>,
}

impl Writer {
    /// Works out what a change would do, beside the writer, which goes on.
    pub(super) fn preview(&mut self, request: PreviewRequest) {
        let (builder, build_pool) = (self.transition_builder(), self.build_pool().clone());
        let PreviewRequest { change, terms, by, answer } = request;
        // Should it panic, which the log tells, whoever waits is told that there is no answer.
        tokio::spawn(async move {
            let preview = build_pool.run(move || builder.preview(&change, terms, &by)).await;
            let _ = answer.send(preview);
        });
    }
}

impl TransitionBuilder {
    /// What this change would do.
    pub(super) fn preview(
        mut self,
        change: &Change,
        terms: Terms,
        by: &Author,
    ) -> Result<Preview, ChangeError> {
        let before = self.desired.clone().previewed();
        if self.retired {
            return Err(ChangeError::Gone { service: before.spec.name.clone() });
        }
        let changed = before.changed(change, terms, &Provenance::now(by))?;
        let Changed { desired: after, until, .. } = changed;
        let generation = self.snapshot.generation + 1;
        let built = Snapshot::of(&after, generation, Some(&self.snapshot), &mut self.rng);
        let (old, new) = before.difference(&after);
        let conditions = after.backends.iter().map(|it| (it.intent, &it.condition));
        Ok(Preview {
            current: before.revision,
            revision: after.revision,
            old,
            new,
            until: until.map(|until| until.wall),
            warning: ejection_warning(&after.spec, conditions),
            backends: {
                let now = before.now();
                let (old, new) = (&self.snapshot, &built);
                let old = shares(&before, old, now, &mut self.rng);
                pairs(&before, old, &after, shares(&after, new, now, &mut self.rng))
            },
        })
    }
}

/// The backends of both, in the order of the second; those that are gone come last.
fn pairs(
    before: &Desired,
    old: Vec<SharePreview>,
    after: &Desired,
    new: Vec<SharePreview>,
) -> Vec<BackendPreview> {
    let named = |backend: &Backend| {
        let called = backend.name.as_ref().unwrap_or(&backend.address);
        let resolved = backend.name.as_ref().map(|_| backend.address.to_string());
        (called.to_string(), resolved)
    };
    let identity = |backend: &Backend| -> (Address, Option<Address>) {
        (backend.address.clone(), backend.name.clone())
    };
    let mut earlier: HashMap<_, SharePreview> =
        before.backends.iter().map(identity).zip(old).collect();
    let stay = after.backends.iter().zip(new).map(|(backend, share)| {
        let (address, resolved) = named(backend);
        let before = earlier.remove(&identity(backend));
        BackendPreview { address, resolved, before, after: Some(share) }
    });
    let mut all: Vec<BackendPreview> = stay.collect();
    all.extend(before.backends.iter().filter_map(|backend| {
        let (address, resolved) = named(backend);
        let before = Some(earlier.remove(&identity(backend))?);
        Some(BackendPreview { address, resolved, before, after: None })
    }));
    all
}

/// What each backend gets by a snapshot of this state.
fn shares(
    desired: &Desired,
    snapshot: &Snapshot,
    now: Time,
    rng: &mut fastrand::Rng,
) -> Vec<SharePreview> {
    let expected = snapshot.picker.as_ref().map(|picker| {
        let (ramps, near) = (&snapshot.ramps, snapshot.near.as_ref());
        expected_shares(&**picker, ramps, near, snapshot.set.len(), now, rng)
    });
    let members = snapshot.set.members().iter().map(|member| member.endpoint.id());
    let expected: HashMap<EndpointId, f64> = members.zip(expected.unwrap_or_default()).collect();
    let standings: Vec<Standing> =
        desired.backends.iter().map(|backend| backend.standing(now)).collect();
    let weight = |(backend, standing): (&Backend, &Standing)| {
        f64::from(standing.weight) * standing.ramp.unwrap_or(1.0) / f64::from(backend.shared_by)
    };
    let total: f64 = desired.backends.iter().zip(&standings).map(weight).sum();
    let share = |(backend, standing): (&Backend, Standing)| SharePreview {
        weight: backend.intent.weight,
        weight_share: if total > 0.0 { weight((backend, &standing)) / total } else { 0.0 },
        expected_share: expected.get(&backend.endpoint.id()).copied().unwrap_or_default(),
        standing,
    };
    desired.backends.iter().zip(standings.clone()).map(share).collect()
}
