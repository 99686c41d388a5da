//! One stream of a connection, as a request's task sees it.
//!
//! The task takes what has come ([`Stream::take_head`], [`Stream::take_trailers`]) and sends what
//! it wants; between, two streams are spliced: the drivers of their connections then move DATA
//! from one to the other without waking the task.

mod feed;
mod informational;
mod waiting;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

pub use self::feed::splice;
use self::informational::Informational;
use super::body::Body;
use super::conn::Conn;
use super::tee::Tee;
use super::worker::Waiter;
use crate::grpc::MessageCounter;
use crate::http::{Cause, ErrorCode, Gone, Headers, Key, Outgoing, SendError};
use crate::model::{Endpoint, Time};
use crate::stats::Direction;

/// Bytes to be written to a client beyond which it gets no informational responses.
const MOST_UNREAD: usize = 128 << 10;

/// How a stream ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// One side reset it.
    Reset {
        /// The code of the RST_STREAM.
        code: ErrorCode,
        /// Whose doing it was.
        cause: Cause,
    },
    /// Its connection is gone.
    Lost,
    /// The peer broke a rule for which its connection ends.
    Fault,
    /// Its reader was so slow that what waited for it passed the bounds.
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
    /// Few exchanges have any.
    informational: Option<Box<Informational>>,
    body: Body,
    trailers: Option<Headers>,
    over: Option<Over>,
    /// Whose body is sent here.
    source: Option<Rc<Stream>>,
    /// What comes is gRPC, and its messages are counted.
    framed: bool,
    messages: MessageCounter,
    /// Whose messages they are, once the exchange is a stream.
    meter: Option<(Arc<Endpoint>, Direction)>,
    data_at: Time,
    active: Time,
    waiter: Option<Waiter>,
    /// Who waits is told of the body too: when it begins to wait, and when it ends.
    tells_of_body: bool,
}

impl State {
    /// Becomes that of another stream: what [`Stream::detach`] leaves begins anew.
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

    /// Becomes another stream of its connection.
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

    /// Whether END_STREAM came without trailers.
    pub fn has_ended(&self) -> bool {
        self.state.borrow().body.ended
    }

    /// How it ended before its end, if it did.
    pub fn over(&self) -> Option<Over> {
        self.state.borrow().over
    }

    /// When something last came or left. What HTTP/1.1 writes is all of one stream, the last of it
    /// too, which has no news for the stream any more.
    pub fn last_active(&self) -> Time {
        let active = self.state.borrow().active;
        match self.conn.is_http1() {
            true => active.max(self.conn.core.borrow().written),
            false => active,
        }
    }

    /// Whether it still goes on, in either direction, what waits to be sent included.
    pub fn is_open(&self) -> bool {
        self.conn.core.borrow().codec.is_open(self.key)
    }

    /// Whether all that the peer will send is here already.
    pub fn is_whole(&self) -> bool {
        let state = self.state.borrow();
        state.body.ended || state.trailers.is_some()
    }

    /// What comes is gRPC: its messages are counted.
    pub fn count_messages(&self) {
        self.state.borrow_mut().framed = true;
    }

    /// gRPC messages that have come.
    pub fn messages(&self) -> u64 {
        self.state.borrow().messages.whole()
    }

    /// Counts the messages that have come, and those to come, as `endpoint`'s.
    pub fn meter(&self, endpoint: &Arc<Endpoint>, direction: Direction) {
        let mut state = self.state.borrow_mut();
        state.meter = Some((Arc::clone(endpoint), direction));
        state.note_messages(state.messages.whole(), self.conn.worker.index());
    }

    /// When a piece of the body last came.
    pub fn data_at(&self) -> Time {
        self.state.borrow().data_at
    }

    /// When the last byte came, if all that came was one gRPC message.
    pub fn single_message_at(&self) -> Option<Time> {
        let state = self.state.borrow();
        state.messages.is_single().then_some(state.data_at)
    }

    /// Lets `tee` have a copy of what has come and of what is to come.
    pub fn copy_to(&self, tee: &Rc<Tee>) {
        let mut state = self.state.borrow_mut();
        tee.feed(state.body.waiting(), state.body.ended);
        state.body.copies.push(Rc::clone(tee));
    }

    /// Drops the body that comes, so that it goes on to its end.
    pub fn drain(&self) {
        self.state.borrow_mut().body.drained = true;
        let came = self.change_body(Body::clear);
        self.release(came);
    }

    /// Bytes of its body that are kept here.
    pub(super) fn kept(&self) -> usize {
        self.state.borrow().body.kept()
    }

    /// Bytes that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.conn.core.borrow().codec.unsent(self.key)
    }

    /// Sends the head of a response.
    ///
    /// # Errors
    /// As [`crate::http2::Connection::send_head`].
    pub fn send_head<'a>(&self, head: impl Outgoing<'a>, end: bool) -> Result<(), SendError> {
        let result = self.conn.core.borrow_mut().codec.send_head(self.key, head, end);
        self.conn.flush_later();
        result
    }

    /// Sends an informational response, unless the client has left so much unread that it would
    /// only make that more.
    ///
    /// # Errors
    /// As [`crate::http2::Connection::send_informational`].
    pub fn send_informational(&self, headers: &Headers) -> Result<(), SendError> {
        let mut core = self.conn.core.borrow_mut();
        if core.codec.output_len() > MOST_UNREAD {
            return Ok(());
        }
        let result = core.codec.send_informational(self.key, headers);
        drop(core);
        self.conn.flush_later();
        result
    }

    /// Sends a piece of a body that the task itself has made.
    ///
    /// # Errors
    /// When the stream is over.
    pub fn send_data(&self, payload: &[u8], end: bool) -> Result<usize, Gone> {
        let result = self.conn.core.borrow_mut().codec.send_data(self.key, payload, end);
        self.conn.flush_later();
        result
    }

    /// Sends trailers after what waits.
    ///
    /// # Errors
    /// As [`crate::http2::Connection::send_trailers`].
    pub fn send_trailers(&self, trailers: &Headers) -> Result<(), SendError> {
        let result = self.conn.core.borrow_mut().codec.send_trailers(self.key, trailers);
        self.conn.flush_later();
        result
    }

    /// Ends the stream in both directions.
    pub fn reset(&self, code: ErrorCode) {
        self.conn.core.borrow_mut().codec.reset(self.key, code);
        self.conn.flush_later();
    }

    /// Wants nothing more of what comes.
    pub fn discard(&self) {
        self.conn.core.borrow_mut().codec.discard(self.key);
        self.conn.flush_later();
    }

    /// Gives up a request to a backend: what has not left is taken back, the rest is reset. Of
    /// HTTP/1.1 the end of the connection tells it, and nothing else is on that.
    pub fn cancel(&self) {
        if self.is_open() {
            self.conn.cancel(self.key);
        }
    }

    /// Ends this side's part in an exchange: no more events, nothing fed or fed from.
    pub fn detach(&self) {
        let mut state = self.state.borrow_mut();
        let before = state.body.kept();
        state.body.clear();
        self.settle_body(&mut state, before);
        let reader = state.body.reader.take();
        let source = state.source.take();
        while let Some(copy) = state.body.copies.pop() {
            copy.abandon();
        }
        (state.waiter, state.meter, state.head, state.trailers) = (None, None, None, None);
        if state.informational.is_some() {
            state.informational = None; // few have any, and to look is cheaper than to drop
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

    /// Whether all of the body that has come could be sent to another backend.
    pub fn is_replayable(&self) -> bool {
        self.state.borrow().body.is_replayable()
    }

    /// Has the next splice begin at the first byte of the body.
    pub fn rewind(&self) {
        self.change_body(Body::rewind);
    }

    /// The body will not be sent to another backend.
    pub fn forget_replay(&self) {
        self.change_body(Body::forget_replay);
    }
}
