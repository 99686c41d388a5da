//! Cancellation, in terms of either protocol.

use super::Codec;
use crate::http::Key;
use crate::model::Time;

impl Codec {
    /// Removes an unsent request from the output, so that no RST_STREAM is needed; whether it
    /// could.
    pub fn take_back(&mut self, key: Key) -> bool {
        match self {
            Codec::H2(h2) => h2.take_back(key),
            Codec::H1(_) | Codec::Undecided(_) => false,
        }
    }

    /// Earliest time for an RST_STREAM; `None` while its HEADERS are still in the output.
    pub fn resettable_from(&self, key: Key) -> Option<Time> {
        match self {
            Codec::H2(h2) => h2.resettable_from(key).map(Time::from_millis),
            Codec::H1(_) | Codec::Undecided(_) => Some(Time::ZERO),
        }
    }

    /// Discards further DATA of a stream and its queued output.
    pub fn abandon(&mut self, key: Key) {
        match self {
            Codec::H2(h2) => h2.abandon(key),
            Codec::H1(h1) => h1.discard(key),
            Codec::Undecided(_) => {}
        }
    }

    /// RST_STREAM frames sent in the connection's lifetime.
    pub fn resets_sent(&self) -> u64 {
        match self {
            Codec::H2(h2) => h2.resets_sent(),
            Codec::H1(_) | Codec::Undecided(_) => 0,
        }
    }
}
