//! A copy of a request's body for a second backend, which gets it as far as it keeps up: nothing
//! waits for it, and what waits to be sent to it is bounded.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Waker};

use super::stream::Stream;
use super::worker::Worker;

/// Why a copy ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// More waited than may wait.
    Slow,
    /// The original ended before its own end.
    Abandoned,
}

/// A copy of what comes on one stream, for another.
#[derive(Debug)]
pub struct Tee {
    /// Which accounts for what waits here.
    worker: Rc<Worker>,
    limit: usize,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    to: Option<Rc<Stream>>,
    /// What came before there was a stream to send it on.
    early: Vec<u8>,
    ended: bool,
    cut: Option<Cut>,
    waker: Option<Waker>,
}

impl Tee {
    /// A copy of which `limit` bytes may wait.
    pub fn new(worker: &Rc<Worker>, limit: usize) -> Rc<Tee> {
        Rc::new(Tee { worker: Rc::clone(worker), limit, state: RefCell::default() })
    }

    /// Wakes the task of `cx` when the copy ends, well or not.
    pub fn register(&self, cx: &mut Context<'_>) {
        let mut state = self.state.borrow_mut();
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Sends what has come to `to`, and from now on all that comes.
    pub fn begin(&self, to: &Rc<Stream>) {
        let mut state = self.state.borrow_mut();
        let early = self.take_early(&mut state);
        state.to = Some(Rc::clone(to));
        if !early.is_empty() || state.ended {
            send(to, &early, state.ended);
        }
    }

    /// Whether all of the original has come.
    pub fn has_ended(&self) -> bool {
        self.state.borrow().ended
    }

    /// Why the copy ended before its end, if it did.
    pub fn cut(&self) -> Option<Cut> {
        self.state.borrow().cut
    }

    /// More of the original.
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

    /// No more of the original comes.
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
    // A stream that is over takes nothing, and tells the one who waits for it.
    let _ = to.send_data(payload, end);
}
