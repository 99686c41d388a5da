//! Splicing: the driver's side of a stream, and how its body is forwarded to the stream it is
//! spliced to.

use std::rc::Rc;

use super::super::body::Body;
use super::{Over, State, Stream};
use crate::http::{Connection, Headers};
use crate::model::Time;

/// DATA smaller than this is coalesced within a read.
const COALESCE_BELOW: usize = 1 << 10;

/// Messages in one direction that make an exchange a stream; its task is woken then.
const MIN_STREAM_MESSAGES: u64 = 2;

impl Stream {
    pub(in crate::net) fn on_head(&self, headers: Headers, end: bool, now: Time) {
        let mut state = self.state.borrow_mut();
        state.head = Some((headers, end));
        state.body.ended |= end;
        state.active = now;
        self.wake_waiter(&state);
    }

    pub(in crate::net) fn on_informational(&self, headers: Headers, now: Time) {
        let mut state = self.state.borrow_mut();
        let unwanted = match state.body.drained {
            true => Err(headers),
            false => state.informational.get_or_insert_default().push(headers),
        };
        if let Err(headers) = unwanted {
            self.conn.worker.recycle(headers);
        }
        state.active = now;
        self.wake_waiter(&state);
    }

    pub(in crate::net) fn on_trailers(&self, headers: Headers, now: Time) {
        let mut state = self.state.borrow_mut();
        state.trailers = Some(headers);
        // Mirrors do not get trailers.
        state.body.copies.iter().for_each(|copy| copy.feed(&[], true));
        state.active = now;
        self.wake_waiter(&state);
    }

    pub(in crate::net) fn on_over(&self, over: Over) {
        let mut state = self.state.borrow_mut();
        state.over.get_or_insert(over);
        state.body.copies.iter().for_each(|copy| copy.abandon());
        self.wake_waiter(&state);
    }

    /// DATA was received: it is forwarded to the reader, or buffered. Returns the credit to give
    /// back.
    ///
    /// Small pieces after another one of the same read are coalesced and forwarded once the whole
    /// read is parsed ([`Stream::forward_coalesced`]): forwarding costs more than copying.
    pub(in crate::net) fn on_data(self: &Rc<Self>, payload: &[u8], end: bool, now: Time) -> usize {
        let mut state = self.state.borrow_mut();
        let gather = state.data_at == now && payload.len() < COALESCE_BELOW && !end;
        state.active = now;
        let streams = state.count(payload, now, self.conn.worker.index());
        state.body.receive(payload, end);
        if streams || (end && state.wakes_for_body) {
            self.wake_waiter(&state);
        }
        if state.body.drained {
            return state.body.release(payload.len());
        }
        let before = state.body.buffered();
        let is_first = state.body.unsent().is_empty();
        if state.body.reader.is_some() && !gather {
            if state.body.is_replayable() {
                self.provide_buffer(&mut state);
            }
            let credit = state.body.forward(payload, end);
            self.settle_body(&mut state, before);
            return credit;
        }
        if is_first {
            match state.body.reader {
                Some(_) => self.conn.worker.coalescing.borrow_mut().push(Rc::clone(self)),
                // The task may wait for the head, or hold it back until there is DATA.
                None if state.wakes_for_body => self.wake_waiter(&state),
                None => {}
            }
            self.provide_buffer(&mut state);
        }
        state.body.buffer(payload);
        self.settle_body(&mut state, before);
        0
    }

    /// Gets a buffer from the pool if the body has to be buffered.
    fn provide_buffer(&self, state: &mut State) {
        if !state.body.has_buffer() {
            state.body.set_buffer(self.conn.worker.buffers.borrow_mut().take());
        }
    }

    /// Forwards the coalesced DATA. Returns the credit to give back.
    pub(in crate::net) fn forward_coalesced(&self) -> usize {
        let mut state = self.state.borrow_mut();
        let before = state.body.buffered();
        let credit = state.body.forward_buffered();
        self.settle_body(&mut state, before);
        credit
    }

    /// Changes the body's buffer, and accounts for its memory.
    pub(super) fn change_body<T>(&self, change: impl FnOnce(&mut Body) -> T) -> T {
        let mut state = self.state.borrow_mut();
        let before = state.body.buffered();
        let result = change(&mut state.body);
        self.settle_body(&mut state, before);
        result
    }

    /// Returns an unneeded buffer to the pool, and accounts for the buffered bytes.
    #[inline]
    pub(super) fn settle_body(&self, state: &mut State, before: usize) {
        if state.body.has_buffer() {
            self.settle_buffer(state, before);
        }
    }

    fn settle_buffer(&self, state: &mut State, before: usize) {
        if let Some(spent) = state.body.take_buffer() {
            self.conn.worker.buffers.borrow_mut().put(spent);
        }
        self.conn.note_kept(before, state.body.buffered());
    }

    /// Sends DATA that the spliced stream has received.
    pub(in crate::net) fn feed(&self, payload: &[u8], end: bool) -> usize {
        let mut core = self.conn.core.borrow_mut();
        // A closed stream accepts nothing: the bytes count as sent, so that credit flows.
        let sent = core.codec.send_data(self.key, payload, end).unwrap_or(payload.len());
        self.conn.write_early(&mut core);
        drop(core);
        if sent < payload.len() {
            self.conn.account();
        }
        match end {
            true => self.conn.flush_later(),
            false => self.conn.flush_body_later(),
        }
        sent
    }

    /// Queued bytes were written: returns credit to the source.
    pub(in crate::net) fn on_drained(&self, bytes: usize, done: bool, now: Time) {
        let mut state = self.state.borrow_mut();
        state.active = now;
        if done {
            self.wake_waiter(&state);
        }
        let source = state.source.clone();
        drop(state);
        if let Some(source) = source {
            source.release(bytes);
        }
    }

    pub(super) fn release(&self, bytes: usize) {
        let credit = self.state.borrow_mut().body.release(bytes);
        let mut core = self.conn.core.borrow_mut();
        core.codec.release(self.key, credit);
        let flush = core.codec.output_len() > 0 || core.is_unblocked();
        drop(core);
        if flush {
            self.conn.flush_later();
        }
    }
}

impl State {
    /// Counts gRPC messages. Whether this made the exchange a stream.
    fn count(&mut self, payload: &[u8], now: Time, worker: usize) -> bool {
        self.data_at = now;
        if !self.framed {
            return false;
        }
        let messages = self.messages.feed(payload);
        if messages == 0 {
            return false;
        }
        self.note_messages(messages, worker);
        let whole = self.messages.whole();
        whole >= MIN_STREAM_MESSAGES && whole - messages < MIN_STREAM_MESSAGES
    }

    pub(super) fn note_messages(&self, messages: u64, worker: usize) {
        if let Some((endpoint, direction)) = &self.meter {
            endpoint.worker_stats(worker).count_messages(*direction, messages);
        }
    }
}

/// Splices the body of `from` to `to`, from the first buffered byte on, keeping up to `replay`
/// bytes for a retry.
pub fn splice(from: &Rc<Stream>, to: &Rc<Stream>, replay: Option<usize>) {
    to.state.borrow_mut().source = Some(Rc::clone(from));
    let sent = from.change_body(|body| body.begin(to, replay));
    if sent > 0 {
        from.release(sent);
    }
}
