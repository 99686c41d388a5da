//! Keepalive of a connection to a backend: when to send a PING, within what gRPC servers permit, and
//! when the connection is dead. Pure logic, without I/O or a clock.

use std::time::Duration;

use super::freeze_detector::PeerSilence;
use crate::model::Time;

/// PINGs that may follow the last HEADERS or DATA without pacing.
const BURST: u32 = 2;

/// gRPC servers permit a PING every five minutes; 10 s more allow for clocks that differ.
const DEFAULT_PACE: Duration = Duration::from_secs(310);

/// The interval is doubled up to this.
const MAX_INTERVAL: Duration = Duration::from_secs(2 * 3600);

/// Keepalive settings; a backend is sent PINGs only while it owes an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// A PING is sent after this long without input.
    pub interval: Duration,
    /// The connection is dead if the answer takes longer.
    pub timeout: Duration,
    /// Minimum time between PINGs beyond a burst; `None` if the backends permit any number.
    pub pace: Option<Duration>,
}

impl Keepalive {
    /// The defaults of the configuration.
    pub const fn defaults() -> Keepalive {
        Keepalive {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            pace: Some(DEFAULT_PACE),
        }
    }

    /// Half as often, for a server that has complained of too many PINGs.
    #[must_use]
    pub fn slowed(self) -> Keepalive {
        let doubled = |time: Duration| time.saturating_mul(2).min(MAX_INTERVAL.max(time));
        Keepalive { interval: doubled(self.interval), pace: self.pace.map(doubled), ..self }
    }
}

/// PINGs of one connection.
///
/// A gRPC server counts a strike for each PING that comes less than five minutes after the previous
/// one, clears them when it sends HEADERS or DATA, and closes the connection at the third. Those may
/// cross a PING on the wire, so an unanswered PING keeps counting. The pace is measured from the
/// answer, since the server received the PING before it.
#[derive(Debug)]
pub(super) struct Pings {
    settings: Keepalive,
    /// When the unanswered PING was sent.
    unanswered: Option<Time>,
    /// PINGs since the last HEADERS or DATA.
    burst: u32,
    /// When the last answer was received.
    answered: Time,
    /// When a PING was last due but not permitted.
    refused: Time,
}

/// What keepalive does about a silent peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepaliveAction {
    /// Send a PING.
    Ping,
    /// Close the connection: it is dead.
    Dead,
    /// Nothing yet.
    Wait,
}

impl Pings {
    pub const fn new(settings: Keepalive) -> Pings {
        Pings { settings, unanswered: None, burst: 0, answered: Time::ZERO, refused: Time::ZERO }
    }

    /// A PING is sent after this long without input.
    pub fn interval(&self) -> Duration {
        self.settings.interval
    }

    /// Records that HEADERS or DATA were received.
    pub fn note_message(&mut self) {
        self.burst = u32::from(self.unanswered.is_some());
    }

    /// Records the answer to a PING.
    pub fn note_answered(&mut self, now: Time) {
        (self.unanswered, self.answered) = (None, now);
    }

    /// Whether a PING may be sent; if so, the caller must send it.
    pub fn begin(&mut self, now: Time) -> bool {
        let paced = |pace| self.burst < BURST || self.answered + pace <= now;
        let may = self.unanswered.is_none() && self.settings.pace.is_none_or(paced);
        if may {
            self.burst = self.burst.saturating_add(1);
            self.unanswered = Some(now);
        } else {
            self.refused = now;
        }
        may
    }

    /// As [`Pings::begin`], but only for the first PING after a message: the second of the burst is left
    /// for keepalive.
    pub fn begin_first(&mut self, now: Time) -> bool {
        self.burst == 0 && self.begin(now)
    }

    /// Whether a PING is unanswered.
    pub fn is_unanswered(&self) -> bool {
        self.unanswered.is_some()
    }

    /// When to judge the silence next: only while an answer is owed, by a call or to a PING.
    pub fn due(&self, silence: &PeerSilence, busy: bool) -> Option<Time> {
        match self.unanswered {
            Some(sent) => Some(self.dead_at(sent, silence)),
            None => busy.then(|| silence.since().max(self.refused) + self.settings.interval),
        }
    }

    /// What to do when that is due.
    pub fn judge(&self, silence: &PeerSilence, now: Time) -> KeepaliveAction {
        match self.unanswered {
            Some(sent) if self.dead_at(sent, silence) <= now => KeepaliveAction::Dead,
            None => KeepaliveAction::Ping,
            Some(_) => KeepaliveAction::Wait,
        }
    }

    /// When the connection is dead. Any input after a PING proves that the peer was alive then, and
    /// extends the deadline; a PING that was sent early, to see whether the peer is frozen, does not
    /// shorten it.
    fn dead_at(&self, sent: Time, silence: &PeerSilence) -> Time {
        let Keepalive { interval, timeout, .. } = self.settings;
        (silence.since() + interval).max(sent) + timeout
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn pings() -> Pings {
        Pings::new(Keepalive::defaults())
    }

    #[test]
    fn a_silence_is_asked_after_once_an_answer_is_owed() {
        let (mut pings, mut silence) = (pings(), PeerSilence::new(at(0)));
        assert_eq!(pings.due(&silence, false), None);
        silence.note_owed(at(100));
        assert_eq!(pings.due(&silence, true), Some(at(110)));
        silence.note_owed(at(105));
        assert_eq!(pings.due(&silence, true), Some(at(110)), "it is owed since the first");
        let last_received = |seconds| {
            let mut silence = silence;
            silence.last_received = at(seconds);
            silence
        };
        assert_eq!(pings.due(&last_received(104), true), Some(at(114)), "something has come");
        assert_eq!(pings.judge(&silence, at(110)), KeepaliveAction::Ping);
        assert!(pings.begin(at(110)) && !pings.begin(at(110)));
        assert_eq!(pings.due(&silence, true), Some(at(115)));
        assert_eq!(pings.due(&silence, false), Some(at(115)), "the PING's answer is still owed");
        assert_eq!(pings.judge(&silence, at(114)), KeepaliveAction::Wait);
        assert_eq!(pings.judge(&silence, at(115)), KeepaliveAction::Dead);
        assert_eq!(
            pings.due(&last_received(112), true),
            Some(at(127)),
            "it was alive later than that"
        );
        let early = {
            let mut pings = self::pings();
            assert!(pings.begin_first(at(101)));
            pings
        };
        assert_eq!(early.due(&silence, true), Some(at(115)), "it is no sooner dead for that");
        pings.note_answered(at(112));
        assert_eq!(pings.due(&last_received(112), true), Some(at(122)));
    }

    #[test]
    fn two_follow_a_message_and_more_are_paced() {
        /// The seconds at which a silent peer is sent PINGs in half an hour, each answered at once.
        fn sent(settings: Keepalive, messages: &[u64]) -> Vec<u64> {
            let (mut pings, mut last_received, mut sent) =
                (Pings::new(settings), at(0), Vec::new());
            for second in 1..1800 {
                if messages.contains(&second) {
                    pings.note_message();
                    last_received = at(second);
                }
                if pings
                    .due(&PeerSilence::new(last_received), true)
                    .is_some_and(|due| due <= at(second))
                    && pings.begin(at(second))
                {
                    pings.note_answered(at(second));
                    (last_received, sent) = (at(second), [sent, vec![second]].concat());
                }
            }
            sent
        }
        assert_eq!(sent(Keepalive::defaults(), &[]), [10, 20, 330, 640, 950, 1260, 1570]);
        assert_eq!(
            sent(Keepalive::defaults(), &[335]),
            [10, 20, 330, 345, 355, 665, 975, 1285, 1595]
        );
        let slowed = Keepalive::defaults().slowed();
        assert_eq!(sent(slowed, &[]), [20, 40, 660, 1280]);
        let permitted = Keepalive { pace: None, ..Keepalive::defaults() };
        assert_eq!(sent(permitted, &[]).len(), 179);
        let hours = Keepalive { interval: 2 * MAX_INTERVAL, ..permitted };
        assert_eq!(hours.slowed(), hours);
    }

    #[test]
    fn one_that_crosses_a_message_counts_on() {
        let mut pings = pings();
        assert!(pings.begin_first(at(10)) && pings.is_unanswered());
        pings.note_message();
        pings.note_answered(at(11));
        assert!(!pings.begin_first(at(21)), "the first was before the message");
        assert!(pings.begin(at(21)));
        pings.note_answered(at(22));
        assert!(!pings.begin(at(331)) && pings.begin(at(332)));
    }

    /// A gRPC server, as its ping strikes go.
    #[derive(Default)]
    struct Server {
        last: Option<u64>,
        strikes: u32,
    }

    impl Server {
        fn pinged(&mut self, now: u64) {
            let early = self.last.is_some_and(|last| now < last + 300_000);
            self.strikes += u32::from(early);
            self.last = Some(now);
        }

        fn wrote(&mut self) {
            *self = Server::default();
        }
    }

    proptest! {
        /// For any input and any latency a server counts one strike at most; at the third it would close the
        /// connection.
        #[test]
        fn no_server_counts_two_strikes(
            steps in prop::collection::vec((0u64..40_000, 0u8..8, 0u64..3000), 1..300),
        ) {
            let (mut pings, mut server) = (pings(), Server::default());
            // Frames in flight, in order: time of arrival, and whether it is a PING or its answer.
            let mut there: VecDeque<u64> = VecDeque::new();
            let mut back: VecDeque<(u64, bool)> = VecDeque::new();
            let (mut now, mut last_received) = (0, Time::ZERO);
            for (passed, what, delay) in steps {
                let until = now + passed;
                while now < until {
                    now = (now + 250).min(until);
                    while let Some(at) = there.pop_front_if(|at| *at <= now) {
                        server.pinged(at);
                        let last = back.back().map_or(0, |(at, _)| *at);
                        back.push_back(((at + delay).max(last), true));
                    }
                    while let Some((_, pong)) = back.pop_front_if(|(at, _)| *at <= now) {
                        last_received = Time::from_millis(now);
                        if pong { pings.note_answered(last_received) } else { pings.note_message() }
                    }
                    let time = Time::from_millis(now);
                    let silence = PeerSilence::new(last_received);
                    let due = pings.due(&silence, true).is_some_and(|due| due <= time);
                    let asked = what == 7 && pings.begin_first(time);
                    if asked || (due && pings.judge(&silence, time) == KeepaliveAction::Ping && pings.begin(time)) {
                        there.push_back((now + delay).max(there.back().copied().unwrap_or(0)));
                    }
                    prop_assert!(server.strikes < 2);
                }
                if what == 0 {
                    server.wrote();
                    let last = back.back().map_or(0, |(at, _)| *at);
                    back.push_back(((now + delay).max(last), false));
                }
            }
        }
    }
}
