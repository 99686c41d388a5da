//! Which connection takes the next stream, and when there may be one more.
//!
//! Backends count the streams that are reset on a connection, and end it when there are too many
//! ([`MOST_RESETS`]). So that whatever is open can be given up at once, a connection takes a
//! stream only while its open ones and those that were reset in the last 30 s are fewer. One that
//! would take more if none had been reset is *resting*: others take its place, at most as many as
//! there may be connections at all. When all of these rest too, one that carries nothing is
//! replaced by a fresh one.
//!
//! When that is not possible either, or no connection can be made, requests are served rather
//! than refused, on the connection with the fewest such streams, and some cancellations may come
//! late. The clients that give up most wait instead, and they leave a part of each connection's
//! resets to the others before.

use std::rc::Rc;
use std::time::Duration;

use super::Pool;
use crate::net::{Conn, MOST_RESETS, Room};

/// How long a request waits for a connection that is being made where others could take it.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// Requests given up by one client in 30 s from which on it gives up much.
const MUCH: usize = MOST_RESETS / 2;

/// What is left to others of a connection's resets by clients that give up much.
const LEFT: usize = 40;

/// Streams given up on one connection of which the backend was not told, before it takes no more.
const MOST_ABANDONED: usize = 64;

/// How many resets a connection may have been sent that a request is to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Whole,
    /// For clients that give up much, and for what no client waits for.
    Reduced,
}

impl Share {
    pub fn of(client: Option<&Conn>) -> Share {
        match client {
            Some(client) if client.given_up() <= MUCH => Share::Whole,
            _ => Share::Reduced,
        }
    }

    const fn most(self) -> usize {
        match self {
            Share::Whole => MOST_RESETS,
            Share::Reduced => MOST_RESETS - LEFT,
        }
    }

    /// Whether a connection takes one more stream, all of whose open ones may be given up.
    fn fits(self, room: &Room) -> bool {
        room.available > 0 && room.burden() < self.most()
    }

    /// Whether it would, had no stream been reset.
    fn rests(self, room: &Room) -> bool {
        room.open < self.most() && room.burden() >= self.most()
    }
}

impl Pool {
    /// A connection that is free.
    pub(super) fn first_free(&self) -> Option<Rc<Conn>> {
        let conns = self.conns.borrow();
        conns.iter().find(|conn| conn.available() > 0).map(Rc::clone)
    }

    /// The connection that has the fewest streams open, if one takes another; or, when there will
    /// be no better one, one that can bear it.
    pub(super) fn with_room(&self, share: Share) -> Option<Rc<Conn>> {
        let best = self.least(|_, room| share.fits(room).then_some(room.open));
        if best.is_some() {
            return best;
        }
        self.renew_resting(share);
        self.connect_more(share);
        if self.is_being_helped() {
            return None;
        }
        self.least(|conn, room| {
            let bearable = match share {
                Share::Whole => conn.abandoned() < MOST_ABANDONED,
                Share::Reduced => room.resets < share.most(),
            };
            (room.available > 0 && bearable).then_some(room.burden())
        })
    }

    /// The connection for which this is least, of those for which there is a number.
    fn least(&self, rank: impl Fn(&Conn, &Room) -> Option<usize>) -> Option<Rc<Conn>> {
        let conns = self.conns.borrow();
        let ranked = conns.iter().filter_map(|conn| Some((rank(conn, &conn.room()?)?, conn)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, conn)| Rc::clone(conn))
    }

    /// Whether a connection takes one more stream.
    pub(super) fn has_room(&self, share: Share) -> bool {
        let conns = self.conns.borrow();
        conns.iter().filter_map(|conn| conn.room()).any(|room| share.fits(&room))
    }

    /// Whether there may be no more connections, those that rest counted apart.
    pub(super) fn is_full(&self, share: Share) -> bool {
        let most = self.settings.max_connections;
        let conns = self.conns.borrow();
        let (mut all, mut resting) = (self.connecting.get(), 0);
        for room in conns.iter().filter_map(|conn| conn.room()) {
            all += 1;
            resting += usize::from(share.rests(&room));
        }
        all - resting.min(most) >= most
    }

    /// Whether a connection is about to be there that will have room.
    fn is_being_helped(&self) -> bool {
        let since = self.worker.now().since(self.connecting_since.get());
        self.connecting.get() > 0 && self.failures.get() == 0 && since < PATIENCE
    }

    /// Parts with a connection that rests and carries nothing, if there may be no more of them.
    fn renew_resting(&self, share: Share) {
        if self.connecting.get() > 0 || !self.is_full(share) {
            return;
        }
        let idle = self.least(|_, room| (share.rests(room) && room.open == 0).then_some(0));
        if let Some(conn) = idle {
            self.replace(&conn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(open: usize, resets: usize) -> Room {
        Room { available: 1000, open, resets }
    }

    #[test]
    fn what_is_open_can_be_given_up() {
        let (whole, reduced) = (Share::Whole, Share::Reduced);
        // Open, reset; takes one more for whom gives up little, and much; rests for them.
        let cases = [
            (0, 0, [true, true], [false, false]),
            (0, 149, [true, true], [false, false]),
            (1, 149, [true, false], [false, true]),
            (0, 189, [true, false], [false, true]),
            (0, 190, [false, false], [true, true]),
            (100, 90, [false, false], [true, true]),
            (189, 1, [false, false], [true, false]),
            (190, 0, [false, false], [false, false]),
            (1000, 100, [false, false], [false, false]),
        ];
        for (open, resets, fits, rests) in cases {
            let room = room(open, resets);
            assert_eq!([whole, reduced].map(|share| share.fits(&room)), fits, "{room:?}");
            assert_eq!([whole, reduced].map(|share| share.rests(&room)), rests, "{room:?}");
        }
        assert!(!whole.fits(&Room { available: 0, ..room(0, 0) }), "the peer has a say too");
    }
}
