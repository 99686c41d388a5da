//! Retries, hedging, and the budget of both.

use std::time::Duration;

use super::texts::{HEDGE_DELAY, METHOD, RATIO, RETRY_ON};
use super::{HOUR, MINUTE, MS};
use crate::config::retry::{hedge_delay, ratio, show_ratio};
use crate::config::service::method;
use crate::route::{HedgeDelay, RetryOn};
use crate::service::RetryBudgetSettings;
use crate::text::keys::{
    Absent, Form, Key, List, Many, Part, Setting, Shape, duration, number, section, size, text,
};

const fn methods() -> Form<String> {
    text(&METHOD, method, Clone::clone)
}

section! {
    /// Retries of a route.
    pub static RETRY: RetryKeys = "routes[].retry";

    attempts: Setting<u32> = number(1..=8), 3, "at most, the first included, for retries and hedging together";
    on: List<RetryOn> = text(&RETRY_ON, RetryOn::parse, ToString::to_string), Many::Some,
        Absent::value("[ unavailable, connect, reset ]"),
        "which failures: gRPC codes in small letters, in trailers alone or after a head without messages, \
         `unavailable` also as the gateway itself answers; statuses `500` to `599`; `connect`; `reset`, which is a \
         stream or connection that ends before a head; `timeout`, of one attempt";
    per_attempt_timeout: Key<Duration> = duration(MS..=HOUR), Absent::Words("none"),
        "how long an attempt may take to its response head once the request is whole; then it is UNAVAILABLE";
    backoff: Part = Shape::Mapping(&BACKOFF), Absent::Nothing, "the pauses between attempts";
    buffer: Setting<usize> = size(0..=16 << 20), 64 << 10,
        "of a request's body that is kept for further attempts; what is longer is not retried";
    hold: Setting<Duration> = duration(Duration::ZERO..=MINUTE), Duration::from_millis(20),
        "how long a head of a gRPC call waits for the first message, as a failure may follow it instead; heads of \
         streams go out at once";
    methods: List<String> = methods(), Many::Some, Absent::Words("all"),
        "the gRPC methods that are retried";
}

section! {
    /// Pauses between attempts.
    pub static BACKOFF: BackoffKeys = "routes[].retry.backoff";

    first: Setting<Duration> = duration(Duration::ZERO..=MINUTE), Duration::from_millis(25),
        "before the first retry at most, and twice as long each time: how long is drawn from all up to that";
    max: Setting<Duration> = duration(Duration::ZERO..=MINUTE), Duration::from_millis(250), "at most";
}

section! {
    /// Hedging of a route.
    pub static HEDGE: HedgeKeys = "routes[].hedge";

    after: Key<HedgeDelay> = text(&HEDGE_DELAY, hedge_delay, ToString::to_string),
        Absent::Required("add `after: p95`, or a duration"),
        "how long an attempt is waited for until the next begins: a duration, or `p95`, which is the method's own \
         of the last 30 s, and never under 100 calls";
    attempts: Setting<u32> = number(2..=5), 2, "at most, the first included";
    methods: List<String> = methods(), Many::Some, Absent::Words("all"),
        "the gRPC methods that are hedged";
}

const BUDGET: RetryBudgetSettings = RetryBudgetSettings::usual();

section! {
    /// How many retries and hedges a service may have.
    pub static RETRY_BUDGET: RetryBudgetKeys = "services.*.retry_budget";

    ratio: Setting<u32> = text(&RATIO, ratio, show_ratio), BUDGET.ratio,
        "so many for each request of the last ten seconds";
    min_per_second: Setting<u32> = number(0..=1_000_000), BUDGET.min_per_second,
        "ten times so many in ten seconds, if that is more; of the whole process";
}
