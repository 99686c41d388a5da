//! Reads the end of an audit: which changes have no result.

use std::collections::BTreeMap;

use super::entry::{Entry, Event, ReadEntry};
use crate::overrides::Store;

/// What an earlier process has left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Changes without a result, by their number.
    open: BTreeMap<u64, ReadEntry>,
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
            Event::Done | Event::Failed | Event::Recovered => _ = left.open.remove(&sequence),
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
                Some(subject) => store.holds(&subject, *sequence, revision),
                None => Some(false),
            };
            Entry::recovered(intent, kept)
        };
        self.open.iter().map(result).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overrides::Memory;

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
}
