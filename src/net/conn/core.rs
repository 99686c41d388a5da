//! What a connection is made of, as far as its driver and its streams share it.

use std::rc::Rc;

use super::super::deadlines::SHRINK;
use super::super::io::Io;
use super::super::linger::Linger;
use super::super::socket::unsent;
use super::super::stream::Stream;
use super::timeouts::Alarm;
use super::{Closed, Codec, Conn};
use crate::http::{Key, Role};
use crate::http1;
use crate::model::Time;

/// Streams that wait to be used again.
const MOST_SPARE: usize = 128;

/// What the driver and the streams share.
pub struct Core {
    pub codec: Codec,
    pub io: Io,
    /// By the slot of their keys.
    pub streams: Vec<Option<Rc<Stream>>>,
    /// Streams that have ended, to be used again once nobody holds them.
    spare: Vec<Rc<Stream>>,
    /// The beginning of a frame, and whatever the codec cannot look at yet.
    pub partial: Vec<u8>,
    /// What was kept had to wait for something else than more of it.
    pub blocked: bool,
    /// The peer sends nothing more.
    pub ended: bool,
    /// The peer takes nothing more, and may have said why.
    pub deaf: bool,
    /// The system resets the connection if it is closed now.
    pub guarded: bool,
    pub phase: Phase,
    /// Since when the peer is asked to go, and why.
    pub leaving: Option<(Time, Closed)>,
    pub opened: Time,
    /// Since when a frame or header block is unfinished.
    pub unfinished: Option<Time>,
    was_in_block: bool,
    /// Since when the peer takes nothing.
    pub stalled: Option<Time>,
    /// When something was last written.
    pub written: Time,
    /// The peer has sent something since.
    pub has_spoken: bool,
    /// Since when there is no stream.
    pub idle: Option<Time>,
    /// When the connection is to be asked to go.
    pub expires: Option<Time>,
    /// Bytes that the system takes ahead of what it can send, where that is bounded.
    pub unsent: Option<u32>,
    /// Bytes held for slow streams, as the worker has been told.
    pub held: usize,
    /// Bytes that a client leaves unread, as the worker has been told.
    pub unread: usize,
    /// It has given up what memory it can, since there is no stream.
    pub shrunk: bool,
    /// When it was last looked whether a peer that sends nothing more is still there.
    pub looked: Time,
    pub alarm: Alarm,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open,
    /// Everything is said; what still comes is read and dropped, so that the peer gets to read
    /// our last words.
    Lingering(Closed, Linger),
    Closed(Closed),
}

impl Core {
    pub fn new(codec: Codec, io: Io, now: Time, expires: Option<Time>) -> Core {
        let unsent = (codec.role() == Role::Server).then(|| unsent(0));
        Core {
            codec,
            io,
            streams: Vec::new(),
            spare: Vec::new(),
            partial: Vec::new(),
            blocked: false,
            ended: false,
            deaf: false,
            guarded: false,
            phase: Phase::Open,
            leaving: None,
            opened: now,
            unfinished: None,
            was_in_block: false,
            stalled: None,
            written: Time::ZERO,
            has_spoken: false,
            idle: Some(now),
            expires,
            unsent,
            held: 0,
            unread: 0,
            shrunk: false,
            looked: now,
            alarm: Alarm::new(),
        }
    }

    /// The stream of this key, which begins.
    pub fn begin(&mut self, conn: &Rc<Conn>, key: Key) -> Rc<Stream> {
        let now = conn.worker().now();
        let used = self.spare.pop().and_then(|mut stream| {
            Rc::get_mut(&mut stream)?.renew(key, now);
            Some(stream)
        });
        let stream = used.unwrap_or_else(|| Rc::new(Stream::new(conn, key, now)));
        if self.streams.len() <= key.slot() {
            self.streams.resize(key.slot() + 1, None);
        }
        if let Some(slot) = self.streams.get_mut(key.slot()) {
            *slot = Some(Rc::clone(&stream));
        }
        stream
    }

    /// Forgets a stream that has ended.
    pub fn forget(&mut self, key: Key) {
        let stream = self.take(key);
        // It holds its connection, which must not hold it beyond its own end.
        if self.phase == Phase::Open && self.spare.len() < MOST_SPARE {
            self.spare.extend(stream);
        }
    }

    /// Gives up memory that an idle connection does not need.
    pub fn shrink(&mut self) {
        self.shrunk = true;
        self.codec.shrink();
        self.spare = Vec::new();
    }

    /// Every stream whose events somebody waits for.
    pub fn take_all(&mut self) -> Vec<Option<Rc<Stream>>> {
        self.spare.clear();
        std::mem::take(&mut self.streams)
    }

    pub fn take(&mut self, key: Key) -> Option<Rc<Stream>> {
        self.streams.get_mut(key.slot())?.take_if(|stream| stream.key() == key)
    }

    pub fn end(&mut self, why: Closed) {
        let why = match self.phase {
            Phase::Lingering(why, _) | Phase::Closed(why) => why,
            Phase::Open => why,
        };
        self.phase = Phase::Closed(why);
    }

    pub fn linger(&mut self, why: Closed, now: Time) {
        if self.phase == Phase::Open {
            let cut_short = self.codec.http1().is_some_and(|h1| h1.is_cut_short());
            self.phase = Phase::Lingering(why, Linger::new(now, cut_short));
            self.alarm.stale = true;
        }
    }

    /// The peer has sent more, which nobody looks at.
    pub fn overhear(&mut self, now: Time) {
        if let Phase::Lingering(_, linger) = &mut self.phase {
            linger.heard(now);
        }
    }

    /// Whether all that came was looked at, so that the end of it means what it says: what waits
    /// may be the rest of a message, or the next.
    pub fn has_heard_all(&self) -> bool {
        let in_body = self.codec.http1().is_some_and(http1::Connection::is_in_body);
        !self.blocked || (in_body && self.partial.is_empty())
    }

    /// Whether something is still to be said to a client that has ended its side: it may have done
    /// so because it asks nothing more.
    pub fn has_to_answer(&self) -> bool {
        let server = |h1: &http1::Connection| h1.role() == Role::Server;
        self.codec.http1().is_some_and(|h1| server(h1) && (h1.is_busy() || h1.output_len() > 0))
    }

    /// Keeps `rest` for the next read, and notes since when a frame, or a header block, is
    /// unfinished. One that came to its end since then has made room for a later one.
    pub fn keep(&mut self, rest: &[u8], frames_ended: bool, now: Time) {
        self.partial.clear();
        self.partial.extend_from_slice(rest);
        self.blocked = self.codec.is_blocked();
        let in_block = self.codec.in_header_block();
        let unfinished = self.codec.is_unfinished(rest.len());
        if !unfinished || (frames_ended && !(in_block && self.was_in_block)) {
            self.unfinished = None;
        }
        self.was_in_block = in_block;
        if unfinished {
            self.note_unfinished(now);
        }
    }

    /// The peer takes no more streams.
    pub fn is_told_to_go(&mut self, now: Time) {
        if !self.codec.is_busy() {
            self.linger(self.reason(), now);
        }
    }

    /// Whether there is something to write, or it is over once that is done, or what was held is not
    /// as the account has it: flushing puts that right.
    pub fn has_to_be_flushed(&self) -> bool {
        let over = self.codec.is_leaving() && !self.codec.is_busy();
        let held = self.codec.pending_bytes();
        self.codec.output_len() > 0 || held > 0 || self.held != held || over
    }

    /// Whether what was kept can be looked at now. Once all is said, nothing is.
    pub fn is_unblocked(&self) -> bool {
        self.phase == Phase::Open && self.blocked && !self.codec.is_blocked()
    }

    /// Something has begun that must end soon.
    pub fn note_unfinished(&mut self, now: Time) {
        if self.unfinished.is_none() {
            self.unfinished = Some(now);
            self.alarm.note(now + self.codec.limits().frame_timeout);
        }
    }

    /// There is no stream.
    pub fn note_idle(&mut self, now: Time) {
        if self.idle.is_none() {
            (self.idle, self.shrunk) = (Some(now), false);
            self.alarm.note(now + SHRINK);
        }
    }

    /// Has the connection reset if it is closed in the midst of a message.
    pub fn break_off(&self) {
        if self.codec.http1().is_some_and(http1::Connection::is_mid_message) {
            self.io.reset_on_close(true);
        }
    }
}

/// The stream of this key, if somebody waits for its events.
pub fn find(streams: &[Option<Rc<Stream>>], key: Key) -> Option<&Rc<Stream>> {
    streams.get(key.slot())?.as_ref().filter(|stream| stream.key() == key)
}
