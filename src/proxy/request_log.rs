//! Request log: one line per request, at `debug`. Costs one level check when disabled.

use std::time::Duration;

use tracing::Level;

use super::exchange::{Destination, Outcome};
use super::failure::Failure;
use super::fields;
use crate::http::{Headers, Name};
use crate::telemetry::log::REQUEST;

/// Log target, for filters such as `equipoise::request=debug`.
const TARGET: &str = REQUEST;

/// The logged parts of a request head; `None` when disabled.
pub struct RequestLog(Option<Box<Parts>>);

struct Parts {
    method: String,
    host: String,
    path: String,
}

impl RequestLog {
    /// Captures the head.
    pub fn of(head: &Headers) -> RequestLog {
        RequestLog(tracing::enabled!(target: TARGET, Level::DEBUG).then(|| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Box::new(Parts {
                method: text(head.get(Name::Method).unwrap_or_default()),
                host: text(fields::authority(head)),
                path: text(without_query(head.get(Name::Path).unwrap_or_default())),
            })
        }))
    }

    /// Logs the ended request, leaving out what is unknown.
    pub fn write(
        &self,
        destination: Option<&Destination>,
        backend: Option<&str>,
        outcome: &Outcome,
        took: Duration,
    ) {
        let Some(parts) = &self.0 else { return };
        let Parts { method, host, path } = &**parts;
        let route =
            destination.and_then(Destination::rejections).map(|rejections| rejections.route());
        let service = destination.and_then(Destination::worker_service);
        let service = service.map(|service| service.service().name());
        let code = outcome.code;
        let why = outcome.failure.map(Failure::message);
        tracing::debug!(
            target: TARGET,
            method, host, path, route, service, backend, %code, why,
            seconds = took.as_secs_f64(),
            "request"
        );
    }
}

/// Drops the query, as queries may contain secrets.
fn without_query(path: &[u8]) -> &[u8] {
    path.split(|byte| *byte == b'?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::without_query;

    #[test]
    fn queries_are_left_out() {
        assert_eq!(without_query(b"/nosuch?token=secret?x"), b"/nosuch");
        assert_eq!((without_query(b"/a/b"), without_query(b"")), (&b"/a/b"[..], &b""[..]));
    }
}
