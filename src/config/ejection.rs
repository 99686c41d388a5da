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
        time: fields.value(&EJECTION.time),
        max_time: fields.value(&EJECTION.max_time),
        max_ejected: fields.value(&EJECTION.max_ejected),
    };
    fields.finish();
    on.then_some(ejection)
}
