//! Who waits for the events of a stream.

use std::task::Context;

use super::{State, Stream};

impl Stream {
    /// Wakes whoever has `cx` at the next event.
    pub fn register(&self, cx: &mut Context<'_>) {
        self.register_with(cx, true);
    }

    /// As [`Stream::register`], but for the body, which goes to its reader by itself.
    pub fn register_but_for_body(&self, cx: &mut Context<'_>) {
        self.register_with(cx, false);
    }

    fn register_with(&self, cx: &mut Context<'_>, tells_of_body: bool) {
        let mut state = self.state.borrow_mut();
        state.tells_of_body = tells_of_body;
        state.waiter = Some(self.conn.worker.executor.waiter(cx));
    }

    /// Has who waits for an event look at it.
    pub(in crate::net) fn wake(&self) {
        self.tell(&self.state.borrow());
    }

    /// Has whoever waits for an event look at it.
    pub(super) fn tell(&self, state: &State) {
        if let Some(waiter) = &state.waiter {
            self.conn.worker.executor.wake(waiter);
        }
    }
}
