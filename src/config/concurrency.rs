//! Reads the limits of requests in flight.

use super::keys::{CALLER, CONCURRENCY, WEIGHT};
use super::node::{Node, Value};
use super::read::{Fields, scalar, unfit};
use super::report::Problems;
use crate::model::CallerKey;
use crate::service::{Concurrency, LearningMode};

/// The key of balancers that is refused here.
const UNVERIFIED: &str = "jwt_claim";

/// Reads `concurrency` of a service; `None` if nothing is limited or learnt.
pub fn read(node: &Node, problems: &Problems) -> Option<Concurrency> {
    let fields = Fields::of(node, &CONCURRENCY, problems);
    let learning = fields.value(&CONCURRENCY.mode);
    let (queue, queue_timeout) = match learning {
        LearningMode::Adaptive => (Concurrency::LEARNED_QUEUE, Concurrency::LEARNED_QUEUE_TIMEOUT),
        LearningMode::Off | LearningMode::Observe => {
            (Concurrency::QUEUE, Concurrency::QUEUE_TIMEOUT)
        }
    };
    let concurrency = Concurrency {
        learning,
        max_requests: fields.optional(&CONCURRENCY.max_requests),
        per_endpoint: fields.optional(&CONCURRENCY.per_endpoint),
        max_streams: fields.optional(&CONCURRENCY.max_streams),
        queue: fields.optional(&CONCURRENCY.queue).unwrap_or(queue),
        queue_timeout: fields.optional(&CONCURRENCY.queue_timeout).unwrap_or(queue_timeout),
        caller: match fields.get(&CONCURRENCY.key) {
            Some(node) => caller(node, problems),
            None => CallerKey::Client,
        },
        weights: fields
            .get(&CONCURRENCY.weights)
            .map_or(Box::default(), |it| weights(it, problems)),
        refusal: fields.value(&CONCURRENCY.refuse_with),
    };
    if !concurrency.is_limited()
        && concurrency != (Concurrency { learning, ..Concurrency::observing() })
    {
        let help = "add `max_requests: 1000`, `per_endpoint: 100` or `mode: adaptive`";
        problems.warn(node.span, "nothing is limited", help);
    }
    fields.finish();
    (concurrency.is_limited() || learning != LearningMode::Off).then_some(concurrency)
}

/// Reads what callers are told apart by.
pub fn caller(node: &Node, problems: &Problems) -> CallerKey {
    let fields = Fields::of(node, &CALLER, problems);
    let given = [
        fields.has(&CALLER.by).then(|| fields.value(&CALLER.by).into()),
        fields.optional(&CALLER.header).map(CallerKey::Header),
        fields.optional(&CALLER.cookie).map(CallerKey::Cookie),
        fields.optional(&CALLER.query).map(CallerKey::Query),
    ];
    if let Some(entry) = fields.rest().find(|entry| &*entry.key == UNVERIFIED) {
        let message =
            "a claim is no caller: tokens are not verified, so anybody could forge another's";
        let help = "write `client`, which is the client's certificate, or a header that a trusted proxy sets";
        problems.error(entry.span, message, help);
    }
    let mut given = given.into_iter().flatten();
    let caller = given.next();
    if given.next().is_some() {
        problems.error(node.span, "callers are told apart by one thing", "keep one of the keys");
    }
    fields.finish_but(&[UNVERIFIED]);
    caller.unwrap_or(CallerKey::Client)
}

/// Reads weights by the callers' keys, sorted.
fn weights(node: &Node, problems: &Problems) -> Box<[(Box<str>, u32)]> {
    let Value::Map(entries) = &node.value else {
        unfit(node, "a mapping from callers to weights is wanted", "write { gold: 4 }", problems);
        return Box::default();
    };
    for entry in entries.iter().filter(|entry| entry.key.is_empty()) {
        problems.error(entry.span, "a caller without a name has no weight of its own", "name it");
    }
    let read = entries.iter().filter_map(|entry| {
        Some(((&*entry.key).into(), scalar(&entry.value, problems, |text| WEIGHT.read(text))?))
    });
    let mut weights: Vec<(Box<str>, u32)> = read.collect();
    weights.sort();
    weights.into()
}
