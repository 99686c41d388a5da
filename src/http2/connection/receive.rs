//! Parsing frames from the peer.

use super::{Connection, Progress};
use crate::http::{Cause, ConnectionError, ErrorCode, Event, HeaderPool, Key, Millis, Role};
use crate::http2::frame::{DEFAULT_WINDOW, HEAD_LEN, Head, PREFACE, flag, kind, strip_padding};

pub(super) type Received = Result<(), ConnectionError>;

/// Context for handling a frame.
pub(super) struct Cx<'p> {
    pub now: Millis,
    pub pool: &'p mut HeaderPool,
    /// The event that the frame caused, if any; an out parameter, since returning it would copy it
    /// at each level.
    event: Option<Event>,
}

impl Cx<'_> {
    pub fn emit(&mut self, event: Event) -> Received {
        self.event = Some(event);
        Ok(())
    }
}

impl Connection {
    /// Parses whole frames off the front of `input` until one causes an event.
    pub(super) fn receive(
        &mut self,
        input: &mut &[u8],
        now: Millis,
        pool: &mut HeaderPool,
        mut take: impl FnMut(Key, &[u8], bool) -> usize,
    ) -> Result<Option<Event>, ConnectionError> {
        if self.failed {
            *input = &[];
            return Ok(None);
        }
        if let Some(key) = self.unprocessed.pop() {
            let (code, cause) = (ErrorCode::REFUSED_STREAM, Cause::Unprocessed);
            return Ok(Some(Event::Reset { key, code, cause }));
        }
        let mut cx = Cx { now, pool, event: None };
        match self.next_event(input, &mut cx, &mut take) {
            Ok(()) => Ok(cx.event),
            Err(error) => {
                self.fail(error);
                Err(error)
            }
        }
    }

    fn next_event(
        &mut self,
        input: &mut &[u8],
        cx: &mut Cx<'_>,
        take: &mut impl FnMut(Key, &[u8], bool) -> usize,
    ) -> Received {
        if self.preface_left > 0 && !self.take_preface(input)? {
            return Ok(());
        }
        while let Some((head, rest)) = input.split_first_chunk::<HEAD_LEN>() {
            let head = Head::parse(head);
            if head.len > self.limits.max_frame_size {
                return Err(ConnectionError::frame_size("frame above MAX_FRAME_SIZE"));
            }
            let Some((payload, rest)) = rest.split_at_checked(head.len as usize) else {
                break;
            };
            *input = rest;
            self.check_order(head)?;
            match head.kind {
                kind::DATA => self.data(head, payload, cx, take)?,
                _ => self.frame(head, payload, cx)?,
            }
            if cx.event.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Whether the preface is complete.
    fn take_preface(&mut self, input: &mut &[u8]) -> Result<bool, ConnectionError> {
        let n = self.preface_left.min(input.len());
        let (given, rest) = input.split_at(n);
        let done = PREFACE.len() - self.preface_left;
        if PREFACE.get(done..done + n) != Some(given) {
            return Err(ConnectionError::protocol("not an HTTP/2 preface"));
        }
        *input = rest;
        self.preface_left -= n;
        Ok(self.preface_left == 0)
    }

    /// Checks that this frame type may come now.
    fn check_order(&self, head: Head) -> Received {
        if !self.settings_seen && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(ConnectionError::protocol("the first frame is not SETTINGS"));
        }
        if self.block.is_some() && head.kind != kind::CONTINUATION {
            return Err(ConnectionError::protocol("a header block is interrupted"));
        }
        Ok(())
    }

    #[inline(never)]
    fn frame(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received {
        match head.kind {
            kind::HEADERS => self.headers(head, payload, cx),
            kind::CONTINUATION => self.continuation(head, payload, cx),
            kind::WINDOW_UPDATE => self.window_update(head, payload, cx),
            kind::RST_STREAM => self.rst_stream(head, payload, cx),
            kind::SETTINGS => self.settings(head, payload, cx),
            kind::PING => self.ping_frame(head, payload, cx),
            kind::GOAWAY => self.go_away(head, payload, cx),
            kind::PRIORITY => self.priority(head, payload, cx),
            kind::PUSH_PROMISE => Err(ConnectionError::protocol("push is not enabled")),
            _ => self.flood_guard.idle_frame(cx.now),
        }
    }

    fn data(
        &mut self,
        head: Head,
        payload: &[u8],
        cx: &mut Cx<'_>,
        take: &mut impl FnMut(Key, &[u8], bool) -> usize,
    ) -> Received {
        on_stream(head)?;
        let body = strip_padding(head, payload)?;
        self.flood_guard.carried(HEAD_LEN + payload.len(), body.len(), cx.now)?;
        self.received_message = true;
        self.take_connection_window(head.len)?;
        let end = head.has(flag::END_STREAM);
        if body.is_empty() && !end {
            self.flood_guard.empty_data(self.streams.len(), cx.now)?;
        }
        let width = self.width;
        let Some((key, stream)) = self.streams.find(head.stream) else {
            return self.late(head, cx);
        };
        match stream.receiving {
            Progress::Body => {}
            Progress::Head => return self.malformed(key, "DATA before the head", cx),
            Progress::Done => {
                return self.stream_error(key, ErrorCode::STREAM_CLOSED, "DATA after the end", cx);
            }
        }
        if stream.recv_window.receive(head.len).is_err() {
            let code = ErrorCode::FLOW_CONTROL_ERROR;
            return self.stream_error(key, code, "DATA beyond the window", cx);
        }
        if end {
            stream.receiving = Progress::Done;
        }
        if let Some(expected) = &mut stream.expected {
            match expected.checked_sub(body.len() as u64) {
                Some(left) if left == 0 || !end => *expected = left,
                _ => return self.malformed(key, "body differs from content-length", cx),
            }
        }
        let mut spent = payload.len() - body.len();
        if stream.discarding && self.role == Role::Server {
            spent = payload.len(); // a client may read the response only once it has sent everything
        } else if !stream.discarding && (end || !body.is_empty()) {
            spent += take(key, body, end);
        }
        if let Some(credit) = stream.release(spent, width) {
            self.frames.window_update(key.id, credit);
        }
        if end {
            self.settle(key);
        }
        Ok(())
    }

    /// Connection level credit is returned on receipt: one slow stream must not stall the others.
    fn take_connection_window(&mut self, len: u32) -> Result<(), ConnectionError> {
        if self.recv_window.receive(len).is_err() {
            return Err(ConnectionError::flow_control("DATA beyond the connection's window"));
        }
        self.recv_window.owe(len);
        self.grant_credit();
        Ok(())
    }

    /// Sends a WINDOW_UPDATE for the connection once it is worth a frame; not while the peer has
    /// unacknowledged smaller windows, as its connection window then bounds what it sends.
    pub(super) fn grant_credit(&mut self) {
        let least = self.limits.connection_window.max(DEFAULT_WINDOW) / 2;
        if self.unacked_settings == 0
            && let Some(credit) = self.recv_window.grant(least)
        {
            self.frames.window_update(0, credit);
        }
    }

    #[cold]
    pub(super) fn malformed(&mut self, key: Key, why: &'static str, cx: &mut Cx<'_>) -> Received {
        self.stream_error(key, ErrorCode::PROTOCOL_ERROR, why, cx)
    }

    #[cold]
    pub(super) fn stream_error(
        &mut self,
        key: Key,
        code: ErrorCode,
        why: &'static str,
        cx: &mut Cx<'_>,
    ) -> Received {
        self.flood_guard.error(cx.now)?;
        self.reset(key, code);
        cx.emit(Event::Reset { key, code, cause: Cause::Malformed(why) })
    }

    /// A frame for a stream that is not open: an error if the stream never was, otherwise counted
    /// as a late frame.
    #[cold]
    pub(super) fn late(&mut self, head: Head, cx: &mut Cx<'_>) -> Received {
        if self.is_idle(head.stream) {
            return Err(ConnectionError::protocol("frame on an idle stream"));
        }
        if head.kind == kind::DATA && !self.is_forgiven(head.stream) {
            return Err(ConnectionError::stream_closed("DATA on a closed stream"));
        }
        self.flood_guard.idle_frame(cx.now)
    }

    /// Whether the peer may not have seen our reset of this stream yet.
    pub(super) fn is_forgiven(&self, id: u32) -> bool {
        let ignored = id > self.last_accepted;
        self.role == Role::Client || ignored || self.reset_by_us.contains(&id)
    }

    pub(super) fn is_idle(&self, id: u32) -> bool {
        match self.role {
            Role::Server => id.is_multiple_of(2) || id > self.last_peer_id,
            Role::Client => id.is_multiple_of(2) || id >= self.next_id,
        }
    }
}

pub(super) fn on_stream(head: Head) -> Result<(), ConnectionError> {
    if head.stream == 0 {
        return Err(ConnectionError::protocol("a stream's frame on stream 0"));
    }
    Ok(())
}
