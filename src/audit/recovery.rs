//! Reads the end of an audit: which changes have no result.

use std::collections::BTreeMap;

use super::entry::{Entry, Event, ReadEntry};
use crate::overrides::Store;

/// What an earlier process has left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Changes without a result, by their number.
    open: BTreeMap<u64, ReadEntry>,
    /// Those that are told as not made: a store that could not be sure may have them all the same.
    failed: BTreeMap<u64, ReadEntry>,
    /// The highest number of a change.
    pub sequence: u64,
}

/// Reads lines; what is none is skipped: it is for people to judge.
pub(super) fn read(content: &[u8]) -> Left {
    let mut left = Left::default();
    for line in content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(entry) = serde_json::from_slice::<ReadEntry>(line) else { continue };
        let Some(sequence) = entry.sequence else { continue };
        left.sequence = left.sequence.max(sequence);
        match entry.event {
            Event::Intent => _ = left.open.insert(sequence, entry),
            Event::Failed => {
                left.open.remove(&sequence);
                left.failed.insert(sequence, entry);
            }
            Event::Done | Event::Recovered => {
                left.open.remove(&sequence);
                left.failed.remove(&sequence);
            }
            _ => {}
        }
    }
    left
}

impl Left {
    /// What became of them, as lines. What is about no service and no route is kept by no store.
    pub fn results(&self, store: &dyn Store) -> Vec<Entry> {
        let result = |(sequence, intent): (&u64, &ReadEntry)| {
            let revision = intent.revision.unwrap_or_default();
            let kept = match intent.subject() {
                Some(subject) => store.holds(&subject, *sequence, Some(revision)),
                None => Some(false),
            };
            Entry::recovered(intent, kept)
        };
        let mut results: Vec<Entry> = self.open.iter().map(result).collect();
        results.extend(self.failed.iter().filter_map(|(sequence, failed)| {
            // Its revision may be that of a later change: only the number tells.
            let kept = store.holds(&failed.subject()?, *sequence, None);
            kept.filter(|kept| *kept).map(|kept| Entry::recovered(failed, Some(kept)))
        }));
        results
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::overrides::{ChangeRecord, Kept, Memory, Subject};

    #[test]
    fn what_has_no_result_is_found_among_whatever_lines() {
        let text = "tail of a line\"}\n\
            {\"event\":\"intent\",\"sequence\":1,\"service\":\"orders\",\"revision\":2}\n\
            {\"event\":\"done\",\"sequence\":1}\n\
            {\"event\":\"intent\",\"sequence\":2,\"service\":\"orders\",\"revision\":3}\n\
            {\"event\":\"intent\",\"sequence\":3,\"route\":\"canary\",\"revision\":2}\n\
            {\"event\":\"failed\",\"sequence\":3}\n\
            \u{0}\u{0}\n\
            {\"event\":\"refused\",\"sequence\":9,\"service\":\"orders\"}\n\
            {\"event\":\"intent\",\"sequence\":5,\"change\":\"set the level of the log\"}\n\
            {\"event\":\"intent\",\"sequence\":6,\"torn";
        let left = read(text.as_bytes());
        assert_eq!(left.open.keys().copied().collect::<Vec<_>>(), [2, 5]);
        assert_eq!(left.sequence, 9);
        let lines: Vec<String> = left.results(&Memory).iter().map(Entry::line).collect();
        assert!(lines.iter().all(|line| line.contains("\"kept\":false")), "{lines:?}");
        assert!(lines[0].contains("\"revision\":3"), "{lines:?}");
    }

    /// A store that has kept the changes of these numbers.
    #[derive(Debug)]
    struct Has(&'static [u64]);

    impl Store for Has {
        fn lasts(&self) -> bool {
            true
        }

        fn holds(&self, _: &Subject, sequence: u64, _: Option<u64>) -> Option<bool> {
            Some(self.0.contains(&sequence))
        }

        fn keep(&self, _: Vec<Arc<ChangeRecord>>) -> Kept {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    #[test]
    fn a_change_that_was_told_as_failed_and_is_kept_all_the_same_is_told_once() {
        let text = "{\"event\":\"failed\",\"sequence\":1,\"service\":\"orders\",\"revision\":2}\n\
            {\"event\":\"failed\",\"sequence\":2,\"service\":\"orders\",\"revision\":2}\n\
            {\"event\":\"failed\",\"sequence\":3,\"service\":\"orders\",\"revision\":3}\n\
            {\"event\":\"recovered\",\"sequence\":3,\"kept\":true}\n\
            {\"event\":\"failed\",\"sequence\":4,\"change\":\"set the level of the log\"}\n";
        let results = read(text.as_bytes()).results(&Has(&[2, 3]));
        let lines: Vec<String> = results.iter().map(Entry::line).collect();
        assert!(lines.len() == 1 && lines[0].contains("\"sequence\":2"), "{lines:?}");
        assert!(lines[0].contains("\"kept\":true"), "{lines:?}");
    }
}
