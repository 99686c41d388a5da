//! Whether a peer that owes an answer is frozen: when to ask, and when that has shown. Over given
//! times, by values alone.

use std::time::Duration;

use crate::model::Time;

/// A peer from which nothing has come for so long, though it owes an answer, may be frozen.
pub const QUIET: Duration = Duration::from_millis(500);

/// A peer that is alive answers a PING within this.
pub const ANSWERS: Duration = Duration::from_millis(100);

/// Where this thread is so late, what the peer has said may not have been read yet.
pub const LATE: Duration = Duration::from_millis(20);

/// Since when nothing has come from a peer.
#[derive(Clone, Copy, Debug)]
pub struct Quiet {
    /// When something last came.
    pub last_received: Time,
    /// When the first request was sent after that, to a peer that owed nothing else.
    owed: Time,
}

impl Quiet {
    pub const fn new(now: Time) -> Quiet {
        Quiet { last_received: now, owed: Time::ZERO }
    }

    /// An answer is owed, after a time in which none was.
    pub fn note_owed(&mut self, now: Time) {
        if self.owed <= self.last_received {
            self.owed = now;
        }
    }

    /// Since when an answer is owed and nothing has come.
    pub fn since(&self) -> Time {
        self.owed.max(self.last_received)
    }
}

/// What the quiet of a peer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Wait,
    /// Who waits for its answers is to say whether that is long for them.
    Look,
    /// It was asked whether it is alive, and has not answered.
    Frozen,
}

/// Watches the quiet of one peer.
#[derive(Debug)]
pub struct Watch {
    /// From when on the quiet counts, if that is later than it began.
    base: Time,
    /// When those who wait were last to look.
    looked: Time,
    /// When the peer was asked, and when it is to have answered.
    asked: Option<(Time, Time)>,
}

impl Watch {
    pub const fn new() -> Watch {
        Watch { base: Time::ZERO, looked: Time::ZERO, asked: None }
    }

    /// When to look next, while an answer is owed.
    pub fn due(&self, quiet: &Quiet, busy: bool) -> Option<Time> {
        if let Some((_, until)) = self.unanswered(quiet) {
            return Some(until);
        }
        // The longer it lasts, the more seldom: streams may be silent for days.
        let since = self.since(quiet);
        busy.then(|| since + QUIET.max(self.looked.since(since).mul_f64(1.25)))
    }

    /// Since when the quiet counts.
    pub fn since(&self, quiet: &Quiet) -> Time {
        quiet.since().max(self.base)
    }

    /// What the quiet comes to, at `now`, when it is time to look.
    pub fn judge(&mut self, quiet: &Quiet, now: Time) -> Verdict {
        let Some((asked, until)) = self.unanswered(quiet) else {
            (self.asked, self.looked) = (None, now);
            return Verdict::Look;
        };
        if now.since(until) > LATE {
            self.asked = Some((asked, now + LATE));
            return Verdict::Wait;
        }
        (self.asked, self.looked) = (None, now);
        Verdict::Frozen
    }

    /// Somebody waits for longer than is usual: it is asked, and has so long to answer. Whether it
    /// is not being asked already.
    pub fn ask(&mut self, quiet: &Quiet, patience: Duration, now: Time) -> bool {
        let new = self.unanswered(quiet).is_none();
        if new {
            self.asked = Some((now, now + patience));
        }
        new
    }

    /// Something came from the peer on another connection, at `last_received`.
    pub fn note_received_elsewhere(&mut self, last_received: Time) {
        (self.base, self.looked) = (self.base.max(last_received), last_received);
    }

    /// Another request is sent to a peer that is quiet already: for that one the quiet begins now.
    pub fn renew(&mut self, now: Time) {
        if self.base <= self.looked {
            self.base = now;
        }
    }

    fn unanswered(&self, quiet: &Quiet) -> Option<(Time, Time)> {
        self.asked.filter(|(asked, _)| quiet.last_received <= *asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_frozen_peer_shows_within_six_tenths_of_a_second() {
        let (mut quiet, mut watch) = (Quiet::new(at(0)), Watch::new());
        assert_eq!(watch.due(&quiet, false), None, "it owes nothing");
        quiet.note_owed(at(1000));
        assert_eq!(watch.due(&quiet, true), Some(at(1500)));
        assert_eq!(watch.judge(&quiet, at(1500)), Verdict::Look);
        assert!(watch.ask(&quiet, ANSWERS, at(1500)));
        assert!(!watch.ask(&quiet, ANSWERS, at(1550)), "it is being asked");
        assert_eq!(watch.due(&quiet, true), Some(at(1600)));
        assert_eq!(watch.due(&quiet, false), Some(at(1600)), "its answer is still owed");
        assert_eq!(watch.judge(&quiet, at(1601)), Verdict::Frozen);
    }

    #[test]
    fn whatever_comes_is_an_answer() {
        let (mut quiet, mut watch) = (Quiet::new(at(0)), Watch::new());
        quiet.note_owed(at(0));
        watch.judge(&quiet, at(500));
        watch.ask(&quiet, ANSWERS, at(500));
        quiet.last_received = at(501);
        assert_eq!(watch.due(&quiet, true), Some(at(1001)));
        assert_eq!(watch.judge(&quiet, at(1001)), Verdict::Look);
        watch.note_received_elsewhere(at(900));
        assert_eq!(watch.due(&quiet, true), Some(at(1400)));
    }

    #[test]
    fn who_is_late_reads_first() {
        let (mut quiet, mut watch) = (Quiet::new(at(0)), Watch::new());
        quiet.note_owed(at(0));
        watch.ask(&quiet, ANSWERS, at(500));
        assert_eq!(watch.judge(&quiet, at(700)), Verdict::Wait);
        assert_eq!(watch.due(&quiet, true), Some(at(720)));
        assert_eq!(watch.judge(&quiet, at(720)), Verdict::Frozen);
    }

    #[test]
    fn what_is_silent_for_long_is_looked_at_seldom_and_anew_for_each_that_joins() {
        let (quiet, mut watch) = (Quiet::new(at(0)), Watch::new());
        let mut looks = 0;
        while let Some(due) = watch.due(&quiet, true).filter(|due| *due < at(24 * 3_600_000)) {
            assert_eq!(watch.judge(&quiet, due), Verdict::Look);
            looks += 1;
        }
        assert!(looks < 60, "{looks} in a day");
        let late = at(24 * 3_600_000);
        watch.renew(late);
        watch.renew(late + QUIET);
        assert_eq!(watch.due(&quiet, true), Some(late + QUIET), "the first of them counts");
    }
}
