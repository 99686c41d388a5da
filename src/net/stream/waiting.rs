//! Waker registration for a stream's events.

use std::task::Context;

use super::{State, Stream};

impl Stream {
    /// Registers the task of `cx` to be woken at the next event.
    pub fn register(&self, cx: &mut Context<'_>) {
        self.register_with(cx, true);
    }

    /// As [`Stream::register`], except for DATA, which is spliced without the task.
    pub fn register_but_for_body(&self, cx: &mut Context<'_>) {
        self.register_with(cx, false);
    }

    fn register_with(&self, cx: &mut Context<'_>, wakes_for_body: bool) {
        let mut state = self.state.borrow_mut();
        state.wakes_for_body = wakes_for_body;
        state.waiter = Some(self.conn.worker.executor.waiter(cx));
    }

    /// Wakes the registered task.
    pub(in crate::net) fn wake(&self) {
        self.wake_waiter(&self.state.borrow());
    }

    /// Wakes the registered task, given the borrowed state.
    pub(super) fn wake_waiter(&self, state: &State) {
        if let Some(waiter) = &state.waiter {
            self.conn.worker.executor.wake(waiter);
        }
    }
}
