//! One stream of a connection, as the request's job sees it.
//!
//! The job takes heads and trailers ([`Stream::take_head`], [`Stream::take_trailers`]) and sends
//! its own; in between two streams are spliced: the drivers of their connections move DATA from one
//! to the other without waking the job.

mod informational;
mod splice;
mod waiting;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use self::informational::Informational;
pub use self::splice::splice;
use super::body::Body;
use super::conn::Conn;
use super::tee::Tee;
use super::worker::Waiter;
use crate::grpc::MessageCounter;
use crate::http::{Cause, Connection, ErrorCode, Gone, Headers, Key, Outgoing, SendError};
use crate::model::{Endpoint, Time};
use crate::stats::Direction;

/// Pending output to a client above which informational responses are dropped.
const MAX_UNREAD: usize = 128 << 10;

/// Why a stream ended prematurely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// One side reset it.
    Reset {
        /// The code of the RST_STREAM.
        code: ErrorCode,
        /// Which side caused it.
        cause: Cause,
    },
    /// The connection was lost.
    Lost,
    /// A protocol error of the peer, which ends the connection.
    Fault,
    /// Its reader was so slow that the buffer limits were exceeded.
    Overflow,
}

/// One stream of one connection.
#[derive(Debug)]
pub struct Stream {
    conn: Rc<Conn>,
    key: Key,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    head: Option<(Headers, bool)>,
    /// Boxed, as it is rarely used.
    informational: Option<Box<Informational>>,
    body: Body,
    trailers: Option<Headers>,
    over: Option<Over>,
    /// The stream whose body is spliced to this one.
    source: Option<Rc<Stream>>,
    /// The body is gRPC, and its messages are counted.
    framed: bool,
    messages: MessageCounter,
    /// The endpoint that its messages are charged to, once the exchange is a stream.
    meter: Option<(Arc<Endpoint>, Direction)>,
    data_at: Time,
    active: Time,
    waiter: Option<Waiter>,
    /// The waker is also woken at the first and the last byte of the body.
    wakes_for_body: bool,
}

impl State {
    /// Resets the state for a recycled stream: only what [`Stream::detach`] leaves.
    fn renew(&mut self, now: Time) {
        debug_assert!(self.head.is_none() && self.trailers.is_none() && self.waiter.is_none());
        self.body.renew();
        (self.over, self.framed, self.messages) = (None, false, MessageCounter::default());
        (self.data_at, self.active) = (Time::ZERO, now);
    }
}

impl Stream {
    pub(super) fn new(conn: &Rc<Conn>, key: Key, now: Time) -> Stream {
        let state = RefCell::new(State { active: now, ..State::default() });
        Stream { conn: Rc::clone(conn), key, state }
    }

    /// Recycles it as another stream of its connection.
    pub(super) fn renew(&mut self, key: Key, now: Time) {
        self.key = key;
        self.state.get_mut().renew(now);
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// The connection that it belongs to.
    pub fn conn(&self) -> &Rc<Conn> {
        &self.conn
    }

    /// The head of the response, once, and whether nothing follows it.
    pub fn take_head(&self) -> Option<(Headers, bool)> {
        self.state.borrow_mut().head.take()
    }

    /// The next informational response.
    pub fn take_informational(&self) -> Option<Headers> {
        self.state.borrow_mut().informational.as_mut()?.pop()
    }

    /// The trailers, once.
    pub fn take_trailers(&self) -> Option<Headers> {
        self.state.borrow_mut().trailers.take()
    }

    /// Puts trailers back that were taken: they are taken again.
    pub fn put_back_trailers(&self, trailers: Headers) {
        self.state.borrow_mut().trailers = Some(trailers);
    }

    /// Whether END_STREAM came without trailers.
    pub fn has_ended(&self) -> bool {
        self.state.borrow().body.ended
    }

    /// Why it ended prematurely, if it did.
    pub fn over(&self) -> Option<Over> {
        self.state.borrow().over
    }

    /// Time of the last activity. Over HTTP/1.1 the writes of the connection count too, as they all
    /// are of one stream.
    pub fn last_active(&self) -> Time {
        let active = self.state.borrow().active;
        match self.conn.is_http1() {
            true => active.max(self.conn.core.borrow().written),
            false => active,
        }
    }

    /// Whether either direction is open, queued output included.
    pub fn is_open(&self) -> bool {
        self.conn.core.borrow().codec.is_open(self.key)
    }

    /// Whether everything up to END_STREAM was received.
    pub fn is_whole(&self) -> bool {
        let state = self.state.borrow();
        state.body.ended || state.trailers.is_some()
    }

    /// Counts the gRPC messages that are received.
    pub fn count_messages(&self) {
        self.state.borrow_mut().framed = true;
    }

    /// gRPC messages received.
    pub fn messages(&self) -> u64 {
        self.state.borrow().messages.whole()
    }

    /// Charges its messages, past and future, to `endpoint`.
    pub fn meter(&self, endpoint: &Arc<Endpoint>, direction: Direction) {
        let mut state = self.state.borrow_mut();
        state.meter = Some((Arc::clone(endpoint), direction));
        state.note_messages(state.messages.whole(), self.conn.worker.index());
    }

    /// Time of the last DATA received.
    pub fn data_at(&self) -> Time {
        self.state.borrow().data_at
    }

    /// When the last byte was received, if the body was a single gRPC message.
    pub fn single_message_at(&self) -> Option<Time> {
        let state = self.state.borrow();
        state.messages.is_single().then_some(state.data_at)
    }

    /// Mirrors the body to `tee`: the buffered part and all that follows.
    pub fn copy_to(&self, tee: &Rc<Tee>) {
        let mut state = self.state.borrow_mut();
        tee.feed(state.body.unsent(), state.body.ended);
        state.body.copies.push(Rc::clone(tee));
    }

    /// Reads the body to its end and discards it.
    pub fn drain(&self) {
        self.state.borrow_mut().body.drained = true;
        let came = self.change_body(Body::clear);
        self.release(came);
    }

    /// Whether any of its body has come and waits for a reader.
    pub fn has_data(&self) -> bool {
        self.kept() > 0
    }

    /// Bytes of its body buffered here.
    pub(super) fn kept(&self) -> usize {
        self.state.borrow().body.buffered()
    }

    /// Bytes queued for sending.
    pub fn unsent(&self) -> usize {
        self.conn.core.borrow().codec.unsent(self.key)
    }

    /// Sends the head of a response.
    ///
    /// # Errors
    /// As [`Connection::send_head`].
    pub fn send_head<'a>(&self, head: impl Outgoing<'a>, end: bool) -> Result<(), SendError> {
        let result = self.conn.core.borrow_mut().codec.send_head(self.key, head, end);
        self.conn.flush_later();
        result
    }

    /// Sends an informational response; dropped if the client already has too much unread output.
    ///
    /// # Errors
    /// As [`Connection::send_informational`].
    pub fn send_informational(&self, headers: &Headers) -> Result<(), SendError> {
        let mut core = self.conn.core.borrow_mut();
        if core.codec.output_len() > MAX_UNREAD {
            return Ok(());
        }
        let result = core.codec.send_informational(self.key, headers);
        drop(core);
        self.conn.flush_later();
        result
    }

    /// Sends DATA made by the job itself.
    ///
    /// # Errors
    /// When the stream is over.
    pub fn send_data(&self, payload: &[u8], end: bool) -> Result<usize, Gone> {
        let result = self.conn.core.borrow_mut().codec.send_data(self.key, payload, end);
        self.conn.flush_later();
        result
    }

    /// Sends trailers after the queued DATA.
    ///
    /// # Errors
    /// As [`Connection::send_trailers`].
    pub fn send_trailers(&self, trailers: &Headers) -> Result<(), SendError> {
        let result = self.conn.core.borrow_mut().codec.send_trailers(self.key, trailers);
        self.conn.flush_later();
        result
    }

    /// Resets the stream.
    pub fn reset(&self, code: ErrorCode) {
        self.conn.core.borrow_mut().codec.reset(self.key, code);
        self.conn.flush_later();
    }

    /// Discards what is still received.
    pub fn discard(&self) {
        self.conn.core.borrow_mut().codec.discard(self.key);
        self.conn.flush_later();
    }

    /// Cancels a request to a backend: unsent frames are taken back, otherwise the stream is reset.
    /// HTTP/1.1 closes the connection, which carries nothing else.
    pub fn cancel(&self) {
        if self.is_open() {
            self.conn.cancel(self.key);
        }
    }

    /// Unlinks this side of an exchange: no more events, no splice in either direction.
    pub fn detach(&self) {
        let mut state = self.state.borrow_mut();
        let before = state.body.buffered();
        state.body.clear();
        self.settle_body(&mut state, before);
        let reader = state.body.reader.take();
        let source = state.source.take();
        while let Some(copy) = state.body.copies.pop() {
            copy.abandon();
        }
        (state.waiter, state.meter, state.head, state.trailers) = (None, None, None, None);
        if state.informational.is_some() {
            state.informational = None; // rarely set, and a branch is cheaper than a drop
        }
        drop(state);
        if let Some(reader) = reader {
            reader.state.borrow_mut().source = None;
        }
        if let Some(source) = source {
            source.state.borrow_mut().body.reader = None;
        }
        self.conn.forget(self.key);
        self.conn.changed();
    }

    /// How many bytes of the body are buffered, if it can still be replayed to another backend.
    pub fn replayable(&self) -> Option<usize> {
        let state = self.state.borrow();
        state.body.is_replayable().then(|| state.body.held().len())
    }

    /// Makes the next splice replay the body from its first byte.
    pub fn rewind(&self) {
        self.change_body(Body::rewind);
    }

    /// Sends the whole body, which is held for a replay, to `other` too.
    pub fn send_held(&self, other: &Stream) {
        let state = self.state.borrow();
        // An error shows as the end of its stream.
        let _ = other.send_data(state.body.held(), true);
    }

    /// Gives up the ability to replay the body.
    pub fn forget_replay(&self) {
        self.change_body(Body::forget_replay);
    }
}
