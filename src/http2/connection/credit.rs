//! Credit: how much more the peer may send.

use super::{Connection, Key, Role};
use crate::http2::Millis;
use crate::http2::frame::DEFAULT_WINDOW;
use crate::http2::stream::Stream;
use crate::http2::window::Window;

impl Connection {
    /// Grants the peer `bytes` more on a stream, for as many that have left us.
    pub fn release(&mut self, key: Key, bytes: usize) {
        let role = self.role;
        let given = |stream: &Stream| stream.discarding && role == Role::Server;
        let Some(stream) = self.streams.get_mut(key).filter(|stream| !given(stream)) else {
            return;
        };
        if let Some(credit) = stream.release(bytes) {
            self.output.window_update(key.id, credit);
        }
    }

    /// Drops what still comes on a stream. A server ends it as soon as the response is out, with
    /// NO_ERROR (RFC 9113, section 8.1), and until then lets the client send on; a client lets the
    /// response come to its end or its window.
    pub fn discard(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        self.discarded += usize::from(!std::mem::replace(&mut stream.discarding, true));
        let held = stream.held();
        self.settle(key);
        let role = self.role;
        let open = self.streams.get_mut(key).filter(|_| role == Role::Server);
        // Whatever of it is still held here, nobody will give credit for it.
        if let Some(credit) = open.and_then(|stream| stream.release(held)) {
            self.output.window_update(key.id, credit);
        }
    }

    /// A stream that begins. Until the peer has acknowledged our SETTINGS it may go by the default
    /// window.
    pub(super) fn new_stream(&self, id: u32, now: Millis) -> Stream {
        let window = Window::new(self.role, &self.limits);
        let ours = window.size();
        let receive = if self.settings_acked { ours } else { ours.max(DEFAULT_WINDOW) };
        Stream::new(id, now, self.peer.initial_window, receive, window)
    }
}
