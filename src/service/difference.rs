//! Old and new values of a change, for its audit record.

use std::collections::HashMap;

use super::Balancer;
use super::desired::{Backend, Desired};
use crate::model::Address;
use crate::text::listed;

impl Desired {
    /// What differs in `after`, for the log: old and new values.
    pub(super) fn difference(&self, after: &Desired) -> (String, String) {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        if self.spec.balancer != after.spec.balancer {
            let policy = |balancer: &Balancer| format!("policy {balancer}");
            old.push(policy(&self.spec.balancer));
            new.push(policy(&after.spec.balancer));
        }
        let later = after.backends.iter().map(|backend| (backend.identity(), backend));
        let mut later: HashMap<_, &Backend> = later.collect();
        let id = |backend: &Backend| backend.endpoint.id();
        for backend in &*self.backends {
            let now = later.remove(&backend.identity());
            let same = |now: &Backend| {
                let ejected = |it: &Backend| it.condition.ejected.is_some();
                now.intent == backend.intent
                    && id(now) == id(backend)
                    && ejected(now) == ejected(backend)
            };
            if !now.is_some_and(same) {
                old.push(describe(&backend.address, Some(backend)));
                new.push(describe(&backend.address, now));
            }
        }
        for added in after.backends.iter().filter(|it| later.contains_key(&it.identity())) {
            old.push(describe(&added.address, None));
            new.push(describe(&added.address, Some(added)));
        }
        (listed(old), listed(new))
    }
}

fn describe(address: &Address, backend: Option<&Backend>) -> String {
    let Some(Backend { intent, condition, .. }) = backend else {
        return format!("{address} absent");
    };
    let drained = if intent.drained { " drained" } else { "" };
    let ejected = if condition.ejected.is_some() { " ejected" } else { "" };
    format!("{address}={}{drained}{ejected}", intent.weight)
}
