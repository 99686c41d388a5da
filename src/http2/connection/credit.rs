//! Receive flow control: returning credit to the peer by WINDOW_UPDATE.

use super::Connection;
use crate::http::{Key, Millis, Role};
use crate::http2::frame::{DEFAULT_WINDOW, kind};
use crate::http2::settings;
use crate::http2::stream::Stream;

impl Connection {
    /// Returns `bytes` of credit on a stream, once they have left.
    pub(super) fn release(&mut self, key: Key, bytes: usize) {
        let (role, width) = (self.role, self.width);
        let given = |stream: &Stream| stream.discarding && role == Role::Server;
        let Some(stream) = self.streams.get_mut(key).filter(|stream| !given(stream)) else {
            return;
        };
        if let Some(credit) = stream.release(bytes, width) {
            self.frames.window_update(key.id, credit);
        }
    }

    /// Discards further DATA of a stream. A server resets it with NO_ERROR as soon as the response
    /// is out (RFC 9113, section 8.1), and until then lets the client send on; a client lets the
    /// response run to its end or its window.
    pub(super) fn discard(&mut self, key: Key) {
        let width = self.width;
        let Some(stream) = self.streams.get_mut(key) else { return };
        self.discarded += usize::from(!std::mem::replace(&mut stream.discarding, true));
        let held = stream.held(width);
        self.settle(key);
        let role = self.role;
        let open = self.streams.get_mut(key).filter(|_| role == Role::Server);
        // Nothing else returns the credit for bytes that are still held here.
        if let Some(credit) = open.and_then(|stream| stream.release(held, width)) {
            self.frames.window_update(key.id, credit);
        }
    }

    /// A new stream. Until the peer has acknowledged our SETTINGS it may use the default window.
    pub(super) fn new_stream(&self, id: u32, now: Millis) -> Stream {
        let ours = self.width.ceiling();
        let receive = if self.settings_acked { ours } else { ours.max(DEFAULT_WINDOW) };
        Stream::new(id, now, self.peer.initial_window, receive)
    }

    /// Shrinks the receive windows of a backend connection for slow readers, or restores them, by
    /// SETTINGS_INITIAL_WINDOW_SIZE: the unused windows of open streams change with it.
    pub(super) fn set_narrow(&mut self, narrow: bool) {
        if self.role == Role::Server || !self.width.set_narrow(narrow) {
            return;
        }
        let width = self.width;
        self.unacked_settings += 1;
        self.frames.frame(kind::SETTINGS, 0, 0, &settings::initial_window(width.base()));
        for (key, stream) in self.streams.iter_mut() {
            // The bytes left of a small window may be half of it already: no later frame would
            // trigger this WINDOW_UPDATE.
            if let Some(credit) = stream.release(0, width) {
                self.frames.window_update(key.id, credit);
            }
        }
    }
}
