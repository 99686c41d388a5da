//! Commands for streams that are wanted no more.

use super::{Connection, Progress};
use crate::http::{Key, Millis};

/// Time in which a peer accepts a stream. Some count the streams that were reset before they had
/// come to accept them, and end the connection of whoever opens many of those: the h2 crate at 20.
const ACCEPT_MS: Millis = 20;

impl Connection {
    /// Takes a request back of which nothing has begun to leave, so that the peer never hears of
    /// it. Whether that was so. It cannot be done where later header blocks build upon its own.
    pub fn take_back(&mut self, key: Key) -> bool {
        let gone = self.frames.output.gone();
        let open = self.is_open(key);
        let Some(from) = self.unsent.removable(key.id, gone).filter(|_| open) else {
            return false;
        };
        self.unsent.remove(key.id);
        let payload =
            self.frames.take_out(key.id, from, |stream, by| self.unsent.shift(stream, by));
        self.send_window.refund(payload);
        self.remove(key);
        true
    }

    /// From when on the peer may be sent a reset of a stream that it was just sent; nothing while
    /// the stream's head is still here.
    pub fn resettable_from(&self, key: Key) -> Option<Millis> {
        if self.unsent.holds(key.id, self.frames.output.gone()) {
            return None;
        }
        let young = self.streams.get(key).filter(|stream| stream.receiving == Progress::Head);
        Some(young.map_or(0, |stream| stream.opened + ACCEPT_MS))
    }

    /// Wants nothing of a request any more before the peer is told so by a reset: what still
    /// comes is dropped, and so is what waits to be sent.
    pub fn abandon(&mut self, key: Key) {
        if let Some(stream) = self.streams.get_mut(key) {
            let pending = std::mem::take(&mut stream.pending);
            self.pending_bytes -= pending.data.len();
            if !pending.is_empty() {
                stream.sending = Progress::Body; // it has not been sent to its end, and will not be
            }
        }
        self.discard(key);
    }

    /// RST_STREAM frames that the peer was sent, all the connection's life counted.
    pub fn resets_sent(&self) -> u64 {
        self.frames.resets()
    }
}
