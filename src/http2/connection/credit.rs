//! Credit: how much more the peer may send.

use super::Connection;
use crate::http::{Key, Millis, Role};
use crate::http2::frame::{DEFAULT_WINDOW, kind};
use crate::http2::settings;
use crate::http2::stream::Stream;

impl Connection {
    /// Grants the peer `bytes` more on a stream, for as many that have left us.
    pub fn release(&mut self, key: Key, bytes: usize) {
        let (role, width) = (self.role, self.width);
        let given = |stream: &Stream| stream.discarding && role == Role::Server;
        let Some(stream) = self.streams.get_mut(key).filter(|stream| !given(stream)) else {
            return;
        };
        if let Some(credit) = stream.release(bytes, width) {
            self.frames.window_update(key.id, credit);
        }
    }

    /// Drops what still comes on a stream. A server ends it as soon as the response is out, with
    /// NO_ERROR (RFC 9113, section 8.1), and until then lets the client send on; a client lets the
    /// response come to its end or its window.
    pub fn discard(&mut self, key: Key) {
        let width = self.width;
        let Some(stream) = self.streams.get_mut(key) else { return };
        self.discarded += usize::from(!std::mem::replace(&mut stream.discarding, true));
        let held = stream.held(width);
        self.settle(key);
        let role = self.role;
        let open = self.streams.get_mut(key).filter(|_| role == Role::Server);
        // Whatever of it is still held here, nobody will give credit for it.
        if let Some(credit) = open.and_then(|stream| stream.release(held, width)) {
            self.frames.window_update(key.id, credit);
        }
    }

    /// A stream that begins. Until the peer has acknowledged our SETTINGS it may go by the default
    /// window.
    pub(super) fn new_stream(&self, id: u32, now: Millis) -> Stream {
        let ours = self.width.ceiling();
        let receive = if self.settings_acked { ours } else { ours.max(DEFAULT_WINDOW) };
        Stream::new(id, now, self.peer.initial_window, receive)
    }

    /// Has a backend send little ahead of readers who take nothing, or as much as there may be. What
    /// it has not used yet of the windows of its open streams is taken back, or given again.
    pub fn set_narrow(&mut self, narrow: bool) {
        if self.role == Role::Server || !self.width.set_narrow(narrow) {
            return;
        }
        let width = self.width;
        self.unheard += 1;
        self.frames.frame(kind::SETTINGS, 0, 0, &settings::initial_window(width.base()));
        for (key, stream) in self.streams.iter_mut() {
            // Of a narrow window the rest may be half of it: nothing else would bring that.
            if let Some(credit) = stream.release(0, width) {
                self.frames.window_update(key.id, credit);
            }
        }
    }
}
