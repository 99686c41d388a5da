//! When backends are ejected for what they answer.

use super::keys::EJECTION;
use super::node::Node;
use super::read::Fields;
use super::report::Problems;
use crate::service::Ejection;

/// Reads `ejection` of a service, which may be off.
pub fn read(node: &Node, problems: &Problems) -> Option<Ejection> {
    let fields = Fields::of(node, &EJECTION, problems);
    let on = fields.value(&EJECTION.enabled);
    let ejection = Ejection {
        consecutive: fields.value(&EJECTION.consecutive),
        success_ratio: fields.value(&EJECTION.success_ratio),
        latency_factor: fields.value(&EJECTION.latency_factor),
        min_requests: fields.value(&EJECTION.min_requests),
        time: fields.value(&EJECTION.time),
        max_time: fields.value(&EJECTION.max_time),
        max_ejected: fields.value(&EJECTION.max_ejected),
    };
    if ejection.max_time < ejection.time {
        let at = fields.get(&EJECTION.time).map_or(node.span, |time| time.span);
        let help = "write a `max_time` that is as long at least; it is 1m by default";
        problems.error(at, "`time` is longer than `max_time`", help);
    }
    fields.finish();
    on.then_some(ejection)
}
