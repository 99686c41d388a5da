//! Changes of backends' conditions (healthy, ejected, suspect), for the log and the metrics.

use super::Cause;
use super::desired::{Backend, Desired};
use crate::text::listed;

/// Changes of condition between two generations of the same backends.
pub(super) struct ConditionChanges {
    unhealthy: Vec<String>,
    healthy: Vec<String>,
    ejected: Vec<String>,
    /// The cause of each new ejection.
    causes: Vec<Cause>,
    back: Vec<String>,
    suspect: Vec<String>,
    trusted: Vec<String>,
}

impl ConditionChanges {
    /// Compares two generations of the same backends.
    pub(super) fn between(before: &Desired, after: &Desired) -> ConditionChanges {
        let mut changes = ConditionChanges {
            unhealthy: Vec::new(),
            healthy: Vec::new(),
            ejected: Vec::new(),
            causes: Vec::new(),
            back: Vec::new(),
            suspect: Vec::new(),
            trusted: Vec::new(),
        };
        let pairs = before.backends.iter().zip(&*after.backends);
        pairs.for_each(|(before, after)| changes.compare(before, after));
        changes
    }

    fn compare(&mut self, before: &Backend, after: &Backend) {
        let address = &after.address;
        match (&before.condition.unhealthy, &after.condition.unhealthy) {
            (None, Some(unwell)) => self.unhealthy.push(format!("{address}: {}", unwell.why)),
            (Some(_), None) => self.healthy.push(address.to_string()),
            _ => {}
        }
        match (before.condition.suspect, after.condition.suspect) {
            (None, Some(_)) => {
                self.suspect.push(address.to_string());
                self.causes.push(Cause::Silence);
            }
            (Some(_), None) => self.trusted.push(address.to_string()),
            _ => {}
        }
        match (before.condition.ejected, after.condition.ejected) {
            (Some(_), None) => self.back.push(address.to_string()),
            (was, Some(is)) if was != Some(is) && !is.on_trial => {
                self.ejected.push(format!("{address}: {}", is.cause));
                self.causes.push(is.cause);
            }
            _ => {}
        }
    }

    /// The cause of each new ejection.
    pub(super) fn causes(&self) -> impl Iterator<Item = Cause> {
        self.causes.iter().copied()
    }

    pub(super) fn log(self, service: &str) {
        let ConditionChanges { unhealthy, healthy, ejected, back, suspect, trusted, .. } = self;
        if !unhealthy.is_empty() {
            let (count, backends) = (unhealthy.len(), listed(unhealthy));
            tracing::warn!(service, count, backends, "backends are unhealthy");
        }
        if !healthy.is_empty() {
            let (count, backends) = (healthy.len(), listed(healthy));
            tracing::info!(service, count, backends, "backends are healthy again");
        }
        if !ejected.is_empty() {
            let (count, backends) = (ejected.len(), listed(ejected));
            tracing::warn!(service, count, backends, "backends are ejected");
        }
        if !back.is_empty() {
            let (count, backends) = (back.len(), listed(back));
            tracing::info!(service, count, backends, "backends are ejected no more");
        }
        if !suspect.is_empty() {
            let (count, backends) = (suspect.len(), listed(suspect));
            tracing::warn!(service, count, backends, "backends are suspected to be frozen");
        }
        if !trusted.is_empty() {
            let (count, backends) = (trusted.len(), listed(trusted));
            tracing::info!(service, count, backends, "backends are suspected no more");
        }
    }
}

/// Logs that the panic of a service has begun or is over, whatever has changed that.
pub(super) fn log_panic(before: &Desired, after: &Desired) {
    let in_panic = |desired: &Desired| desired.backends.iter().any(|it| it.condition.in_panic);
    let service = &after.spec.name;
    match (in_panic(before), in_panic(after)) {
        (false, true) => tracing::error!(
            service,
            "panic: so few backends are left that those that are unhealthy or ejected get requests too"
        ),
        (true, false) => tracing::info!(
            service,
            "the panic is over: those that are unhealthy or ejected get no requests"
        ),
        _ => {}
    }
}
