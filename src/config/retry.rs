//! Reads retries, hedging, and the budget of both.

use super::keys::{BACKOFF, HEDGE, RETRY, RETRY_BUDGET};
use super::node::Node;
use super::read::Fields;
use super::report::Problems;
use crate::route::{Backoff, HedgeDelay, HedgePolicy, RetryOn, RetryPolicy};
use crate::service::RetryBudgetSettings;
use crate::text::units::{self, show_duration};

/// Reads `retry` of a route.
pub fn retry(node: &Node, problems: &Problems) -> RetryPolicy {
    let fields = Fields::of(node, &RETRY, problems);
    let usual = RetryPolicy::usual();
    let on = match fields.has(&RETRY.on) {
        true => fields.list(&RETRY.on).into(),
        false => usual.on,
    };
    let policy = RetryPolicy {
        attempts: fields.value(&RETRY.attempts),
        on,
        per_attempt_timeout: fields.optional(&RETRY.per_attempt_timeout),
        backoff: fields.get(&RETRY.backoff).map_or(usual.backoff, |node| backoff(node, problems)),
        buffer: fields.value(&RETRY.buffer),
        hold: fields.value(&RETRY.hold),
        methods: fields.list(&RETRY.methods).into(),
    };
    if policy.on.contains(&RetryOn::Timeout) && !fields.has(&RETRY.per_attempt_timeout) {
        let help = "add `per_attempt_timeout: 500ms`, or leave `timeout` out";
        problems.warn(node.span, "no attempt has a time-out that could be retried", help);
    }
    fields.finish();
    policy
}

fn backoff(node: &Node, problems: &Problems) -> Backoff {
    let fields = Fields::of(node, &BACKOFF, problems);
    let backoff = Backoff { first: fields.value(&BACKOFF.first), max: fields.value(&BACKOFF.max) };
    if backoff.first > backoff.max {
        let (first, max) = (show_duration(backoff.first), show_duration(backoff.max));
        let message = format!("the first pause, {first}, is cut to `max`, {max}");
        problems.warn(node.span, message, "raise `max`, or lower `first`");
    }
    fields.finish();
    backoff
}

/// Reads `hedge` of a route.
pub fn hedge(node: &Node, problems: &Problems) -> Option<HedgePolicy> {
    let mut fields = Fields::of(node, &HEDGE, problems);
    fields.require(&HEDGE.after, "add `after: p95`, or a duration");
    let after = fields.optional(&HEDGE.after);
    let attempts = fields.value(&HEDGE.attempts);
    let methods = fields.list(&HEDGE.methods).into();
    fields.finish();
    Some(HedgePolicy { after: after?, attempts, methods })
}

/// Reads `retry_budget` of a service.
pub fn budget(node: &Node, problems: &Problems) -> RetryBudgetSettings {
    let fields = Fields::of(node, &RETRY_BUDGET, problems);
    let ratio = fields.value(&RETRY_BUDGET.ratio);
    let min_per_second = fields.value(&RETRY_BUDGET.min_per_second);
    fields.finish();
    RetryBudgetSettings { ratio, min_per_second }
}

/// Parses `p95`, or a duration of 1 ms to 1 min.
///
/// # Errors
/// What is wrong, and how to write it.
pub fn hedge_delay(text: &str) -> Result<HedgeDelay, String> {
    if text == "p95" {
        return Ok(HedgeDelay::P95);
    }
    let delay =
        units::parse_duration(text).ok().filter(|it| (1..=60_000).contains(&it.as_millis()));
    let wrong = || format!("`{text}` is not when to hedge: write `p95`, or 1ms to 1m");
    delay.map(HedgeDelay::Fixed).ok_or_else(wrong)
}

/// Parses a ratio of 0 to 1 in ten-thousandths: `0.2`.
///
/// # Errors
/// If it is no such number, or has more than four decimals.
pub fn ratio(text: &str) -> Result<u32, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let exact = digits(whole) && digits(part) && part.len() <= 4;
    let value = exact.then(|| format!("{whole}{part:0<4}").parse().ok()).flatten();
    value.filter(|value| *value <= 10_000).ok_or_else(|| {
        format!("`{text}` is not a ratio: write 0 to 1 with up to four decimals, such as 0.2")
    })
}

/// Formats ten-thousandths as a ratio.
pub fn show_ratio(ratio: &u32) -> String {
    (f64::from(*ratio) / 10_000.0).to_string()
}
