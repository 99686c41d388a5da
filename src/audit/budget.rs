//! How many refusals have a line: whoever floods the gateway must not fill its disk.

use super::counters::{AuditCounters, AuditFailure};
use super::entry::{Entry, Event};
use crate::model::Time;

/// Refusals of one kind that have a line at once, and then in a second: some 50 MB a day.
const BURST: f64 = 200.0;
const PER_SECOND: f64 = 1.0;
/// Interval at which those that have none are counted in a line.
const TOLD_INTERVAL_SECONDS: u64 = 10;

/// Kinds of refusals. A flood of one leaves room for the others: strangers hide nobody.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Of somebody who has not proved who they are.
    Stranger,
    /// Of somebody who may not do it.
    Denied,
    /// Of a change, for what it asks for.
    Refused,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Stranger, Kind::Denied, Kind::Refused];

    fn of(entry: &Entry) -> Option<Kind> {
        match entry.event() {
            Event::Denied if entry.is_of_stranger() => Some(Kind::Stranger),
            Event::Denied => Some(Kind::Denied),
            Event::Refused => Some(Kind::Refused),
            _ => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Kind::Stranger => "calls of whoever had not proved who they are",
            Kind::Denied => "calls of whoever may not make them",
            Kind::Refused => "changes, for what they asked for",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    lines: f64,
    at: Time,
    /// Refusals that have no line and are not counted in one yet.
    untold: u64,
}

/// The budgets, by kind.
#[derive(Debug)]
pub(super) struct Budgets {
    buckets: [Bucket; Kind::ALL.len()],
    tell_at: Option<Time>,
}

impl Budgets {
    /// Full ones.
    pub fn new(now: Time) -> Budgets {
        let full = Bucket { lines: BURST, at: now, untold: 0 };
        Budgets { buckets: [full; Kind::ALL.len()], tell_at: None }
    }

    /// Whether this may have a line.
    pub fn admits(&mut self, entry: &Entry, now: Time, counters: &AuditCounters) -> bool {
        let Some(kind) = Kind::of(entry) else { return true };
        let bucket = &mut self.buckets[kind as usize];
        let more = now.since(bucket.at).as_secs_f64() * PER_SECOND;
        (bucket.lines, bucket.at) = ((bucket.lines + more).min(BURST), now);
        if bucket.lines >= 1.0 {
            bucket.lines -= 1.0;
            return true;
        }
        bucket.untold += 1;
        counters.count(AuditFailure::Suppressed);
        let interval = std::time::Duration::from_secs(TOLD_INTERVAL_SECONDS);
        self.tell_at.get_or_insert(now + interval);
        false
    }

    /// When refusals without a line are to be counted in one.
    pub fn due(&self) -> Option<Time> {
        self.tell_at
    }

    /// The lines that count them, if that is due.
    pub fn tell(&mut self, now: Time) -> Vec<Entry> {
        if self.tell_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.tell_at = None;
        let untold = Kind::ALL.into_iter().filter_map(|kind| {
            let count = std::mem::take(&mut self.buckets[kind as usize].untold);
            (count > 0).then(|| Entry::suppressed(count, kind.words()))
        });
        untold.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::overrides::Author;

    #[test]
    fn a_flood_has_few_lines_hides_nobody_and_is_counted() {
        let (counters, mut now) = (AuditCounters::default(), Time::ZERO);
        let mut budgets = Budgets::new(now);
        let stranger = Entry::by(&Author::from("192.0.2.1:1"), Event::Denied);
        let known = Author { identity: Some("token:ci".into()), ..Author::from("192.0.2.1:1") };
        let denied = Entry::by(&known, Event::Denied);
        let done = Entry::by(&known, Event::Done);
        let admitted = (0..1000).filter(|_| budgets.admits(&stranger, now, &counters)).count();
        assert_eq!(admitted, 200);
        assert!(budgets.admits(&denied, now, &counters) && budgets.admits(&done, now, &counters));
        assert!(budgets.tell(now).is_empty());
        now = now + Duration::from_secs(10);
        assert_eq!(budgets.due(), Some(now));
        let told: Vec<String> = budgets.tell(now).iter().map(Entry::line).collect();
        assert!(told.len() == 1 && told[0].contains("\"count\":800"), "{told:?}");
        assert_eq!((budgets.due(), counters.failures(AuditFailure::Suppressed)), (None, 800));
        let admitted = (0..1000).filter(|_| budgets.admits(&stranger, now, &counters)).count();
        assert_eq!(admitted, 10, "one a second");
    }
}
