//! Cancellation of streams.

use super::{Connection, Progress};
use crate::http::{Key, Millis};

/// Time in which a peer surely accepts a new stream. Some count streams reset before they were
/// accepted, and close the connection beyond a limit: the h2 crate at 20.
const ACCEPT_MS: Millis = 20;

impl Connection {
    /// Removes a request from the output if none of its bytes was written, so that the peer never sees it.
    /// Returns whether it could; not if later header blocks depend on its entries in the HPACK table.
    pub(super) fn take_back(&mut self, key: Key) -> bool {
        let gone = self.frames.output.total_written();
        let open = self.streams.get(key).is_some();
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

    /// Earliest time for an RST_STREAM on a stream that was opened recently; `None` while its HEADERS
    /// are still in the output.
    pub(super) fn resettable_from(&self, key: Key) -> Option<Millis> {
        if self.unsent.holds(key.id, self.frames.output.total_written()) {
            return None;
        }
        let young = self.streams.get(key).filter(|stream| stream.receiving == Progress::Head);
        Some(young.map_or(0, |stream| stream.opened + ACCEPT_MS))
    }

    /// Cancels a request ahead of its RST_STREAM: further DATA is discarded, and so is queued
    /// output.
    pub(super) fn abandon(&mut self, key: Key) {
        if let Some(stream) = self.streams.get_mut(key) {
            let pending = std::mem::take(&mut stream.pending);
            self.pending_bytes -= pending.data.len();
            if !pending.is_empty() {
                stream.sending = Progress::Body; // END_STREAM was not sent and will not be
            }
        }
        self.discard(key);
    }
}
