//! What waits to be written, and what is owed to the file after a failure.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::budget::Budgets;
use super::counters::{AuditCounters, AuditFailure};
use super::entry::Entry;
use crate::clock::{Clock, LogThrottle};
use crate::model::Time;

/// Lines that are kept after a failure until they can be written; further ones are given up.
const MAX_OWED: usize = 1024;
/// Interval at which that is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Interval at which failures are logged.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// Why lines cannot be written.
pub(super) type Written = Result<(), String>;

/// What is told of changes whose callers have not waited for their intent.
const TOO_LATE: &str = "the audit was written too late: the change was refused before";

/// What lines are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Changes that are about to be made.
    Intent,
    /// What became of them, or whatever nobody waits for.
    Other,
}

/// Lines to be written together.
#[derive(Debug)]
pub(super) struct Request {
    pub purpose: Purpose,
    pub entries: Vec<Entry>,
    /// Told whether they are written, and in strict mode on the disk.
    pub answer: Option<oneshot::Sender<Written>>,
}

impl Request {
    /// Turns the intents of whoever has given up into changes that are not made.
    fn lapse(&mut self) {
        let is_closed = self.answer.as_ref().is_some_and(|answer| answer.is_closed());
        if self.purpose == Purpose::Intent && is_closed {
            self.purpose = Purpose::Other;
            let failed = |entry: Entry| entry.failed(TOO_LATE);
            self.entries = std::mem::take(&mut self.entries).into_iter().map(failed).collect();
        }
    }

    /// Answers, and returns what the file is owed then.
    fn settle(self, written: &Written, strict: bool) -> Vec<Entry> {
        let Request { purpose, entries, answer } = self;
        let heard = answer.is_none_or(|answer| answer.send(written.clone()).is_ok());
        let failed = |why: &str| entries.iter().map(|it| it.clone().failed(why)).collect();
        match (written, purpose) {
            (Ok(()), Purpose::Intent) if strict && !heard => failed(TOO_LATE),
            (Ok(()), _) => Vec::new(),
            (Err(why), Purpose::Intent) if strict => failed(why),
            (Err(_), _) => entries,
        }
    }
}

/// What waits to be written.
#[derive(Debug)]
pub(super) struct Inbox {
    pub requests: mpsc::Receiver<Request>,
    /// What could not be written before.
    owed: Vec<Entry>,
    retry_at: Option<Time>,
    budgets: Budgets,
    throttle: LogThrottle,
    clock: Clock,
}

impl Inbox {
    pub fn new(requests: mpsc::Receiver<Request>, clock: Clock) -> Inbox {
        Inbox {
            requests,
            owed: Vec::new(),
            retry_at: None,
            budgets: Budgets::new(clock.now()),
            throttle: LogThrottle::every(WARN_INTERVAL, clock),
            clock,
        }
    }

    /// When there is something to write that nobody asks for.
    pub fn due(&self) -> Option<Time> {
        self.retry_at.into_iter().chain(self.budgets.due()).min()
    }

    /// The lines of a batch, with those that are owed. Refusals beyond their budget have none.
    pub fn lines(
        &mut self,
        batch: &mut [Request],
        strict: bool,
        counters: &AuditCounters,
    ) -> String {
        let now = self.clock.now();
        self.owed.append(&mut self.budgets.tell(now));
        let mut lines: String = self.owed.iter().map(Entry::line).collect();
        for request in batch {
            if strict {
                request.lapse();
            }
            request.entries.retain(|entry| self.budgets.admits(entry, now, counters));
            lines.extend(request.entries.iter().map(Entry::line));
        }
        lines
    }

    /// Answers whoever waits for a batch, and keeps what could not be written.
    pub fn settle(
        &mut self,
        batch: Vec<Request>,
        written: &Written,
        strict: bool,
        counters: &AuditCounters,
    ) {
        let now = self.clock.now();
        self.retry_at = match written {
            Ok(()) => {
                self.owed.clear();
                Some(now) // for whoever has given up meanwhile
            }
            Err(_) => Some(now + RETRY_INTERVAL),
        };
        for request in batch {
            for entry in request.settle(written, strict) {
                match self.owed.len() < MAX_OWED {
                    true => self.owed.push(entry),
                    false => counters.count(AuditFailure::Lost),
                }
            }
        }
        self.retry_at = self.retry_at.filter(|_| !self.owed.is_empty());
        counters.set_up(written.is_ok());
        if let Err(error) = written {
            counters.count(AuditFailure::Write);
            if self.throttle.is_due() {
                let owed = self.owed.len();
                tracing::error!(error, strict, owed, "the audit cannot be written");
            }
        }
    }
}
