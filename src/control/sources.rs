//! ListSources: the sources that services have their backends from.

use std::time::SystemTime;

use super::guard::Permit;
use super::proto;
use crate::clock;
use crate::discovery::{NAME, NameSubscription, SourceStatus};
use crate::service::{Registry, ServiceView};

/// The sources of all services that the caller may see, or of `service` alone, by service: names that are followed come after
/// the source that it has.
pub(super) fn list(
    registry: &Registry,
    permit: &Permit,
    service: &str,
) -> proto::ListSourcesResponse {
    let services = registry.list();
    let asked = services.iter().filter(|it| service.is_empty() || it.name() == service);
    let asked = asked.filter(|it| permit.sees(it.name()));
    let mut sources: Vec<_> = asked.flat_map(|service| sources(&service.view())).collect();
    sources.sort_by(|a, b| a.service.cmp(&b.service)); // stable
    proto::ListSourcesResponse { sources }
}

fn sources(view: &ServiceView) -> Vec<proto::Source> {
    let service = &view.spec.name;
    let source = view.source.iter().map(|source| {
        let place = source.discover().source.place();
        told(service, source.kind(), place, source.status())
    });
    let mut names: Vec<&NameSubscription> = view.names.values().collect();
    names.sort_unstable_by_key(|name| name.host());
    let names = names.into_iter();
    let names = names.map(|name| told(service, NAME, name.host().into(), name.status()));
    source.chain(names).collect()
}

fn told(service: &str, kind: &str, place: String, status: SourceStatus) -> proto::Source {
    let SourceStatus { up, endpoints, updates, errors, last_success, last_error, held } = status;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    proto::Source {
        service: service.into(),
        kind: kind.into(),
        place,
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
