//! When silent backends are asked whether they are alive.

use super::keys::KEEPALIVE;
use super::node::Node;
use super::read::Fields;
use super::report::Problems;
use crate::net::Keepalive;

/// Reads `keepalive` of a service.
pub fn read(node: &Node, problems: &Problems) -> Keepalive {
    let fields = Fields::of(node, &KEEPALIVE, problems);
    let permitted = fields.value(&KEEPALIVE.permitted);
    let keepalive = Keepalive {
        interval: fields.value(&KEEPALIVE.interval),
        timeout: fields.value(&KEEPALIVE.timeout),
        pace: Keepalive::defaults().pace.filter(|_| !permitted),
    };
    fields.finish();
    keepalive
}
