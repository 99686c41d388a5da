//! Re-evaluation of the backends' conditions: health, suspicion, ejection, panic mode.

use super::{Backend, Desired};
use crate::health::Health;
use crate::model::{Address, Time};
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

    /// Replaces the ejection state. If the ejection changes, the fault counters are reset.
    fn with_ejection(&self, ejection: EjectionState) -> Backend {
        if ejection.ejected != self.ejection.ejected {
            self.endpoint.faults().reset();
        }
        let condition = Condition { ejected: ejection.ejected, ..self.condition.clone() };
        Backend { ejection, condition, ..self.clone() }
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

impl Desired {
    /// Re-evaluates health, suspicion, ejection, panic mode and slow starts. `None` if nothing has
    /// changed.
    pub(in crate::service) fn reevaluated(&self, outliers: &Outliers) -> Option<Desired> {
        let backends = self.backends.iter().cloned().map(Backend::with_health).collect();
        let mut overrides = self.overrides.clone();
        overrides.expire(self.now());
        let updated = Desired { backends, overrides, ..self.clone() };
        let updated = updated.with_suspicion().with_ejections(Some(outliers)).with_panic_mode();
        let updated = updated.following(&self.backends).with_slow_starts();
        let pairs = self.backends.iter().zip(&*updated.backends);
        // A backend that was down and up in between counts as a change: requests may wait for it.
        let differs = pairs.into_iter().any(|(before, now)| {
            before.condition != now.condition
                || before.down_count != now.down_count
                || before.ramp != now.ramp
        });
        differs.then_some(updated)
    }

    /// Ends the ejection of a backend, whatever its cause; the next one is not a relapse.
    pub(super) fn healed(mut self, address: &str) -> Desired {
        let address = Address::parse(address).ok();
        let healed =
            |backend: &Backend| match backend.called().any(|it| address.as_ref() == Some(it)) {
                true => backend.with_ejection(EjectionState::default()),
                false => backend.clone(),
            };
        self.backends = self.backends.iter().map(healed).collect();
        self
    }

    /// When the next ejection expires.
    pub(in crate::service) fn next_ejection_end(&self) -> Option<Time> {
        self.backends.iter().filter_map(|backend| backend.ejection.ejected?.until).min()
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
        let decided = self.backends.iter().zip(candidates);
        self.backends = decided.map(|(backend, it)| backend.with_ejection(it.state)).collect();
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
        let updated = |backend: &Backend| {
            let in_panic = panic_mode
                && backend.condition.can_serve_in_panic()
                && !backend.condition.is_available();
            let condition = Condition { in_panic, ..backend.condition.clone() };
            Backend { condition, ..backend.clone() }
        };
        self.backends = self.backends.iter().map(updated).collect();
        self
    }
}
