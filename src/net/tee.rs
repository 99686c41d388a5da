//! A tee that mirrors a request's body to a second backend (shadow traffic). It exerts no
//! backpressure: a backend that falls behind a bounded buffer is cut off.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Waker};

use super::stream::Stream;
use super::worker::Worker;

/// Why a mirror was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its backend was too slow: the buffer limit was exceeded.
    Slow,
    /// The original request was aborted.
    Abandoned,
}

/// Mirrors the body of one stream to another.
#[derive(Debug)]
pub struct Tee {
    /// Accounts for the memory of `early`.
    worker: Rc<Worker>,
    limit: usize,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    to: Option<Rc<Stream>>,
    /// Bytes buffered until the mirror's stream is open.
    early: Vec<u8>,
    ended: bool,
    cut: Option<Cut>,
    waker: Option<Waker>,
}

impl Tee {
    /// A tee that buffers at most `limit` bytes.
    pub fn new(worker: &Rc<Worker>, limit: usize) -> Rc<Tee> {
        Rc::new(Tee { worker: Rc::clone(worker), limit, state: RefCell::default() })
    }

    /// Registers the task of `cx` to be woken when the copy ends, complete or cut off.
    pub fn register(&self, cx: &mut Context<'_>) {
        let mut state = self.state.borrow_mut();
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Sends `to` the buffered bytes, and from now on everything.
    pub fn begin(&self, to: &Rc<Stream>) {
        let mut state = self.state.borrow_mut();
        let early = self.take_early(&mut state);
        state.to = Some(Rc::clone(to));
        if !early.is_empty() || state.ended {
            send(to, &early, state.ended);
        }
    }

    /// Whether the original is complete.
    pub fn has_ended(&self) -> bool {
        self.state.borrow().ended
    }

    /// Why it was cut off, if it was.
    pub fn cut(&self) -> Option<Cut> {
        self.state.borrow().cut
    }

    /// Mirrors more bytes of the original.
    pub(super) fn feed(&self, payload: &[u8], end: bool) {
        let mut state = self.state.borrow_mut();
        if state.ended || state.cut.is_some() {
            return;
        }
        let waiting = state.to.as_ref().map_or(state.early.len(), |to| to.unsent());
        if waiting + payload.len() > self.limit {
            return self.cut_off(&mut state, Cut::Slow);
        }
        state.ended = end;
        match &state.to {
            Some(to) => send(to, payload, end),
            None => {
                state.early.extend_from_slice(payload);
                self.worker.account.change(0, payload.len());
            }
        }
        if end {
            state.wake();
        }
    }

    fn cut_off(&self, state: &mut State, why: Cut) {
        state.cut = Some(why);
        self.take_early(state);
        state.wake();
    }

    fn take_early(&self, state: &mut State) -> Vec<u8> {
        self.worker.account.change(state.early.len(), 0);
        std::mem::take(&mut state.early)
    }

    /// The original was aborted.
    pub(super) fn abandon(&self) {
        let mut state = self.state.borrow_mut();
        if !state.ended && state.cut.is_none() {
            self.cut_off(&mut state, Cut::Abandoned);
        }
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.worker.account.change(self.state.get_mut().early.len(), 0);
    }
}

impl State {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

fn send(to: &Stream, payload: &[u8], end: bool) {
    // A closed stream accepts nothing, and wakes its own task.
    let _ = to.send_data(payload, end);
}
