//! A line of the log for each request, at `debug`. Where it is not wanted it costs a look at the
//! level.

use std::cell::RefCell;
use std::time::Duration;

use tracing::Level;

use super::fields;
use super::reject::Failure;
use crate::http2::{Headers, Name};
use crate::model::Code;

/// What the lines are called in filters of the log: `equipoise::request=debug`.
const TARGET: &str = "equipoise::request";

/// What is known of a request by its end; nothing where no line is wanted.
pub struct RequestLine(Option<Box<RefCell<Parts>>>);

/// What of it is not known is left out.
#[derive(Default)]
struct Parts {
    method: String,
    host: String,
    path: String,
    route: Option<String>,
    service: Option<String>,
    backend: Option<String>,
    code: Option<Code>,
    why: Option<&'static str>,
}

impl RequestLine {
    /// The line of a request with this head.
    pub fn of(head: &Headers) -> RequestLine {
        RequestLine(tracing::enabled!(target: TARGET, Level::DEBUG).then(|| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Box::new(RefCell::new(Parts {
                method: text(head.get(Name::Method).unwrap_or_default()),
                host: text(fields::authority(head)),
                path: text(head.get(Name::Path).unwrap_or_default()),
                ..Parts::default()
            }))
        }))
    }

    fn note(&self, change: impl FnOnce(&mut Parts)) {
        if let Some(parts) = &self.0 {
            change(&mut parts.borrow_mut());
        }
    }

    /// It takes the route of this name.
    pub fn took<'n>(&self, route: impl FnOnce() -> Option<&'n str>) {
        self.note(|parts| parts.route = route().map(Into::into));
    }

    /// It goes to this service.
    pub fn is_for(&self, service: &str) {
        self.note(|parts| parts.service = Some(service.into()));
    }

    /// A backend had it, and it ended so.
    pub fn ended(&self, backend: &str, code: Code) {
        self.note(|parts| {
            parts.backend = Some(backend.into());
            parts.code = Some(code);
        });
    }

    /// The gateway itself has answered it.
    pub fn failed(&self, failure: Failure, grpc: bool) {
        self.note(|parts| {
            parts.code = Some(failure.code(grpc));
            parts.why = Some(failure.words());
        });
    }

    /// Writes it: the request is over.
    pub fn write(&self, took: Duration) {
        let Some(parts) = &self.0 else { return };
        let Parts { method, host, path, route, service, backend, code, why } = &*parts.borrow();
        let code = code.map(tracing::field::display);
        tracing::debug!(
            target: TARGET,
            method, host, path, route, service, backend, code, why,
            seconds = took.as_secs_f64(),
            "request"
        );
    }
}
