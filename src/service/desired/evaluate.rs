//! Re-evaluation of the backends' conditions: health, suspicion, ejection, panic mode.

use std::sync::Arc;

use super::{Backend, Desired};
use crate::health::Health;
use crate::model::{Address, Time};
use crate::overrides::{ChangeRecord, FieldChange};
use crate::service::ejection::{Candidate, EjectionState, ManualEjection, Outliers, Signals};
use crate::service::standing::Condition;

impl Backend {
    /// Input of the ejection algorithm.
    fn ejection_candidate(&self, manual: Option<ManualEjection>, outliers: &Outliers) -> Candidate {
        let Backend { endpoint, intent, condition, .. } = self;
        let signals = Signals {
            consecutive: endpoint.faults().consecutive(),
            trial: endpoint.faults().trial_result(),
            outlier: outliers.get(&endpoint.id()).copied(),
            manual,
            eligible: !intent.is_taken_out() && intent.weight > 0,
            down: condition.is_unavailable(),
        };
        Candidate { state: self.ejection, signals }
    }

    /// Replaces the ejection state. If the ejection changes, the fault counters are reset, but in a
    /// preview.
    fn set_ejection(&mut self, ejection: EjectionState, preview: bool) {
        if ejection.ejected != self.ejection.ejected && !preview {
            self.endpoint.faults().reset();
        }
        self.condition.ejected = ejection.ejected;
        self.ejection = ejection;
    }

    /// Updates the result of the health check, and whether the backend is down.
    pub(super) fn with_health(self) -> Backend {
        let outage = self.endpoint.outage();
        let (down_count, down) = (outage.down_count(), outage.down());
        let unhealthy = match self.checked.as_ref().map(|checked| checked.health()) {
            None | Some(Health::Healthy) => None,
            Some(Health::Unhealthy(unhealthy)) => Some(unhealthy),
        };
        Backend { condition: Condition { unhealthy, down, ..self.condition }, down_count, ..self }
    }
}

/// The state after a re-evaluation.
pub(in crate::service) struct Reevaluated {
    pub(in crate::service) desired: Desired,
    /// Overrides whose time was over, and what is back.
    pub(in crate::service) expired: Vec<FieldChange>,
    /// Overrides that have ended with them.
    pub(in crate::service) ended: Option<Arc<ChangeRecord>>,
}

impl Desired {
    /// Re-evaluates health, suspicion, ejection, panic mode and slow starts, and ends overrides whose
    /// time is over. `None` if nothing has changed.
    pub(in crate::service) fn reevaluated(&self, outliers: &Outliers) -> Option<Reevaluated> {
        let backends = self.backends.iter().cloned().map(Backend::with_health).collect();
        let mut updated = Desired { backends, ..self.clone() };
        let (mut expired, mut ended) = (Vec::new(), None);
        if self.overrides.next_expiry().is_some_and(|next| next <= self.now()) {
            expired = updated.overrides.expire(self.now());
            ended = updated.prune();
            updated = updated.merged();
        }
        let updated = updated.with_suspicion().with_ejections(Some(outliers)).with_panic_mode();
        let updated = updated.following(&self.backends).with_slow_starts();
        let pairs = self.backends.iter().zip(&*updated.backends);
        // A backend that was down and up in between counts as a change: requests may wait for it.
        let differs = !expired.is_empty()
            || ended.is_some()
            || pairs.into_iter().any(|(before, now)| {
                before.condition != now.condition
                    || before.down_count != now.down_count
                    || before.ramp != now.ramp
            });
        differs.then_some(Reevaluated { desired: updated, expired, ended })
    }

    /// Ends the ejection of a backend, whatever its cause; the next one is not a relapse.
    pub(super) fn healed(mut self, address: &str) -> Desired {
        let (address, preview) = (Address::parse(address).ok(), self.preview);
        for backend in Arc::make_mut(&mut self.backends) {
            if backend.called().any(|it| address.as_ref() == Some(it)) {
                backend.set_ejection(EjectionState::default(), preview);
            }
        }
        self
    }

    /// When the next ejection expires.
    fn next_ejection_end(&self) -> Option<Time> {
        self.backends.iter().filter_map(|backend| backend.ejection.ejected?.until).min()
    }

    /// When the next ejection or override is over.
    pub(in crate::service) fn next_due(&self) -> Option<Time> {
        self.next_ejection_end().into_iter().chain(self.overrides.next_expiry()).min()
    }

    /// Updates the ejections. Without `outliers`, as after a change of membership, it only ends ejections
    /// beyond `max_ejected`.
    pub(super) fn with_ejections(mut self, outliers: Option<&Outliers>) -> Desired {
        let (now, none) = (self.now(), Outliers::new());
        let candidate = |it: &Backend| {
            let manual = it.called().find_map(|called| self.overrides.ejected(called));
            it.ejection_candidate(manual, outliers.unwrap_or(&none))
        };
        let mut candidates: Vec<Candidate> = self.backends.iter().map(candidate).collect();
        match &self.spec.ejection {
            None => candidates.iter_mut().for_each(|it| {
                it.state = EjectionState::default();
                it.apply_manual(now);
            }),
            Some(ejection) if outliers.is_some() => ejection.decide(&mut candidates, now),
            Some(ejection) => ejection.release(&mut candidates, now),
        }
        let (backends, preview) = (Arc::make_mut(&mut self.backends).iter_mut(), self.preview);
        let decided = backends.zip(candidates);
        decided.for_each(|(backend, it)| backend.set_ejection(it.state, preview));
        self
    }

    /// Enters or leaves panic mode: if too little of the total weight is healthy, unhealthy and ejected
    /// backends get requests too.
    pub(super) fn with_panic_mode(mut self) -> Desired {
        let candidates = self.backends.iter().filter(|it| !it.intent.is_taken_out());
        let candidates = candidates.filter(|it| !it.condition.declines());
        let (mut all, mut stands) = (0.0, 0.0);
        for Backend { intent, shared_by, condition, .. } in candidates {
            let weight = f64::from(intent.weight) / f64::from(*shared_by);
            all += weight;
            stands += if condition.is_available() { weight } else { 0.0 };
        }
        let panic_mode = stands * 100.0 < all * f64::from(self.spec.panic);
        for Backend { condition, .. } in Arc::make_mut(&mut self.backends) {
            condition.in_panic =
                panic_mode && condition.can_serve_in_panic() && !condition.is_available();
        }
        self
    }
}
