//! How the journal of overrides does.

use super::names;
use super::page::Page;

/// How a journal of overrides does.
#[derive(Clone, Debug)]
pub struct JournalSample {
    /// Failures so far, by what has failed.
    pub failures: Vec<(&'static str, u64)>,
    /// Whether changes can be kept.
    pub up: bool,
}

/// Writes the metrics of the journal, if there is one.
pub(super) fn write(page: &mut Page, journal: Option<JournalSample>) {
    let Some(JournalSample { failures, up }) = journal else { return };
    page.gauge(&names::JOURNAL_UP, &[], u8::from(up));
    for (what, count) in failures {
        page.counter(&names::JOURNAL_FAILURES, &[what], count);
    }
}
