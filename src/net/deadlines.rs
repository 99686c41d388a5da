//! What must not take for ever on a connection: all of its deadlines, in one table.

use std::time::Duration;

use crate::http::Limits;
use crate::model::Time;

/// How long a client has to answer that it has heard that it is to go.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked whether a client that has ended its side is still there.
const LOOK: Duration = Duration::from_millis(250);

/// After so long without a stream a connection gives up memory.
pub(super) const SHRINK: Duration = Duration::from_millis(500);

/// What the deadlines of an open connection follow from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub opened: Time,
    /// Each side knows what it may expect of the other.
    pub introduced: bool,
    /// Since when a frame or header block is unfinished.
    pub unfinished: Option<Time>,
    /// Since when the peer takes nothing.
    pub stalled: Option<Time>,
    /// When it was last looked whether a peer is there that sends nothing more.
    pub looked: Option<Time>,
    /// Since when there is no stream.
    pub idle: Option<Time>,
    /// It has given up what memory it can.
    pub shrunk: bool,
    /// It stays however long it is idle.
    pub kept: bool,
    /// When it reaches its age.
    pub expires: Option<Time>,
    /// Since when the peer is asked to go.
    pub leaving: Option<Time>,
    /// It takes no more streams.
    pub left: bool,
    /// When a backend may next be sent resets that it may not be sent yet.
    pub cancels: Option<Time>,
}

/// When what is due on a connection, if it ever is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deadlines {
    /// For the preface, the first SETTINGS and the acknowledgement of ours.
    pub preface: Option<Time>,
    /// For the rest of a frame or header block.
    pub frame: Option<Time>,
    /// For the peer to take something of what waits for it.
    pub write_stall: Option<Time>,
    /// To look whether a peer that has ended its side is still there.
    pub look: Option<Time>,
    /// For the peer to read our last words.
    pub linger: Option<Time>,
    /// To part with a connection that nobody uses.
    pub idle: Option<Time>,
    /// To give up memory that nobody uses.
    pub shrink: Option<Time>,
    /// To part with one of its age.
    pub age: Option<Time>,
    /// To take no more streams, whether or not the peer has heard of it.
    pub leave: Option<Time>,
    /// To tell a backend of requests given up of which it could not be told before.
    pub cancel: Option<Time>,
}

impl Deadlines {
    /// Those of an open connection.
    pub fn new(facts: &Facts, limits: &Limits) -> Deadlines {
        let after = |since: Option<Time>, time| since.map(|since| since + time);
        let stays = facts.leaving.is_some() || facts.left;
        Deadlines {
            preface: (!facts.introduced).then_some(facts.opened + limits.preface_timeout),
            frame: after(facts.unfinished, limits.frame_timeout),
            write_stall: after(facts.stalled, limits.write_stall_timeout),
            look: after(facts.looked, LOOK),
            linger: None,
            idle: after(facts.idle, limits.idle_timeout).filter(|_| !facts.kept && !stays),
            shrink: after(facts.idle, SHRINK).filter(|_| !facts.shrunk),
            age: facts.expires.filter(|_| !stays),
            leave: after(facts.leaving, LEAVE_PATIENCE).filter(|_| !facts.left),
            cancel: facts.cancels,
        }
    }

    /// Those of one on which everything is said.
    pub fn lingering(until: Time) -> Deadlines {
        Deadlines { linger: Some(until), ..Deadlines::default() }
    }

    /// The first of them.
    pub fn next_timeout(&self) -> Option<Time> {
        let Deadlines { preface, frame, write_stall, look, linger, .. } = *self;
        let Deadlines { idle, shrink, age, leave, cancel, .. } = *self;
        let all = [preface, frame, write_stall, look, linger, idle, shrink, age, leave, cancel];
        all.into_iter().flatten().min()
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

    /// A connection that carries something and lacks nothing.
    const BUSY: Facts = Facts {
        opened: Time::ZERO,
        introduced: true,
        unfinished: None,
        stalled: None,
        looked: None,
        idle: None,
        shrunk: false,
        kept: false,
        expires: None,
        leaving: None,
        left: false,
        cancels: None,
    };

    #[test]
    fn each_fact_has_its_deadline() {
        let (now, never) = (Some(at(100)), Deadlines::default());
        let cases = [
            (BUSY, never),
            (
                Facts { opened: at(100), introduced: false, ..BUSY },
                Deadlines { preface: Some(at(105)), ..never },
            ),
            (Facts { unfinished: now, ..BUSY }, Deadlines { frame: Some(at(110)), ..never }),
            (Facts { stalled: now, ..BUSY }, Deadlines { write_stall: Some(at(130)), ..never }),
            (Facts { looked: now, ..BUSY }, Deadlines { look: now.map(|now| now + LOOK), ..never }),
            (
                Facts { idle: now, ..BUSY },
                Deadlines { idle: Some(at(1000)), shrink: Some(at(100) + SHRINK), ..never },
            ),
            (
                Facts { idle: now, shrunk: true, ..BUSY },
                Deadlines { idle: Some(at(1000)), ..never },
            ),
            (Facts { idle: now, shrunk: true, kept: true, ..BUSY }, never),
            (Facts { expires: now, ..BUSY }, Deadlines { age: now, ..never }),
            (Facts { leaving: now, ..BUSY }, Deadlines { leave: Some(at(101)), ..never }),
            (
                Facts { leaving: now, idle: now, shrunk: true, expires: now, ..BUSY },
                Deadlines { leave: Some(at(101)), ..never },
            ),
            (Facts { leaving: now, left: true, ..BUSY }, never),
            (Facts { cancels: now, ..BUSY }, Deadlines { cancel: now, ..never }),
        ];
        for (facts, deadlines) in cases {
            assert_eq!(Deadlines::new(&facts, &limits()), deadlines, "{facts:?}");
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
        ];
        for deadlines in each {
            assert_eq!(deadlines.next_timeout(), one, "{deadlines:?}");
            let later = Deadlines { idle: deadlines.idle.or(Some(at(2))), ..deadlines };
            assert_eq!(later.next_timeout(), one, "{later:?}");
        }
        let idle = Facts { idle: Some(at(7)), expires: Some(at(8)), ..BUSY };
        assert_eq!(Deadlines::new(&idle, &limits()).next_timeout(), Some(at(7) + SHRINK));
    }
}
