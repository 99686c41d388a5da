//! What comes on a stream, as the driver of its connection tells it, and where bodies go.

use std::rc::Rc;

use super::{Over, State, Stream};
use crate::http2::Headers;
use crate::model::Time;

/// Pieces of less than this many bytes are gathered.
const SMALL: usize = 1 << 10;

/// So many messages in one direction make an exchange a stream, whose task is told of it.
const STREAMING: u64 = 2;

impl Stream {
    pub(in crate::net) fn on_head(&self, headers: Headers, end: bool, now: Time) {
        let mut state = self.state.borrow_mut();
        state.head = Some((headers, end));
        state.ended |= end;
        state.active(now);
    }

    pub(in crate::net) fn on_informational(&self, headers: Headers, now: Time) {
        let mut state = self.state.borrow_mut();
        let unwanted = match state.drained {
            true => Err(headers),
            false => state.informational.get_or_insert_default().push(headers),
        };
        if let Err(headers) = unwanted {
            self.conn.worker.recycle(headers);
        }
        state.active(now);
    }

    pub(in crate::net) fn on_trailers(&self, headers: Headers, now: Time) {
        let mut state = self.state.borrow_mut();
        state.trailers = Some(headers);
        if let Some(tee) = &state.tee {
            tee.feed(&[], true); // of a copy nobody wants the trailers
        }
        state.active(now);
    }

    pub(in crate::net) fn on_over(&self, over: Over) {
        let mut state = self.state.borrow_mut();
        state.over.get_or_insert(over);
        if let Some(tee) = &state.tee {
            tee.abandon();
        }
        state.wake();
    }

    /// DATA came: it goes to the sink, or waits for one. For how many bytes credit goes back.
    ///
    /// Small pieces that come after another one of the same read are gathered, and go when all of
    /// what was read is looked at ([`Stream::pass_on`]): to hand one on costs more than to copy it.
    pub(in crate::net) fn on_data(self: &Rc<Self>, payload: &[u8], end: bool, now: Time) -> usize {
        let mut state = self.state.borrow_mut();
        let gather = state.data_at == now && payload.len() < SMALL && !end;
        state.active = now;
        state.count(payload, now, self.conn.worker.index());
        if let Some(tee) = &state.tee {
            tee.feed(payload, end);
        }
        if end {
            state.ended = true;
            state.wake();
        }
        if state.drained {
            return state.release(payload.len());
        }
        if state.sink.is_some() && !gather {
            let waited = self.pass_gathered(&mut state);
            return waited + state.pass(payload, end);
        }
        if state.body.is_empty() {
            if state.sink.is_some() {
                self.conn.worker.gathering.borrow_mut().push(Rc::clone(self));
            }
            if state.body.capacity() == 0 {
                state.body = self.conn.worker.buffers.borrow_mut().take();
            }
        }
        state.body.extend_from_slice(payload);
        0
    }

    /// Hands on what was gathered. For how many bytes credit goes back.
    pub(in crate::net) fn pass_on(&self) -> usize {
        self.pass_gathered(&mut self.state.borrow_mut())
    }

    fn pass_gathered(&self, state: &mut State) -> usize {
        if state.body.is_empty() || state.sink.is_none() {
            return 0;
        }
        let body = std::mem::take(&mut state.body);
        let credit = state.pass(&body, false);
        self.conn.worker.buffers.borrow_mut().put(body);
        credit
    }

    /// Keeps what was sent to the sink first, if it may have to be sent again.
    fn keep(&self, body: Vec<u8>, replay: Option<usize>) {
        let mut buffers = self.conn.worker.buffers.borrow_mut();
        let Some(limit) = replay.filter(|limit| body.len() <= *limit) else {
            return buffers.put(body);
        };
        let mut state = self.state.borrow_mut();
        state.replay_limit = limit;
        state.replay = Some(if body.capacity() == 0 { buffers.take() } else { body });
    }

    /// Sends what another stream has received.
    fn feed(&self, payload: &[u8], end: bool) -> usize {
        let mut core = self.conn.core.borrow_mut();
        // A stream that is over takes nothing: what is fed to it is as good as gone.
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

    /// Bytes that had waited here have left.
    pub(in crate::net) fn on_drained(&self, bytes: usize, done: bool, now: Time) {
        let mut state = self.state.borrow_mut();
        state.active = now;
        if done {
            state.wake();
        }
        let source = state.source.clone();
        drop(state);
        if let Some(source) = source {
            source.release(bytes);
        }
    }

    pub(super) fn release(&self, bytes: usize) {
        let credit = self.state.borrow_mut().release(bytes);
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
    fn active(&mut self, now: Time) {
        self.active = now;
        self.wake();
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn count(&mut self, payload: &[u8], now: Time, worker: usize) {
        self.held += payload.len();
        self.data_at = now;
        if !self.framed {
            return;
        }
        let messages = self.messages.feed(payload);
        if messages == 0 {
            return;
        }
        self.note_messages(messages, worker);
        let whole = self.messages.whole();
        if whole >= STREAMING && whole - messages < STREAMING {
            self.wake();
        }
    }

    pub(super) fn note_messages(&self, messages: u64, worker: usize) {
        if let Some((endpoint, direction)) = &self.meter {
            endpoint.worker_stats(worker).count_messages(*direction, messages);
        }
    }

    /// Sends a piece to the sink. For how many bytes credit goes back.
    fn pass(&mut self, payload: &[u8], end: bool) -> usize {
        let Some(sink) = &self.sink else { return 0 };
        let sent = sink.feed(payload, end);
        self.remember(payload);
        self.release(sent)
    }

    /// How much credit goes back for `bytes` that have left: never more than came.
    fn release(&mut self, bytes: usize) -> usize {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        bytes
    }

    /// Keeps a copy for a second try, unless it becomes too long.
    fn remember(&mut self, payload: &[u8]) {
        if let Some(replay) = &mut self.replay {
            if replay.len() + payload.len() <= self.replay_limit {
                replay.extend_from_slice(payload);
            } else {
                self.replay = None;
            }
        }
    }
}

/// From now on what comes on `from` goes to `to`, beginning with what has come already. Up to
/// `replay` bytes are kept so that they can be sent again.
pub fn splice(from: &Rc<Stream>, to: &Rc<Stream>, replay: Option<usize>) {
    let mut state = from.state.borrow_mut();
    state.sink = Some(Rc::clone(to));
    to.state.borrow_mut().source = Some(Rc::clone(from));
    let body = std::mem::take(&mut state.body);
    let ended = state.ended;
    drop(state);
    if !body.is_empty() || ended {
        let sent = to.feed(&body, ended);
        from.release(sent);
    }
    from.keep(body, replay);
}
