//! Who went out and who came back, for the log.

use super::Cause;
use super::desired::{Backend, Desired};
use crate::text::listed;

/// What has changed for the backends of a service that nobody has changed.
pub(super) struct Flips {
    unhealthy: Vec<String>,
    healthy: Vec<String>,
    ejected: Vec<String>,
    /// What each of these is for.
    causes: Vec<Cause>,
    back: Vec<String>,
    /// Whether those that are out are needed, if that is news.
    needed: Option<bool>,
}

impl Flips {
    /// From `before` to `after`, which has the same backends.
    pub(super) fn between(before: &Desired, after: &Desired) -> Flips {
        let needed = |desired: &Desired| desired.backends.iter().any(|it| it.condition.needed);
        let (was, is) = (needed(before), needed(after));
        let mut flips = Flips {
            unhealthy: Vec::new(),
            healthy: Vec::new(),
            ejected: Vec::new(),
            causes: Vec::new(),
            back: Vec::new(),
            needed: (was != is).then_some(is),
        };
        let pairs = before.backends.iter().zip(&*after.backends);
        pairs.for_each(|(before, after)| flips.compare(before, after));
        flips
    }

    fn compare(&mut self, before: &Backend, after: &Backend) {
        let address = &after.address;
        match (&before.condition.unhealthy, &after.condition.unhealthy) {
            (None, Some(unwell)) => self.unhealthy.push(format!("{address}: {}", unwell.why)),
            (Some(_), None) => self.healthy.push(address.to_string()),
            _ => {}
        }
        match (before.condition.ejected, after.condition.ejected) {
            (Some(_), None) => self.back.push(address.to_string()),
            (was, Some(is)) if was != Some(is) && !is.is_on_trial() => {
                self.ejected.push(format!("{address}: {}", is.cause));
                self.causes.push(is.cause);
            }
            _ => {}
        }
    }

    /// What each ejection is for.
    pub(super) fn causes(&self) -> impl Iterator<Item = Cause> {
        self.causes.iter().copied()
    }

    pub(super) fn log(self, service: &str) {
        let Flips { unhealthy, healthy, ejected, back, needed, .. } = self;
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
        match needed {
            Some(true) => tracing::error!(
                service,
                "panic: so few backends are well that all get requests which do not refuse them"
            ),
            Some(false) => tracing::info!(service, "no panic any more: who is not well rests"),
            None => {}
        }
    }
}
