//! ListSources: the sources that services have their backends from.

use std::time::SystemTime;

use super::proto;
use crate::clock;
use crate::discovery::{SourceStatus, Subscription};
use crate::service::Registry;

/// The source of each service that has one, or of `service` alone, by name.
pub(super) fn list(registry: &Registry, service: &str) -> proto::ListSourcesResponse {
    let services = registry.list();
    let asked = services.iter().filter(|it| service.is_empty() || it.name() == service);
    let mut sources: Vec<_> = asked
        .filter_map(|service| Some(source(service.name(), service.view().source.as_deref()?)))
        .collect();
    sources.sort_by(|a, b| a.service.cmp(&b.service));
    proto::ListSourcesResponse { sources }
}

fn source(service: &str, source: &Subscription) -> proto::Source {
    let SourceStatus { up, endpoints, updates, errors, last_success, last_error, held } =
        source.status();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    proto::Source {
        service: service.into(),
        kind: source.kind().into(),
        place: source.discover().source.place(),
        up,
        backends: count(endpoints),
        held_backends: count(held),
        updates,
        errors,
        last_success_seconds: last_success.map(age),
        last_error_seconds: last_error.as_ref().map(|(at, _)| age(*at)),
        last_error: last_error.map(|(_, error)| error.to_string()).unwrap_or_default(),
    }
}

/// How many seconds ago.
fn age(at: SystemTime) -> f64 {
    clock::wall().duration_since(at).unwrap_or_default().as_secs_f64()
}
