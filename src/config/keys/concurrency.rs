//! Limits of the requests in flight, and who shares them.

use std::time::Duration;

use super::texts::NONEMPTY;
use super::{MINUTE, MS};
use crate::balance::{cookie_name, header_name, parameter_name};
use crate::model::CallerKey;
use crate::service::{LearningMode, Refusal};
use crate::text::keys::{
    Absent, Form, Key, Part, Setting, Shape, Short, Word, duration, number, section, word,
};

impl Word for LearningMode {
    const WORDS: &'static [(&'static str, LearningMode)] = &[
        ("off", LearningMode::Off),
        ("observe", LearningMode::Observe),
        ("adaptive", LearningMode::Adaptive),
    ];
}

impl Word for Refusal {
    const WORDS: &'static [(&'static str, Refusal)] = &[
        ("resource_exhausted", Refusal::ResourceExhausted),
        ("unavailable", Refusal::Unavailable),
    ];
}

/// What callers are told apart by without naming a part of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerIs {
    /// Its certificate, else its address.
    Client,
    /// Its address.
    SourceAddress,
}

impl Word for CallerIs {
    const WORDS: &'static [(&'static str, CallerIs)] =
        &[("client", CallerIs::Client), ("source_address", CallerIs::SourceAddress)];
}

impl From<CallerIs> for CallerKey {
    fn from(caller: CallerIs) -> CallerKey {
        match caller {
            CallerIs::Client => CallerKey::Client,
            CallerIs::SourceAddress => CallerKey::SourceAddress,
        }
    }
}

const LIMITS: std::ops::RangeInclusive<u64> = 1..=1_000_000;

/// A caller's weight.
pub const WEIGHT: Form<u32> = number(1..=1000);

section! {
    /// How many requests of a service may be in flight.
    pub static CONCURRENCY: ConcurrencyKeys = "services.*.concurrency", short Short::Key("mode");

    mode: Setting<LearningMode> = word(), LearningMode::Observe,
        "`adaptive`: the limit of calls in flight is learnt from how long they take; `observe`: it is learnt and \
         shown, and what it would refuse is counted, in `equipoise_would_refuse_total`; `off`: nothing is learnt. A limit below that is \
         set by hand holds beside it";
    max_requests: Key<u32> = number(LIMITS), Absent::Words("no limit"),
        "calls in flight, of the whole process";
    per_endpoint: Key<u32> = number(LIMITS), Absent::Words("no limit"),
        "calls in flight at one backend; a call that one has no room for goes to another";
    max_streams: Key<u32> = number(LIMITS), Absent::Words("no limit"),
        "open streams, of the whole process; one more is refused at once";
    queue: Key<u32> = number(0..=1_000_000), Absent::Words("100; 10000 where the limit is learnt"),
        "calls that may wait until others have ended, of the whole process; more are refused at once. \
         So is who cannot be served within `queue_timeout`, or before its deadline, by what calls take now";
    queue_timeout: Key<Duration> = duration(MS..=MINUTE), Absent::Words("50ms; 500ms where the limit is learnt"),
        "how long a call may wait. Where the limit is learnt that is in a burst, and in a lasting overload 10 ms";
    key: Part = Shape::Mapping(&CALLER), Absent::Words("`client`"),
        "who shares: callers with another key get their [fair share](operating.md#overload) of what can be \
         served, however much others send";
    weights: Part = Shape::NamedValues(&NONEMPTY, WEIGHT.kind), Absent::Nothing,
        "by the value of `key`: shares of callers that are to have more than others, which have 1";
    refuse_with: Setting<Refusal> = word(), Refusal::ResourceExhausted,
        "what refused calls are answered: RESOURCE_EXHAUSTED and 429, or UNAVAILABLE and 503";
}

section! {
    /// What callers are told apart by: one of these.
    pub static CALLER: CallerKeys = "services.*.concurrency.key", short Short::Key("by");

    by: Setting<CallerIs> = word(), CallerIs::Client,
        "`client`: whom its certificate is for, by the first URI or DNS name, or, without one, its address; \
         `source_address`: its address, also where it has a certificate";
    header: Key<Box<str>> = header_name(), Absent::Nothing,
        "the first header of this name. On listeners with profile `edge` trusted proxies alone may say so, as \
         with the two below; who has none is told apart by its address";
    cookie: Key<Box<str>> = cookie_name(), Absent::Nothing,
        "the first cookie of this name";
    query: Key<Box<str>> = parameter_name(), Absent::Nothing,
        "the first parameter of this name, as it stands in the URL";
}

section! {
    /// How many requests of a route are let through.
    pub static RATE_LIMIT: RateLimitKeys = "routes[].rate_limit";

    per_second: Key<u32> = number(1..=1_000_000), Absent::Required("add `per_second: 100`"),
        "requests a second, of the whole process";
    burst: Key<u32> = number(1..=10_000_000), Absent::Words("as many as in a second"),
        "requests that may come at once after a pause";
    key: Part = Shape::Mapping(&CALLER), Absent::Words("all together"),
        "each has a limit of its own, by this, which is written as the key of \
         [`concurrency`](#servicesconcurrency). 100000 keys are told apart at a time";
}
