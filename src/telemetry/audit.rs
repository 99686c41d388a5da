//! How the audit does.

use super::names;
use super::page::Page;

/// How an audit does.
#[derive(Clone, Debug)]
pub struct AuditSample {
    /// Failures so far, by what has failed.
    pub failures: Vec<(&'static str, u64)>,
    /// Whether the last lines could be written.
    pub up: bool,
}

/// Writes the metrics of the audit, if there is one.
pub(super) fn write(page: &mut Page, audit: Option<AuditSample>) {
    let Some(AuditSample { failures, up }) = audit else { return };
    page.gauge(&names::AUDIT_UP, &[], u8::from(up));
    for (what, count) in failures {
        page.counter(&names::AUDIT_FAILURES, &[what], count);
    }
}
