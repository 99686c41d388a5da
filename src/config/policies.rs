//! Reads the policies of a route, and warns of settings that have no effect beside others.

use std::sync::Arc;
use std::time::Duration;

use super::concurrency;
use super::keys::{HEDGE, RATE_LIMIT, RETRY, ROUTE};
use super::node::Node;
use super::read::Fields;
use super::report::Problems;
use super::retry;
use crate::admission::{RateLimit, RateLimitSettings};
use crate::route::{Filters, HedgeDelay, HedgePolicy, Policies};
use crate::text::keys::Row;
use crate::text::units::show_duration;

/// Reads the policies of the route with these `fields`.
pub fn read(fields: &Fields<'_>, filters: Filters, problems: &Problems) -> Policies {
    let policies = Policies {
        filters: (!filters.is_empty()).then_some(filters),
        timeout: fields.optional(&ROUTE.timeout),
        max_timeout: fields.optional(&ROUTE.max_timeout),
        retry: fields.get(&ROUTE.retry).map(|node| retry::retry(node, problems)),
        hedge: fields.get(&ROUTE.hedge).and_then(|node| retry::hedge(node, problems)),
        rate_limit: fields.get(&ROUTE.rate_limit).and_then(|node| rate_limit(node, problems)),
        allowed_clients: fields.list(&ROUTE.allowed_clients).into(),
    };
    warn_of_late_attempts(&policies, fields, problems);
    warn_of_few_attempts(&policies, fields, problems);
    policies
}

fn rate_limit(node: &Node, problems: &Problems) -> Option<Arc<RateLimit>> {
    let mut fields = Fields::of(node, &RATE_LIMIT, problems);
    fields.require(&RATE_LIMIT.per_second, "add `per_second: 100`");
    let per_second = fields.optional(&RATE_LIMIT.per_second);
    let burst = fields.optional(&RATE_LIMIT.burst);
    let key = fields.get(&RATE_LIMIT.key).map(|node| concurrency::caller(node, problems));
    fields.finish();
    let per_second = per_second?;
    let settings = RateLimitSettings { per_second, burst: burst.unwrap_or(per_second), key };
    Some(Arc::new(RateLimit::new(settings)))
}

/// Warns of attempts that would only begin or end when the request's time is over.
fn warn_of_late_attempts(policies: &Policies, fields: &Fields<'_>, problems: &Problems) {
    let Some(timeout) = policies.time_limit() else { return };
    let after = |hedge: &HedgePolicy| match hedge.after {
        HedgeDelay::Fixed(after) => Some(after),
        HedgeDelay::P95 => None,
    };
    let attempt = policies.retry.as_ref().and_then(|retry| retry.per_attempt_timeout);
    let warn = |at: &dyn Row, key: &dyn Row, late: Option<Duration>| {
        if let (Some(node), Some(late)) = (fields.get(at), late.filter(|late| *late >= timeout)) {
            let setting = format!("`{}: {}`", key.name(), show_duration(late));
            let message = format!("{setting} is no less than the request's own time");
            problems.warn(node.span, message, "lower it, or give the route a longer `timeout`");
        }
    };
    warn(&ROUTE.retry, &RETRY.per_attempt_timeout, attempt);
    warn(&ROUTE.hedge, &HEDGE.after, policies.hedge.as_ref().and_then(after));
}

/// Warns if `retry` allows fewer attempts than `hedge`.
fn warn_of_few_attempts(policies: &Policies, fields: &Fields<'_>, problems: &Problems) {
    let (Some(retry), Some(hedge)) = (&policies.retry, &policies.hedge) else { return };
    let Some(node) = fields.get(&ROUTE.hedge).filter(|_| retry.attempts < hedge.attempts) else {
        return;
    };
    let message = format!("`retry` allows {} attempts, hedges included", retry.attempts);
    let key = RETRY.attempts.name();
    problems.warn(node.span, message, format!("raise `{key}` of `retry`, or lower it here"));
}
