//! Rejected requests that reached no service.

use super::names;
use super::page::{Page, Value};
use crate::model::{RejectReason, RejectTotals};

/// Writes requests without a route, and those on routes without a service. Reasons that can occur
/// without a route are exported from 0 on.
pub(super) fn write(
    page: &mut Page,
    unrouted: impl Fn(RejectReason) -> u64,
    by_route: &[(Box<str>, RejectTotals)],
) {
    for &reason in RejectReason::ALL {
        let count = unrouted(reason);
        if count > 0 || reason.precedes_routes() {
            number(page, "", reason, count);
        }
    }
    for (route, totals) in by_route {
        for (reason, count) in RejectReason::ALL.iter().zip(totals).filter(|(_, count)| **count > 0)
        {
            number(page, route, *reason, *count);
        }
    }
}

fn number(page: &mut Page, route: &str, reason: RejectReason, count: u64) {
    let labels = page.labels(&names::REJECTED, &["", route]);
    page.number(&names::REJECTED, &labels, &[reason.name()], Value::Whole(count));
}
