//! Checks of mapping keys.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;

use super::{Entry, Node, Value};
use crate::config::report::{Problems, Span};

const HELP_MERGE: &str = "write the keys out; a whole value may stand in several places: `limits: &tight { … }` \
                          here, `limits: *tight` there";

/// The literal text of a key.
pub fn key_text(node: Node, problems: &Problems) -> Option<Arc<str>> {
    let Value::Scalar(text) = node.value else {
        problems.error(node.span, "a key has to be text", "write it as `key: value`");
        return None;
    };
    if text.contains("${") {
        let message = "variables are put into values, not into keys";
        problems.error(node.span, message, "write the key itself");
    }
    Some(text.into())
}

/// Refuses merge keys, but merges them, so that nothing is reported missing as a consequence.
pub fn refuse_merges(entries: &mut Vec<Entry>, problems: &Problems) {
    for merge in entries.extract_if(.., |entry| &*entry.key == "<<").collect::<Vec<_>>() {
        let message = "merge keys (`<<`) are not understood here";
        problems.error(merge.span, message, HELP_MERGE);
        let sources = match merge.value.value {
            Value::Seq(items) => items,
            _ => vec![merge.value],
        };
        for source in sources {
            let Value::Map(brought) = source.value else { continue };
            for entry in brought {
                if entries.iter().all(|known| known.key != entry.key) {
                    entries.push(entry);
                }
            }
        }
    }
}

/// Refuses duplicate keys, keeping the first.
pub fn refuse_duplicates(entries: &mut Vec<Entry>, problems: &Problems) {
    let mut seen: HashMap<&str, Span> = HashMap::with_capacity(entries.len());
    let mut again = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match seen.entry(&entry.key) {
            MapEntry::Vacant(free) => {
                free.insert(entry.span);
            }
            MapEntry::Occupied(first) => {
                let message = format!("`{}` is given twice", entry.key);
                problems.error_again(entry.span, message, *first.get());
                again.push(index);
            }
        }
    }
    for index in again.into_iter().rev() {
        entries.remove(index);
    }
}
