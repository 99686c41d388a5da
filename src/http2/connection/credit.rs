//! Credit: how much more the peer may send.

use super::{Connection, Key, Role};
use crate::http2::frame::DEFAULT_WINDOW;
use crate::http2::stream::Stream;

impl Connection {
    /// Grants the peer `bytes` more on a stream, for as many that have left us.
    pub fn release(&mut self, key: Key, bytes: usize) {
        let role = self.role;
        let given = |stream: &Stream| stream.discarding && role == Role::Server;
        let Some(stream) = self.streams.get_mut(key).filter(|stream| !given(stream)) else {
            return;
        };
        if let Some(credit) = stream.release(bytes, self.limits.stream_window) {
            self.output.window_update(key.id, credit);
        }
    }

    /// Drops what still comes on a stream. A server ends it as soon as the response is out, with
    /// NO_ERROR (RFC 9113, section 8.1), and until then lets the client send on; a client lets the
    /// response come to its end or its window.
    pub fn discard(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        self.discarded += usize::from(!std::mem::replace(&mut stream.discarding, true));
        let held = i64::from(self.limits.stream_window) - stream.recv_window;
        let held = usize::try_from(held).unwrap_or(0).saturating_sub(stream.credit as usize);
        self.settle(key);
        let (role, window) = (self.role, self.limits.stream_window);
        let open = self.streams.get_mut(key).filter(|_| role == Role::Server);
        // Whatever of it is still held here, nobody will give credit for it.
        if let Some(credit) = open.and_then(|stream| stream.release(held, window)) {
            self.output.window_update(key.id, credit);
        }
    }

    /// What a new stream's peer may send at first: until it has acknowledged our SETTINGS it
    /// may go by the default.
    pub(super) fn receive_window(&self) -> u32 {
        let ours = self.limits.stream_window;
        if self.settings_acked { ours } else { ours.max(DEFAULT_WINDOW) }
    }
}
