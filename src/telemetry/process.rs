//! Metrics of the process's own health: dropped log lines, panics, unexpected task ends,
//! certificate expiry; and what the system says of it.

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

/// What the system says of the process.
pub(super) fn write_system(page: &mut Page) {
    page.gauge(&names::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1);
    let process = metrics_process::collector::collect();
    if let Some(seconds) = process.cpu_seconds_total {
        page.fractional_counter(&names::PROCESS_CPU, seconds);
    }
    let gauges = [
        (&names::PROCESS_RESIDENT, process.resident_memory_bytes),
        (&names::PROCESS_OPEN_FDS, process.open_fds),
        (&names::PROCESS_MAX_FDS, process.max_fds),
        (&names::PROCESS_THREADS, process.threads),
        (&names::PROCESS_START, process.start_time_seconds),
    ];
    for (metric, value) in gauges {
        if let Some(value) = value {
            page.gauge(metric, &[], value as f64);
        }
    }
}
