//! What the process says of its own health: what was lost of the log, and what should never be.

use super::log::{self, Dropped};
use super::names;
use super::page::Page;

pub(super) fn write(page: &mut Page) {
    let Dropped { full, unwritable } = log::dropped();
    page.counter(&names::LOG_DROPPED, &["full"], full);
    page.counter(&names::LOG_DROPPED, &["unwritable"], unwritable);
    page.counter(&names::PANICS, &[], log::panics());
}
