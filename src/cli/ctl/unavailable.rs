//! Backends that get no requests because they are unhealthy, ejected or down: why, and for how long.

use std::time::Duration;

use super::state_name;
use super::table::wrap;
use crate::control::proto::{Backend, BackendState, Service};
use crate::text::units::show_duration;

/// One sentence for each backend, if there are any.
pub(super) fn text(service: &Service, width: usize) -> Option<String> {
    let is_out = |backend: &&Backend| match backend.state() {
        BackendState::Unhealthy | BackendState::Ejected => true,
        BackendState::Draining => backend.state_left_seconds.is_some(),
        BackendState::Connecting => backend.weight > 0 && backend.effective_weight == 0,
        _ => false,
    };
    let lines = service.backends.iter().filter(is_out).map(|one| wrap(&line(one), width, 4));
    let lines: String = lines.collect();
    (!lines.is_empty()).then_some(lines)
}

/// A time in whole seconds.
pub(super) fn whole(seconds: f64) -> String {
    show_duration(Duration::from_secs(seconds as u64))
}

fn line(backend: &Backend) -> String {
    let Backend { address, state_reason, .. } = backend;
    let state = state_name(backend.state());
    let time = backend.state_seconds.map(whole).unwrap_or_default();
    let left = backend.state_left_seconds.map(|seconds| whole(seconds.ceil()));
    let serves = match (backend.effective_weight, left, backend.state()) {
        (_, Some(left), BackendState::Draining) => format!("; what is left is cut off in {left}"),
        (0, Some(left), _) => format!("; on trial in {left}"),
        (0, None, _) | (_, None, BackendState::Ejected) => String::new(),
        _ => " (so many are out that it gets requests)".into(),
    };
    format!("{address} {state} for {time}: {state_reason}{serves}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unavailable_backends_have_a_line() {
        let backend = |address: &str, state: BackendState, effective_weight| Backend {
            address: address.into(),
            state: state.into(),
            state_reason: "HTTP 503".into(),
            state_seconds: Some(75.4),
            effective_weight,
            ..Backend::default()
        };
        let of = |backends| text(&Service { backends, ..Service::default() }, 100);
        assert_eq!(of(vec![backend("a:1", BackendState::Draining, 0)]), None);
        let limited = Backend {
            state_reason: "drained".into(),
            state_left_seconds: Some(29.5),
            ..backend("a:1", BackendState::Draining, 0)
        };
        let told = "a:1 DRAINING for 75s: drained; what is left is cut off in 30s\n";
        assert_eq!(of(vec![limited]).as_deref(), Some(told));
        let ill = backend("b:1", BackendState::Unhealthy, 0);
        let needed = backend("c:1", BackendState::Unhealthy, 3);
        let left = |left, state_reason: &str, weight| Backend {
            state_reason: state_reason.into(),
            state_left_seconds: left,
            ..backend("d:1", BackendState::Ejected, weight)
        };
        let cases = [
            (left(Some(0.7), "5 faults in a row", 0), "5 faults in a row; on trial in 1s"),
            (
                left(Some(0.7), "5 faults in a row", 1),
                "5 faults in a row (so many are out that it gets requests)",
            ),
            (left(None, "on trial after 5 faults in a row", 1), "on trial after 5 faults in a row"),
        ];
        for (backend, told) in cases {
            assert_eq!(of(vec![backend]), Some(format!("d:1 EJECTED for 75s: {told}\n")));
        }
        let down = |effective_weight| Backend {
            weight: 1,
            state_reason: "connection lost".into(),
            ..backend("e:1", BackendState::Connecting, effective_weight)
        };
        assert_eq!(of(vec![down(1)]), None);
        let told = Some("e:1 CONNECTING for 75s: connection lost\n".to_owned());
        assert_eq!(of(vec![down(0)]), told);
        let lines = "b:1 UNHEALTHY for 75s: HTTP 503\n\
                     c:1 UNHEALTHY for 75s: HTTP 503 (so many are out that it gets requests)\n";
        assert_eq!(of(vec![ill, needed]).as_deref(), Some(lines));
    }
}
