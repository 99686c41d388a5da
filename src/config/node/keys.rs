//! The keys of mappings.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;

use super::{Entry, Node, Value};
use crate::config::report::{Problems, Span};

const HELP_MERGE: &str = "write the keys out; a whole value may stand in several places: `limits: &tight { … }` \
                          here, `limits: *tight` there";

/// The text of a key, as it stands.
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

/// What a merge key would bring is read none the less, so that nothing is said to be missing.
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

/// Keeps the first of each key.
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
