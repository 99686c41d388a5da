//! Metrics of the process's own health: dropped log lines, panics, unexpected task ends,
//! certificate expiry.

use super::export::MetricsSource;
use super::log::{self, Dropped};
use super::names;
use super::page::Page;
use crate::model::Certificate;
use crate::tasks::Task;

pub(super) fn write(page: &mut Page, source: &dyn MetricsSource) {
    let Dropped { full, unwritable } = log::dropped();
    page.counter(&names::LOG_DROPPED, &["full"], full);
    page.counter(&names::LOG_DROPPED, &["unwritable"], unwritable);
    page.counter(&names::PANICS, &[], log::panics());
    for task in Task::ALL {
        page.counter(&names::TASKS_ENDED, &[task.name()], source.ended(task));
    }
    for certificate in source.certificates().iter() {
        let Certificate { file, subject, not_after, .. } = certificate;
        page.gauge(&names::CERTIFICATE_EXPIRY, &[file, subject], *not_after as f64);
    }
}
