//! Keepalive of a connection to a backend: when a PING is sent, within what gRPC servers permit, and
//! when the connection is dead. Over given times, by values alone.

use std::time::Duration;

use super::quiet::Quiet;
use crate::model::Time;

/// PINGs that may follow the last HEADERS or DATA at once.
const BURST: u32 = 2;

/// Servers permit a PING every five minutes; the rest is for clocks that differ.
const PACE: Duration = Duration::from_secs(310);

/// The longest interval to which it is doubled.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

/// When a backend that owes an answer is sent PINGs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// How long nothing has come before one is sent.
    pub interval: Duration,
    /// How long its answer may take; then the connection is dead.
    pub timeout: Duration,
    /// The least time between PINGs beyond a burst; none where the backends permit as many as the
    /// interval makes.
    pub pace: Option<Duration>,
}

impl Keepalive {
    /// As it is unless told otherwise.
    pub const fn usual() -> Keepalive {
        Keepalive {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            pace: Some(PACE),
        }
    }

    /// The same half as often, for a server that has had too many.
    #[must_use]
    pub fn slowed(self) -> Keepalive {
        let doubled = |time: Duration| time.saturating_mul(2).min(LONGEST.max(time));
        Keepalive { interval: doubled(self.interval), pace: self.pace.map(doubled), ..self }
    }
}

/// PINGs of one connection.
///
/// A gRPC server counts a strike for each PING that comes less than five minutes after the one before,
/// forgets all when it sends HEADERS or DATA, and closes the connection at the third. What it has
/// sent may cross a PING on its way, so one that is not answered yet counts on. The time to the next
/// is counted from the answer, as the server had the PING before it.
#[derive(Debug)]
pub(super) struct Pings {
    settings: Keepalive,
    /// When the one that is not answered yet was sent.
    unanswered: Option<Time>,
    /// PINGs since the last HEADERS or DATA.
    burst: u32,
    /// When the last answer came.
    answered: Time,
    /// When it was last seen that none may be sent yet.
    refused: Time,
}

/// What the silence of a peer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// A PING is due.
    Ping,
    /// The connection is dead.
    Dead,
    /// Nothing yet.
    Wait,
}

impl Pings {
    pub const fn new(settings: Keepalive) -> Pings {
        Pings { settings, unanswered: None, burst: 0, answered: Time::ZERO, refused: Time::ZERO }
    }

    /// How long nothing has come before one is sent.
    pub fn interval(&self) -> Duration {
        self.settings.interval
    }

    /// HEADERS or DATA came.
    pub fn note_message(&mut self) {
        self.burst = u32::from(self.unanswered.is_some());
    }

    /// The answer to a PING came.
    pub fn note_answered(&mut self, now: Time) {
        (self.unanswered, self.answered) = (None, now);
    }

    /// Whether a PING may be sent, which then is.
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

    /// As [`Pings::begin`], for the first after a message alone, so that the other of the budget is
    /// left for keepalive.
    pub fn begin_first(&mut self, now: Time) -> bool {
        self.burst == 0 && self.begin(now)
    }

    /// Whether one is not answered yet.
    pub fn is_unanswered(&self) -> bool {
        self.unanswered.is_some()
    }

    /// When to look at the quiet next: only while an answer is owed, by a call or to a PING.
    pub fn due(&self, quiet: &Quiet, busy: bool) -> Option<Time> {
        match self.unanswered {
            Some(sent) => Some(self.dies(sent, quiet.last_received)),
            None => busy.then(|| quiet.since().max(self.refused) + self.settings.interval),
        }
    }

    /// What the silence comes to when that time has come.
    pub fn judge(&self, last_received: Time, now: Time) -> Silence {
        match self.unanswered {
            Some(sent) if self.dies(sent, last_received) <= now => Silence::Dead,
            None => Silence::Ping,
            Some(_) => Silence::Wait,
        }
    }

    /// When the connection is dead: what has come since a PING was sent is as good as its answer, but
    /// no other is sent before that.
    fn dies(&self, sent: Time, last_received: Time) -> Time {
        let Keepalive { interval, timeout, .. } = self.settings;
        if last_received > sent { last_received + interval + timeout } else { sent + timeout }
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
        Pings::new(Keepalive::usual())
    }

    #[test]
    fn a_silence_is_asked_after_once_an_answer_is_owed() {
        let (mut pings, mut quiet) = (pings(), Quiet::new(at(0)));
        assert_eq!(pings.due(&quiet, false), None);
        quiet.note_owed(at(100));
        assert_eq!(pings.due(&quiet, true), Some(at(110)));
        quiet.note_owed(at(105));
        assert_eq!(pings.due(&quiet, true), Some(at(110)), "it is owed since the first");
        let last_received = |seconds| {
            let mut quiet = quiet;
            quiet.last_received = at(seconds);
            quiet
        };
        assert_eq!(pings.due(&last_received(104), true), Some(at(114)), "something has come");
        assert_eq!(pings.judge(at(0), at(110)), Silence::Ping);
        assert!(pings.begin(at(110)) && !pings.begin(at(110)));
        assert_eq!(pings.due(&quiet, true), Some(at(115)));
        assert_eq!(pings.due(&quiet, false), Some(at(115)), "the PING's answer is still owed");
        assert_eq!(pings.judge(at(0), at(114)), Silence::Wait);
        assert_eq!(pings.judge(at(0), at(115)), Silence::Dead);
        assert_eq!(
            pings.due(&last_received(112), true),
            Some(at(127)),
            "it was alive later than that"
        );
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
                if pings.due(&Quiet::new(last_received), true).is_some_and(|due| due <= at(second))
                    && pings.begin(at(second))
                {
                    pings.note_answered(at(second));
                    (last_received, sent) = (at(second), [sent, vec![second]].concat());
                }
            }
            sent
        }
        assert_eq!(sent(Keepalive::usual(), &[]), [10, 20, 330, 640, 950, 1260, 1570]);
        assert_eq!(sent(Keepalive::usual(), &[335]), [10, 20, 330, 345, 355, 665, 975, 1285, 1595]);
        let slowed = Keepalive::usual().slowed();
        assert_eq!(sent(slowed, &[]), [20, 40, 660, 1280]);
        let permitted = Keepalive { pace: None, ..Keepalive::usual() };
        assert_eq!(sent(permitted, &[]).len(), 179);
        let hours = Keepalive { interval: 2 * LONGEST, ..permitted };
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
        /// Whatever comes, and however long it is under way, a server counts one strike at most; at
        /// the third it would close the connection.
        #[test]
        fn no_server_counts_two_strikes(
            steps in prop::collection::vec((0u64..40_000, 0u8..8, 0u64..3000), 1..300),
        ) {
            let (mut pings, mut server) = (pings(), Server::default());
            // What is under way, in order: when it arrives, and whether it is a PING or its answer.
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
                    let due = pings.due(&Quiet::new(last_received), true).is_some_and(|due| due <= time);
                    let asked = what == 7 && pings.begin_first(time);
                    if asked || (due && pings.judge(last_received, time) == Silence::Ping && pings.begin(time)) {
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
