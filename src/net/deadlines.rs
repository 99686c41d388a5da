//! All timeouts of a connection, in one table, computed from its state.

use std::time::Duration;

use crate::http::Limits;
use crate::model::Time;

/// How long a client has to acknowledge the GOAWAY's PING.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Interval of liveness checks for a half-closed client.
const LIVENESS_INTERVAL: Duration = Duration::from_millis(250);

/// Idle time after which a connection frees memory.
pub(super) const SHRINK_AFTER: Duration = Duration::from_millis(500);

/// The state that the deadlines of an open connection are computed from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DeadlineInputs {
    pub opened: Time,
    /// The preface and SETTINGS exchange is complete.
    pub introduced: bool,
    /// When the unfinished frame or header block began.
    pub unfinished: Option<Time>,
    /// When the socket stopped accepting output.
    pub stalled: Option<Time>,
    /// Time of the last liveness check, if the peer is half-closed.
    pub last_liveness_check: Option<Time>,
    /// When the last stream ended, if none is open.
    pub idle: Option<Time>,
    /// Idle memory has been freed.
    pub shrunk: bool,
    /// Exempt from the idle timeout.
    pub kept: bool,
    /// When it reaches its maximum age.
    pub expires: Option<Time>,
    /// When the graceful shutdown began.
    pub leaving: Option<Time>,
    /// The final GOAWAY is sent.
    pub left: bool,
    /// When the reset budget next recovers, if resets are delayed.
    pub cancels: Option<Time>,
    /// When keepalive next acts.
    pub keepalive: Option<Time>,
    /// When the freeze detector next judges.
    pub freeze_check: Option<Time>,
}

/// When each timeout of a connection expires, if it applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deadlines {
    /// For the preface, the first SETTINGS and the acknowledgement of ours.
    pub preface: Option<Time>,
    /// For the rest of a frame or header block.
    pub frame: Option<Time>,
    /// For the peer to read some of the pending output.
    pub write_stall: Option<Time>,
    /// Next liveness check of a half-closed peer.
    pub look: Option<Time>,
    /// End of the lingering close.
    pub linger: Option<Time>,
    /// Idle timeout.
    pub idle: Option<Time>,
    /// To free idle memory.
    pub shrink: Option<Time>,
    /// Maximum age.
    pub age: Option<Time>,
    /// To send the final GOAWAY, whether or not the PING was acknowledged.
    pub leave: Option<Time>,
    /// To send delayed RST_STREAMs.
    pub cancel: Option<Time>,
    /// Keepalive: to send a PING, or for its answer.
    pub keepalive: Option<Time>,
    /// To check whether a backend is frozen.
    pub freeze_check: Option<Time>,
}

impl Deadlines {
    /// Those of an open connection.
    pub fn new(inputs: &DeadlineInputs, limits: &Limits) -> Deadlines {
        let after = |since: Option<Time>, time| since.map(|since| since + time);
        let stays = inputs.leaving.is_some() || inputs.left;
        Deadlines {
            preface: (!inputs.introduced).then_some(inputs.opened + limits.preface_timeout),
            frame: after(inputs.unfinished, limits.frame_timeout),
            write_stall: after(inputs.stalled, limits.write_stall_timeout),
            look: after(inputs.last_liveness_check, LIVENESS_INTERVAL),
            linger: None,
            idle: after(inputs.idle, limits.idle_timeout).filter(|_| !inputs.kept && !stays),
            shrink: after(inputs.idle, SHRINK_AFTER).filter(|_| !inputs.shrunk),
            age: inputs.expires.filter(|_| !stays),
            leave: after(inputs.leaving, LEAVE_TIMEOUT).filter(|_| !inputs.left),
            cancel: inputs.cancels,
            keepalive: inputs.keepalive,
            freeze_check: inputs.freeze_check,
        }
    }

    /// Those of a lingering close.
    pub fn lingering(until: Time) -> Deadlines {
        Deadlines { linger: Some(until), ..Deadlines::default() }
    }

    /// The first of them.
    pub fn next_timeout(&self) -> Option<Time> {
        let Deadlines { preface, frame, write_stall, look, linger, .. } = *self;
        let Deadlines { idle, shrink, age, leave, cancel, keepalive, freeze_check, .. } = *self;
        let peer = [preface, frame, write_stall, look, linger, keepalive, freeze_check];
        let all = peer.into_iter().chain([idle, shrink, age, leave, cancel]);
        all.flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn limits() -> Limits {
        Limits {
            preface_timeout: Duration::from_secs(5),
            frame_timeout: Duration::from_secs(10),
            write_stall_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(900),
            ..Limits::edge()
        }
    }

    /// A connection with open streams and no timeout pending.
    const BUSY: DeadlineInputs = DeadlineInputs {
        opened: Time::ZERO,
        introduced: true,
        unfinished: None,
        stalled: None,
        last_liveness_check: None,
        idle: None,
        shrunk: false,
        kept: false,
        expires: None,
        leaving: None,
        left: false,
        cancels: None,
        keepalive: None,
        freeze_check: None,
    };

    #[test]
    fn each_fact_has_its_deadline() {
        let (now, never) = (Some(at(100)), Deadlines::default());
        let cases = [
            (BUSY, never),
            (
                DeadlineInputs { opened: at(100), introduced: false, ..BUSY },
                Deadlines { preface: Some(at(105)), ..never },
            ),
            (
                DeadlineInputs { unfinished: now, ..BUSY },
                Deadlines { frame: Some(at(110)), ..never },
            ),
            (
                DeadlineInputs { stalled: now, ..BUSY },
                Deadlines { write_stall: Some(at(130)), ..never },
            ),
            (
                DeadlineInputs { last_liveness_check: now, ..BUSY },
                Deadlines { look: now.map(|now| now + LIVENESS_INTERVAL), ..never },
            ),
            (
                DeadlineInputs { idle: now, ..BUSY },
                Deadlines { idle: Some(at(1000)), shrink: Some(at(100) + SHRINK_AFTER), ..never },
            ),
            (
                DeadlineInputs { idle: now, shrunk: true, ..BUSY },
                Deadlines { idle: Some(at(1000)), ..never },
            ),
            (DeadlineInputs { idle: now, shrunk: true, kept: true, ..BUSY }, never),
            (DeadlineInputs { expires: now, ..BUSY }, Deadlines { age: now, ..never }),
            (DeadlineInputs { leaving: now, ..BUSY }, Deadlines { leave: Some(at(101)), ..never }),
            (
                DeadlineInputs { leaving: now, idle: now, shrunk: true, expires: now, ..BUSY },
                Deadlines { leave: Some(at(101)), ..never },
            ),
            (DeadlineInputs { leaving: now, left: true, ..BUSY }, never),
            (DeadlineInputs { cancels: now, ..BUSY }, Deadlines { cancel: now, ..never }),
            (DeadlineInputs { keepalive: now, ..BUSY }, Deadlines { keepalive: now, ..never }),
            (
                DeadlineInputs { freeze_check: now, ..BUSY },
                Deadlines { freeze_check: now, ..never },
            ),
        ];
        for (inputs, deadlines) in cases {
            assert_eq!(Deadlines::new(&inputs, &limits()), deadlines, "{inputs:?}");
        }
    }

    #[test]
    fn the_first_is_the_next() {
        assert_eq!(Deadlines::new(&BUSY, &limits()).next_timeout(), None);
        let one = Some(at(1));
        let never = Deadlines::default();
        let each = [
            Deadlines { preface: one, ..never },
            Deadlines { frame: one, ..never },
            Deadlines { write_stall: one, ..never },
            Deadlines { look: one, ..never },
            Deadlines { linger: one, ..never },
            Deadlines { idle: one, ..never },
            Deadlines { shrink: one, ..never },
            Deadlines { age: one, ..never },
            Deadlines { leave: one, ..never },
            Deadlines { cancel: one, ..never },
            Deadlines { keepalive: one, ..never },
            Deadlines { freeze_check: one, ..never },
        ];
        for deadlines in each {
            assert_eq!(deadlines.next_timeout(), one, "{deadlines:?}");
            let later = Deadlines { idle: deadlines.idle.or(Some(at(2))), ..deadlines };
            assert_eq!(later.next_timeout(), one, "{later:?}");
        }
        let idle = DeadlineInputs { idle: Some(at(7)), expires: Some(at(8)), ..BUSY };
        assert_eq!(Deadlines::new(&idle, &limits()).next_timeout(), Some(at(7) + SHRINK_AFTER));
    }
}
