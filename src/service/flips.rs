//! Who went out and who came back, for the log.

use super::desired::{Backend, Desired};
use crate::text::listed;

/// What has changed for the backends of a service that nobody has changed.
pub(super) struct Flips {
    out: Vec<String>,
    back: Vec<String>,
    /// Whether those that are out are needed, if that is news.
    needed: Option<bool>,
}

impl Flips {
    /// From `before` to `after`, which has the same backends.
    pub(super) fn between(before: &Desired, after: &Desired) -> Flips {
        let pairs = || before.backends.iter().zip(&*after.backends);
        let flipped = |stands: bool| {
            let flipped = pairs().filter(move |(before, after)| {
                before.condition.stands() != stands && after.condition.stands() == stands
            });
            flipped.map(|(_, after)| told(after)).collect()
        };
        let needed = |desired: &Desired| desired.backends.iter().any(|it| it.condition.needed);
        let (was, is) = (needed(before), needed(after));
        Flips { out: flipped(false), back: flipped(true), needed: (was != is).then_some(is) }
    }

    pub(super) fn log(self, service: &str) {
        let Flips { out, back, needed } = self;
        if !out.is_empty() {
            let (count, backends) = (out.len(), listed(out));
            tracing::warn!(service, count, backends, "backends are unhealthy");
        }
        if !back.is_empty() {
            let (count, backends) = (back.len(), listed(back));
            tracing::info!(service, count, backends, "backends are healthy again");
        }
        match needed {
            Some(true) => tracing::error!(
                service,
                "panic: so few backends are healthy that all get requests which do not refuse them"
            ),
            Some(false) => tracing::info!(service, "no panic any more: unhealthy backends rest"),
            None => {}
        }
    }
}

fn told(backend: &Backend) -> String {
    match &backend.condition.unhealthy {
        Some(unwell) => format!("{}: {}", backend.address, unwell.why),
        None => backend.address.to_string(),
    }
}
