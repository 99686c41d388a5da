//! Reads `discover` of a service.

use std::sync::Arc;

use super::etcd;
use super::files::Files;
use super::keys::{DISCOVER, DISCOVER_DNS, DISCOVER_FILE};
use super::kubernetes;
use super::node::{Node, Value};
use super::read::Fields;
use super::report::Problems;
use crate::discovery::{Discover, DnsSettings, FileSettings, SOURCES, Settings};
use crate::text::keys::Row;

/// Reads the settings of a source.
type Read = fn(&Node, &Files, &Problems) -> Option<Arc<dyn Settings>>;

/// The key of each kind of source, and its reader.
static READERS: &[(&dyn Row, Read)] = &[
    (&DISCOVER.file, file),
    (&DISCOVER.dns, dns),
    (&DISCOVER.etcd, etcd::read),
    (&DISCOVER.kubernetes, kubernetes::read),
];

/// Reads `discover` of a service.
pub fn read(node: &Node, files: &Files, problems: &Problems) -> Option<Discover> {
    let fields = Fields::of(node, &DISCOVER, problems);
    let sources: Vec<_> = READERS
        .iter()
        .filter_map(|(key, read)| Some((*key, read(fields.get(*key)?, files, problems))))
        .collect();
    let keep_empty_for = fields.value(&DISCOVER.keep_empty_for);
    let allow_empty = fields.value(&DISCOVER.allow_empty);
    let initial_timeout = fields.value(&DISCOVER.initial_timeout);
    fields.finish();
    let [(key, source)] = &*sources else {
        if matches!(node.value, Value::Map(_)) {
            let help = format!("write one of {}", names());
            problems.error(node.span, "a service is discovered by exactly one source", help);
        }
        return None;
    };
    let kind = SOURCES.iter().find(|kind| kind.name == key.name());
    if let Some(why) = kind.and_then(|kind| kind.experimental) {
        let message = format!("the source `{}` is experimental: {why}", key.name());
        problems.warn(node.span, message, "try it out before you rely on it");
    }
    let source = source.clone()?;
    Some(Discover { source, keep_empty_for, allow_empty, initial_timeout })
}

fn names() -> String {
    let names: Vec<String> = SOURCES.iter().map(|kind| format!("`{}`", kind.name)).collect();
    names.join(", ")
}

fn file(node: &Node, files: &Files, problems: &Problems) -> Option<Arc<dyn Settings>> {
    let fields = Fields::of(node, &DISCOVER_FILE, problems);
    let path = fields.optional(&DISCOVER_FILE.path);
    fields.finish();
    let path = files.locate(path?.to_str()?);
    Some(Arc::new(FileSettings { path }))
}

fn dns(node: &Node, _: &Files, problems: &Problems) -> Option<Arc<dyn Settings>> {
    let fields = Fields::of(node, &DISCOVER_DNS, problems);
    let before = problems.count();
    let (names, srv) = (fields.list(&DISCOVER_DNS.names), fields.list(&DISCOVER_DNS.srv));
    let given = [fields.has(&DISCOVER_DNS.names), fields.has(&DISCOVER_DNS.srv)];
    fields.finish();
    if matches!(node.value, Value::Map(_)) && given == [false, false] {
        let help = "add `names: [ orders.example:50051 ]` or `srv: [ _grpc._tcp.orders.example ]`";
        problems.error(node.span, "`dns` has neither `names` nor `srv`", help);
    }
    (problems.count() == before).then(|| Arc::new(DnsSettings { names, srv }) as Arc<dyn Settings>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_a_key_and_a_reader() {
        let keys: Vec<_> = READERS.iter().map(|(key, _)| key.name()).collect();
        let kinds: Vec<_> = SOURCES.iter().map(|kind| kind.name).collect();
        assert_eq!(keys, kinds);
    }
}
