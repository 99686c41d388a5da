//! Detects peers that are frozen: they owe answers, send nothing, and do not answer a PING. Pure
//! logic, without I/O or a clock.

use std::time::Duration;

use crate::model::Time;

/// A peer that owes an answer and has sent nothing for this long may be frozen.
pub const SILENCE_TIMEOUT: Duration = Duration::from_millis(500);

/// A peer that is alive answers a PING within this.
pub const PING_TIMEOUT: Duration = Duration::from_millis(100);

/// If this thread runs later than this, the peer's answer may not have been read yet.
pub const LATENESS: Duration = Duration::from_millis(20);

/// Since when a peer has sent nothing.
#[derive(Clone, Copy, Debug)]
pub struct PeerSilence {
    /// When bytes were last received.
    pub last_received: Time,
    /// When the first request after that was sent, if no answer was owed before.
    owed: Time,
}

impl PeerSilence {
    pub const fn new(now: Time) -> PeerSilence {
        PeerSilence { last_received: now, owed: Time::ZERO }
    }

    /// Records that an answer is owed from now on.
    pub fn note_owed(&mut self, now: Time) {
        if self.owed <= self.last_received {
            self.owed = now;
        }
    }

    /// Since when an answer is owed and nothing was received.
    pub fn since(&self) -> Time {
        self.owed.max(self.last_received)
    }
}

/// What a silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezeVerdict {
    /// Nothing yet.
    Wait,
    /// Ask the requests that wait for answers whether they are overdue.
    AskWaiters,
    /// The peer has not answered a PING.
    Frozen,
}

/// The freeze detector of one connection.
#[derive(Debug)]
pub struct FreezeDetector {
    /// The silence counts only from then on.
    base: Time,
    /// When the waiting requests were last asked.
    last_asked: Time,
    /// When the peer was sent a PING, and the deadline of its answer.
    asked: Option<(Time, Time)>,
}

impl FreezeDetector {
    pub const fn new() -> FreezeDetector {
        FreezeDetector { base: Time::ZERO, last_asked: Time::ZERO, asked: None }
    }

    /// When to judge next, while an answer is owed.
    pub fn due(&self, silence: &PeerSilence, busy: bool) -> Option<Time> {
        if let Some((_, until)) = self.unanswered(silence) {
            return Some(until);
        }
        // The interval grows with the silence, as streams may be silent for days.
        let since = self.since(silence);
        busy.then(|| since + SILENCE_TIMEOUT.max(self.last_asked.since(since).mul_f64(1.25)))
    }

    /// Since when the silence counts.
    pub fn since(&self, silence: &PeerSilence) -> Time {
        silence.since().max(self.base)
    }

    /// Judges the silence; to be called when that is due.
    pub fn judge(&mut self, silence: &PeerSilence, now: Time) -> FreezeVerdict {
        let Some((asked, until)) = self.unanswered(silence) else {
            (self.asked, self.last_asked) = (None, now);
            return FreezeVerdict::AskWaiters;
        };
        if now.since(until) > LATENESS {
            self.asked = Some((asked, now + LATENESS));
            return FreezeVerdict::Wait;
        }
        (self.asked, self.last_asked) = (None, now);
        FreezeVerdict::Frozen
    }

    /// A request is overdue: expects an answer to a PING within `patience`. Returns whether that is
    /// new.
    pub fn ask(&mut self, silence: &PeerSilence, patience: Duration, now: Time) -> bool {
        let new = self.unanswered(silence).is_none();
        if new {
            self.asked = Some((now, now + patience));
        }
        new
    }

    /// Records that the peer sent something on another connection.
    pub fn note_received_elsewhere(&mut self, last_received: Time) {
        (self.base, self.last_asked) = (self.base.max(last_received), last_received);
    }

    /// Another request is sent to a silent peer: for that one the silence begins now.
    pub fn renew(&mut self, now: Time) {
        if self.base <= self.last_asked {
            self.base = now;
        }
    }

    fn unanswered(&self, silence: &PeerSilence) -> Option<(Time, Time)> {
        self.asked.filter(|(asked, _)| silence.last_received <= *asked)
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
        let (mut silence, mut detector) = (PeerSilence::new(at(0)), FreezeDetector::new());
        assert_eq!(detector.due(&silence, false), None, "it owes nothing");
        silence.note_owed(at(1000));
        assert_eq!(detector.due(&silence, true), Some(at(1500)));
        assert_eq!(detector.judge(&silence, at(1500)), FreezeVerdict::AskWaiters);
        assert!(detector.ask(&silence, PING_TIMEOUT, at(1500)));
        assert!(!detector.ask(&silence, PING_TIMEOUT, at(1550)), "it is being asked");
        assert_eq!(detector.due(&silence, true), Some(at(1600)));
        assert_eq!(detector.due(&silence, false), Some(at(1600)), "its answer is still owed");
        assert_eq!(detector.judge(&silence, at(1601)), FreezeVerdict::Frozen);
    }

    #[test]
    fn whatever_comes_is_an_answer() {
        let (mut silence, mut detector) = (PeerSilence::new(at(0)), FreezeDetector::new());
        silence.note_owed(at(0));
        detector.judge(&silence, at(500));
        detector.ask(&silence, PING_TIMEOUT, at(500));
        silence.last_received = at(501);
        assert_eq!(detector.due(&silence, true), Some(at(1001)));
        assert_eq!(detector.judge(&silence, at(1001)), FreezeVerdict::AskWaiters);
        detector.note_received_elsewhere(at(900));
        assert_eq!(detector.due(&silence, true), Some(at(1400)));
    }

    #[test]
    fn a_late_thread_reads_before_it_judges() {
        let (mut silence, mut detector) = (PeerSilence::new(at(0)), FreezeDetector::new());
        silence.note_owed(at(0));
        detector.ask(&silence, PING_TIMEOUT, at(500));
        assert_eq!(detector.judge(&silence, at(700)), FreezeVerdict::Wait);
        assert_eq!(detector.due(&silence, true), Some(at(720)));
        assert_eq!(detector.judge(&silence, at(720)), FreezeVerdict::Frozen);
    }

    #[test]
    fn long_silences_are_judged_seldom_and_new_requests_restart_them() {
        let (silence, mut detector) = (PeerSilence::new(at(0)), FreezeDetector::new());
        let mut looks = 0;
        while let Some(due) = detector.due(&silence, true).filter(|due| *due < at(24 * 3_600_000)) {
            assert_eq!(detector.judge(&silence, due), FreezeVerdict::AskWaiters);
            looks += 1;
        }
        assert!(looks < 60, "{looks} in a day");
        let late = at(24 * 3_600_000);
        detector.renew(late);
        detector.renew(late + SILENCE_TIMEOUT);
        assert_eq!(
            detector.due(&silence, true),
            Some(late + SILENCE_TIMEOUT),
            "the first of them counts"
        );
    }
}
