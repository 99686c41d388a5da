//! The state of a connection that its driver and its streams share.

use std::rc::Rc;

use super::super::deadlines::SHRINK_AFTER;
use super::super::freeze_detector::{FreezeDetector, PeerSilence};
use super::super::io::Io;
use super::super::keepalive::{Keepalive, Pings};
use super::super::linger::Linger;
use super::super::socket::unsent;
use super::super::stream::Stream;
use super::timeouts::Alarm;
use super::{Closed, Codec, Conn};
use crate::http::{Connection, Key, Role};
use crate::http1;
use crate::model::Time;

/// Free list capacity for [`Stream`]s.
const MAX_SPARE_STREAMS: usize = 128;

/// Connection state shared by the driver and the streams.
pub struct ConnState {
    pub codec: Codec,
    pub io: Io,
    /// Open streams, indexed by the slot of their key.
    pub streams: Vec<Option<Rc<Stream>>>,
    /// Free list: ended streams, recycled once nobody else holds a reference.
    spare: Vec<Rc<Stream>>,
    /// Input not parsed yet: a partial frame, or what the codec is blocked on.
    pub partial: Vec<u8>,
    /// `partial` waits for the codec to be unblocked, not for more input.
    pub blocked: bool,
    /// The read side is closed (end of input).
    pub ended: bool,
    /// The write side failed; a last answer may still be readable.
    pub write_closed: bool,
    /// SO_LINGER is set, so that closing now sends a TCP RST.
    pub reset_armed: bool,
    pub phase: Phase,
    /// When the graceful shutdown began, and why.
    pub leaving: Option<(Time, Closed)>,
    /// The peer has sent GOAWAY.
    pub peer_left: bool,
    pub opened: Time,
    /// When the unfinished frame or header block began.
    pub unfinished: Option<Time>,
    was_in_block: bool,
    /// When the socket stopped accepting output.
    pub stalled: Option<Time>,
    /// Time of the last write.
    pub written: Time,
    /// Input was received since the last write.
    pub peer_active: bool,
    /// Since when nothing was received.
    pub silence: PeerSilence,
    /// Keepalive of a backend's HTTP/2 connection.
    pub pings: Option<Pings>,
    /// Detects whether the backend is frozen.
    pub freeze_detector: Option<FreezeDetector>,
    /// When the last stream ended, if none is open.
    pub idle: Option<Time>,
    /// When it reaches its maximum age.
    pub expires: Option<Time>,
    /// TCP_NOTSENT_LOWAT in force, where it is set.
    pub unsent: Option<u32>,
    /// Held bytes as last reported to the worker's memory account.
    pub held: usize,
    /// Unread bytes as last reported to the worker.
    pub unread: usize,
    /// Idle memory has been freed.
    pub shrunk: bool,
    /// Time of the last liveness check of a half-closed peer.
    pub last_liveness_check: Time,
    pub alarm: Alarm,
}

/// Lifecycle of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open,
    /// Lingering close: all output is written; input is read and dropped, so that a TCP RST does
    /// not destroy our last bytes before the peer reads them.
    Lingering(Closed, Linger),
    Closed(Closed),
}

impl ConnState {
    pub fn new(
        codec: Codec,
        io: Io,
        now: Time,
        expires: Option<Time>,
        keepalive: Option<Keepalive>,
    ) -> ConnState {
        let pings = keepalive.filter(|_| codec.http1().is_none()).map(Pings::new);
        let unsent = (codec.role() == Role::Server).then(|| unsent(0));
        ConnState {
            codec,
            io,
            streams: Vec::new(),
            spare: Vec::new(),
            partial: Vec::new(),
            blocked: false,
            ended: false,
            write_closed: false,
            reset_armed: false,
            phase: Phase::Open,
            leaving: None,
            peer_left: false,
            opened: now,
            unfinished: None,
            was_in_block: false,
            stalled: None,
            written: Time::ZERO,
            peer_active: false,
            silence: PeerSilence::new(now),
            freeze_detector: keepalive.map(|_| FreezeDetector::new()),
            pings,
            idle: Some(now),
            expires,
            unsent,
            held: 0,
            unread: 0,
            shrunk: false,
            last_liveness_check: now,
            alarm: Alarm::new(),
        }
    }

    /// Creates the stream of this key, recycling one if possible.
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

    /// Removes an ended stream, recycling it.
    pub fn forget(&mut self, key: Key) {
        let stream = self.take(key);
        // A stream holds its connection: a closed one must not keep the cycle alive.
        if self.phase == Phase::Open && self.spare.len() < MAX_SPARE_STREAMS {
            self.spare.extend(stream);
        }
    }

    /// Frees memory that an idle connection does not need.
    pub fn shrink(&mut self) {
        self.shrunk = true;
        self.codec.shrink();
        self.spare = Vec::new();
    }

    /// Takes all streams, when the connection ends.
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

    /// Input during the lingering close: extends it.
    pub fn extend_linger(&mut self, now: Time) {
        if let Phase::Lingering(_, linger) = &mut self.phase {
            linger.note_input(now);
        }
    }

    /// Whether all input was parsed, so that end of input can be acted on: unparsed bytes may be
    /// the rest of a message, or a pipelined request.
    pub fn has_parsed_all(&self) -> bool {
        let in_body = self.codec.http1().is_some_and(http1::Connection::is_in_body);
        !self.blocked || (in_body && self.partial.is_empty())
    }

    /// Whether a half-closed HTTP/1.1 client still awaits a response.
    pub fn has_to_answer(&self) -> bool {
        let server = |h1: &http1::Connection| h1.role() == Role::Server;
        self.codec.http1().is_some_and(|h1| server(h1) && (h1.is_busy() || h1.output_len() > 0))
    }

    /// Buffers `rest` for the next read, and tracks since when a frame or header block is
    /// unfinished. Completing one restarts the timeout for the next.
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

    /// Whether a flush is due: output is pending, the connection is done, or the memory account is
    /// out of date, which a flush corrects.
    pub fn has_to_be_flushed(&self) -> bool {
        let over = self.codec.is_leaving() && !self.codec.is_busy();
        let held = self.codec.pending_bytes();
        self.codec.output_len() > 0 || held > 0 || self.held != held || over
    }

    /// Whether buffered input can be parsed now; never once lingering.
    pub fn is_unblocked(&self) -> bool {
        self.phase == Phase::Open && self.blocked && !self.codec.is_blocked()
    }

    /// Starts the frame timeout.
    pub fn note_unfinished(&mut self, now: Time) {
        if self.unfinished.is_none() {
            self.unfinished = Some(now);
            self.alarm.note(now + self.codec.limits().frame_timeout);
        }
    }

    /// Starts the idle timeouts.
    pub fn note_idle(&mut self, now: Time) {
        if self.idle.is_none() {
            (self.idle, self.shrunk) = (Some(now), false);
            self.alarm.note(now + SHRINK_AFTER);
        }
    }

    /// Whether ending it for this reason means that the peer, or the network, has failed. A peer that has
    /// sent GOAWAY is not lost.
    pub fn is_lost(&self, why: Closed) -> bool {
        let failed = match why {
            Closed::Peer => self.codec.is_busy(),
            Closed::Io
            | Closed::Handshake
            | Closed::PrefaceTimeout
            | Closed::FrameTimeout
            | Closed::WriteStall
            | Closed::Keepalive => true,
            Closed::Fault(_) // our own limit, though of what it does
            | Closed::Idle
            | Closed::MaxAge
            | Closed::Cancelled
            | Closed::Drain => false,
        };
        failed && !self.peer_left
    }

    /// Arms a TCP RST on close if an HTTP/1.1 message is incomplete, so that it is not mistaken for a
    /// complete one.
    pub fn arm_reset_if_incomplete(&self) {
        if self.codec.http1().is_some_and(http1::Connection::is_mid_message) {
            self.io.reset_on_close(true);
        }
    }
}

/// The stream of this key, if it is still registered.
pub fn find(streams: &[Option<Rc<Stream>>], key: Key) -> Option<&Rc<Stream>> {
    streams.get(key.slot())?.as_ref().filter(|stream| stream.key() == key)
}
