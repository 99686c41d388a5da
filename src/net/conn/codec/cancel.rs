//! What a request that is given up asks of the protocol.

use super::Codec;
use crate::http::Key;
use crate::model::Time;

impl Codec {
    /// Takes a request back of which nothing has begun to leave; whether that could be done.
    pub fn take_back(&mut self, key: Key) -> bool {
        match self {
            Codec::H2(h2) => h2.take_back(key),
            Codec::H1(_) | Codec::Undecided(_) => false,
        }
    }

    /// From when on the peer may be sent a reset of a stream; nothing while its head is here.
    pub fn resettable_from(&self, key: Key) -> Option<Time> {
        match self {
            Codec::H2(h2) => h2.resettable_from(key).map(Time::from_millis),
            Codec::H1(_) | Codec::Undecided(_) => Some(Time::ZERO),
        }
    }

    /// Drops what comes on a stream and what waits to be sent.
    pub fn abandon(&mut self, key: Key) {
        match self {
            Codec::H2(h2) => h2.abandon(key),
            Codec::H1(h1) => h1.discard(key),
            Codec::Undecided(_) => {}
        }
    }

    /// RST_STREAM frames that the peer was sent, all the connection's life counted.
    pub fn resets_sent(&self) -> u64 {
        match self {
            Codec::H2(h2) => h2.resets_sent(),
            Codec::H1(_) | Codec::Undecided(_) => 0,
        }
    }
}
