//! What the control API has refused.

use super::names;
use super::page::Page;

/// Writes what was refused, by reason.
pub(super) fn write(page: &mut Page, refused: Vec<(&'static str, u64)>) {
    for (reason, count) in refused {
        page.counter(&names::CONTROL_REFUSED, &[reason], count);
    }
}
