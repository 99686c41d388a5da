//! What comes from the peer, frame by frame.

use super::{Block, Cause, Connection, ConnectionError, ErrorCode, Event, Key, Progress, Role};
use crate::http2::Millis;
use crate::http2::error::Fault;
use crate::http2::frame::{
    DEFAULT_WINDOW, HEAD_LEN, Head, MAX_31, PREFACE, flag, kind, read_31, strip_padding,
};
use crate::http2::headers::{HeaderPool, Headers};
use crate::http2::hpack::DecodeError;
use crate::http2::memo::Kind;
use crate::http2::message::{self, Facts};
use crate::http2::settings;
use crate::http2::stream::Stream;

type Received<'a> = Result<Option<Event<'a>>, ConnectionError>;

/// A header list, and what is to be thought of it.
struct Message {
    headers: Headers,
    too_large: bool,
    facts: Result<Facts, &'static str>,
}

/// What every frame is handled with.
pub(super) struct Cx<'p> {
    pub now: Millis,
    pub pool: &'p mut HeaderPool,
}

impl Connection {
    /// Takes whole frames off the front of `input` until one of them is an event. `None` when
    /// what is left is not a whole frame. To be called until it yields `None`, then
    /// [`Connection::pump`].
    ///
    /// # Errors
    /// When the connection cannot go on. The GOAWAY that says so is in the output; what comes
    /// after is ignored.
    pub fn receive<'a>(
        &mut self,
        input: &mut &'a [u8],
        now: Millis,
        pool: &mut HeaderPool,
    ) -> Received<'a> {
        if self.failed {
            *input = &[];
            return Ok(None);
        }
        if let Some(key) = self.unprocessed.pop() {
            let (code, cause) = (ErrorCode::REFUSED_STREAM, Cause::Unprocessed);
            return Ok(Some(Event::Reset { key, code, cause }));
        }
        let result = self.next_event(input, &mut Cx { now, pool });
        if let Err(error) = result {
            self.fail(error);
        }
        result
    }

    fn next_event<'a>(&mut self, input: &mut &'a [u8], cx: &mut Cx<'_>) -> Received<'a> {
        if self.preface_left > 0 && !self.take_preface(input)? {
            return Ok(None);
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
            if let Some(event) = self.frame(head, payload, cx)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
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

    fn frame<'a>(&mut self, head: Head, payload: &'a [u8], cx: &mut Cx<'_>) -> Received<'a> {
        if !self.settings_seen && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(ConnectionError::protocol("the first frame is not SETTINGS"));
        }
        if self.block.is_some() && head.kind != kind::CONTINUATION {
            return Err(ConnectionError::protocol("a header block is interrupted"));
        }
        match head.kind {
            kind::DATA => self.data(head, payload, cx),
            kind::HEADERS => self.headers(head, payload, cx),
            kind::CONTINUATION => self.continuation(head, payload, cx),
            kind::WINDOW_UPDATE => self.window_update(head, payload, cx),
            kind::RST_STREAM => self.rst_stream(head, payload, cx),
            kind::SETTINGS => self.settings(head, payload, cx),
            kind::PING => self.ping_frame(head, payload, cx),
            kind::GOAWAY => self.go_away(head, payload, cx),
            kind::PRIORITY => self.priority(head, payload, cx),
            kind::PUSH_PROMISE => Err(ConnectionError::protocol("push is not enabled")),
            _ => self.meter.idle_frame(cx.now).map(|()| None),
        }
    }

    fn data<'a>(&mut self, head: Head, payload: &'a [u8], cx: &mut Cx<'_>) -> Received<'a> {
        on_stream(head)?;
        let body = strip_padding(head, payload)?;
        self.meter.carried(HEAD_LEN + payload.len(), body.len())?;
        self.take_connection_window(head.len)?;
        let end = head.has(flag::END_STREAM);
        if body.is_empty() && !end {
            self.meter.empty_data(cx.now)?;
        }
        let Some(key) = self.streams.key(head.stream) else {
            return self.late(head, cx);
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(None);
        };
        match stream.receiving {
            Progress::Body => {}
            Progress::Head => return self.malformed(key, "DATA before the head", cx),
            Progress::Done => {
                return self.stream_error(key, ErrorCode::STREAM_CLOSED, "DATA after the end", cx);
            }
        }
        if i64::from(head.len) > stream.recv_window {
            let code = ErrorCode::FLOW_CONTROL_ERROR;
            return self.stream_error(key, code, "DATA beyond the window", cx);
        }
        stream.recv_window -= i64::from(head.len);
        if end {
            stream.receiving = Progress::Done;
        }
        if let Some(expected) = &mut stream.expected {
            match expected.checked_sub(body.len() as u64) {
                Some(left) if left == 0 || !end => *expected = left,
                _ => return self.malformed(key, "body differs from content-length", cx),
            }
        }
        let wanted = !stream.discarding;
        self.release(key, payload.len() - body.len());
        if end {
            self.settle(key);
        }
        Ok((wanted && (end || !body.is_empty())).then_some(Event::Data { key, payload: body, end }))
    }

    /// Credit for the connection goes back on receipt: one slow stream must not stop the others.
    fn take_connection_window(&mut self, len: u32) -> Result<(), ConnectionError> {
        self.recv_window -= i64::from(len);
        if self.recv_window < 0 {
            return Err(ConnectionError::flow_control("DATA beyond the connection's window"));
        }
        self.credit += len;
        if self.credit >= self.limits.connection_window.max(DEFAULT_WINDOW) / 2 {
            self.output.window_update(0, self.credit);
            self.recv_window += i64::from(self.credit);
            self.credit = 0;
        }
        Ok(())
    }

    fn headers<'a>(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received<'a> {
        on_stream(head)?;
        self.check_headers_allowed(head.stream)?;
        let mut fragment = strip_padding(head, payload)?;
        self.meter.carried(HEAD_LEN + payload.len(), fragment.len())?;
        let mut depends_on_itself = false;
        if head.has(flag::PRIORITY) {
            let (priority, rest) = fragment
                .split_at_checked(5)
                .ok_or(ConnectionError::frame_size("HEADERS too short for its priority"))?;
            depends_on_itself = read_31(priority) == Some(head.stream);
            fragment = rest;
        }
        let block = Block {
            stream: head.stream,
            end_stream: head.has(flag::END_STREAM),
            depends_on_itself,
            bytes: Vec::new(),
            pieces: 1,
        };
        if head.has(flag::END_HEADERS) {
            return self.block(&block, fragment, cx);
        }
        let bytes = fragment.to_vec();
        self.block = Some(Block { bytes, ..block });
        Ok(None)
    }

    /// HEADERS may open the peer's next stream, or go on with one that is not forgotten.
    fn check_headers_allowed(&self, id: u32) -> Result<(), ConnectionError> {
        match self.role {
            Role::Server if id.is_multiple_of(2) => {
                Err(ConnectionError::protocol("even stream id"))
            }
            Role::Server if id > self.last_peer_id || self.streams.key(id).is_some() => Ok(()),
            Role::Server if self.is_forgiven(id) => Ok(()),
            Role::Server => Err(ConnectionError::stream_closed("HEADERS on a closed stream")),
            Role::Client if self.is_idle(id) => {
                Err(ConnectionError::protocol("HEADERS on an idle stream"))
            }
            Role::Client => Ok(()),
        }
    }

    fn continuation<'a>(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received<'a> {
        let Some(mut block) = self.block.take_if(|block| block.stream == head.stream) else {
            return Err(ConnectionError::protocol("CONTINUATION without a header block"));
        };
        self.meter.carried(HEAD_LEN + payload.len(), payload.len())?;
        block.bytes.extend_from_slice(payload);
        block.pieces += 1;
        let most = 16 + self.limits.header_size / (4 << 10);
        if block.pieces > most || block.bytes.len() > 4 * self.limits.header_size as usize {
            let detail = "header block too long or in too many pieces";
            return Err(ConnectionError::calm(Fault::Continuation, detail));
        }
        if head.has(flag::END_HEADERS) {
            let bytes = std::mem::take(&mut block.bytes);
            return self.block(&block, &bytes, cx);
        }
        self.block = Some(block);
        Ok(None)
    }

    fn block<'a>(&mut self, block: &Block, bytes: &[u8], cx: &mut Cx<'_>) -> Received<'a> {
        let key = self.streams.key(block.stream);
        let receiving = key.and_then(|key| self.streams.get(key)).map(|stream| stream.receiving);
        let kind = match (self.role, receiving) {
            (Role::Server, None) => Kind::Request,
            (Role::Client, Some(Progress::Head)) => Kind::Response,
            _ => Kind::Trailers,
        };
        let message = self.read_message(kind, bytes, cx)?;
        match (key, kind) {
            (None, Kind::Request) => self.request(block, message, cx),
            (None, _) => {
                cx.pool.put(message.headers);
                self.meter.idle_frame(cx.now).map(|()| None)
            }
            (Some(key), _) if block.depends_on_itself => {
                self.malformed(key, "stream depends on itself", cx)
            }
            (Some(key), _) if receiving == Some(Progress::Done) => {
                self.stream_error(key, ErrorCode::STREAM_CLOSED, "HEADERS after the end", cx)
            }
            (Some(key), Kind::Response) => self.response(key, block, message, cx),
            (Some(key), _) => self.trailers(key, block, message, cx),
        }
    }

    /// Decodes and checks a block, unless the same one was before.
    fn read_message(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<Message, ConnectionError> {
        let mut headers = cx.pool.take();
        let generation = self.decoder.generation();
        if let Some(facts) = self.memo.recall(kind, bytes, generation, &mut headers) {
            return Ok(Message { headers, too_large: false, facts: Ok(facts) });
        }
        let (size, count) = (self.limits.header_size as usize, self.limits.header_count as usize);
        let decoded = self.decoder.decode(bytes, size, count, &mut headers);
        let too_large = decoded.map_err(compression_error)?.too_large;
        let facts = match kind {
            Kind::Request => message::request(&headers),
            Kind::Response => message::response(&headers),
            Kind::Trailers => message::trailers(&headers),
        };
        if let Ok(facts) = facts
            && !too_large
            && self.decoder.generation() == generation
        {
            self.memo.note(kind, bytes, generation, &headers, facts);
        }
        Ok(Message { headers, too_large, facts })
    }

    fn request<'a>(&mut self, block: &Block, message: Message, cx: &mut Cx<'_>) -> Received<'a> {
        let Message { headers, too_large, facts } = message;
        let id = block.stream;
        if id <= self.last_peer_id {
            cx.pool.put(headers); // one of those that we reset
            return self.meter.idle_frame(cx.now).map(|()| None);
        }
        self.last_peer_id = id;
        self.meter.opened(cx.now);
        if id > self.last_accepted {
            cx.pool.put(headers);
            return Ok(None);
        }
        if self.streams.len() >= self.limits.max_streams as usize {
            return self.refuse(id, ErrorCode::REFUSED_STREAM, headers, cx);
        }
        let mut stream = Stream::new(id, cx.now, self.peer.initial_window, self.receive_window());
        stream.receiving = if block.end_stream { Progress::Done } else { Progress::Body };
        if too_large {
            let key = self.streams.insert(stream);
            return Ok(Some(Event::Oversized { key, headers }));
        }
        let facts = match facts {
            Ok(facts) if !block.depends_on_itself => facts,
            _ => return self.refuse(id, ErrorCode::PROTOCOL_ERROR, headers, cx),
        };
        stream.expected = facts.content_length;
        if block.end_stream && facts.content_length.unwrap_or(0) > 0 {
            return self.refuse(id, ErrorCode::PROTOCOL_ERROR, headers, cx);
        }
        let key = self.streams.insert(stream);
        Ok(Some(Event::Request { key, headers, end: block.end_stream }))
    }

    /// Resets a stream that nobody has heard of yet.
    fn refuse<'a>(
        &mut self,
        id: u32,
        code: ErrorCode,
        headers: Headers,
        cx: &mut Cx<'_>,
    ) -> Received<'a> {
        cx.pool.put(headers);
        self.output.reset(id, code);
        self.remember_reset(id);
        self.meter.error(cx.now)?;
        Ok(None)
    }

    fn response<'a>(
        &mut self,
        key: Key,
        block: &Block,
        message: Message,
        cx: &mut Cx<'_>,
    ) -> Received<'a> {
        let Message { headers, too_large, facts } = message;
        if too_large {
            return self.too_large(key, headers, cx);
        }
        let facts = match facts {
            Ok(facts) => facts,
            Err(why) => return self.malformed(key, why, cx),
        };
        let informational = facts.status < 200;
        if informational && block.end_stream {
            return self.malformed(key, "an informational response ends the stream", cx);
        }
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(None);
        };
        if informational {
            let wanted = !stream.discarding;
            return Ok(wanted.then_some(Event::Informational { key, headers }));
        }
        let bodyless = stream.head_method || matches!(facts.status, 204 | 304);
        stream.expected = if bodyless { Some(0) } else { facts.content_length };
        stream.receiving = if block.end_stream { Progress::Done } else { Progress::Body };
        if block.end_stream && stream.expected.unwrap_or(0) > 0 {
            return self.malformed(key, "body differs from content-length", cx);
        }
        let wanted = !stream.discarding;
        self.settle(key);
        let end = block.end_stream;
        Ok(wanted.then_some(Event::Response { key, headers, end }))
    }

    fn trailers<'a>(
        &mut self,
        key: Key,
        block: &Block,
        message: Message,
        cx: &mut Cx<'_>,
    ) -> Received<'a> {
        let Message { headers, too_large, facts } = message;
        if too_large {
            return self.too_large(key, headers, cx);
        }
        if !block.end_stream {
            return self.malformed(key, "trailers that do not end the stream", cx);
        }
        if let Err(why) = facts {
            return self.malformed(key, why, cx);
        }
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(None);
        };
        if stream.expected.unwrap_or(0) > 0 {
            return self.malformed(key, "body differs from content-length", cx);
        }
        stream.receiving = Progress::Done;
        let wanted = !stream.discarding;
        self.settle(key);
        Ok(wanted.then_some(Event::Trailers { key, headers }))
    }

    fn too_large<'a>(&mut self, key: Key, headers: Headers, cx: &mut Cx<'_>) -> Received<'a> {
        cx.pool.put(headers);
        self.meter.error(cx.now)?;
        let code = ErrorCode::ENHANCE_YOUR_CALM;
        self.reset(key, code);
        Ok(Some(Event::Reset { key, code, cause: Cause::TooLarge }))
    }

    fn malformed<'a>(&mut self, key: Key, why: &'static str, cx: &mut Cx<'_>) -> Received<'a> {
        self.stream_error(key, ErrorCode::PROTOCOL_ERROR, why, cx)
    }

    fn stream_error<'a>(
        &mut self,
        key: Key,
        code: ErrorCode,
        why: &'static str,
        cx: &mut Cx<'_>,
    ) -> Received<'a> {
        self.meter.error(cx.now)?;
        self.reset(key, code);
        Ok(Some(Event::Reset { key, code, cause: Cause::Malformed(why) }))
    }

    fn rst_stream<'a>(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received<'a> {
        on_stream(head)?;
        let Ok(code) = <[u8; 4]>::try_from(payload) else {
            return Err(ConnectionError::frame_size("RST_STREAM is not 4 bytes"));
        };
        let Some(key) = self.streams.key(head.stream) else {
            return self.late(head, cx);
        };
        let opened = self.streams.get(key).map_or(0, |stream| stream.opened);
        self.remove(key);
        self.meter.reset(opened, cx.now)?;
        let code = ErrorCode(u32::from_be_bytes(code));
        Ok(Some(Event::Reset { key, code, cause: Cause::Peer }))
    }

    fn priority<'a>(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received<'a> {
        on_stream(head)?;
        self.meter.idle_frame(cx.now)?;
        if payload.len() != 5 {
            return Err(ConnectionError::frame_size("PRIORITY is not 5 bytes"));
        }
        if read_31(payload) != Some(head.stream) {
            return Ok(None); // priorities are deprecated and have no effect here
        }
        match self.streams.key(head.stream) {
            Some(key) => self.malformed(key, "stream depends on itself", cx),
            None => Err(ConnectionError::protocol("stream depends on itself")),
        }
    }

    fn settings<'a>(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received<'a> {
        if head.stream != 0 {
            return Err(ConnectionError::protocol("SETTINGS on a stream"));
        }
        self.meter.settings(cx.now)?;
        if head.has(flag::ACK) {
            self.settings_acked = true;
            let empty = payload.is_empty();
            let error = ConnectionError::frame_size("acknowledgement with a payload");
            return if empty { Ok(None) } else { Err(error) };
        }
        if !payload.len().is_multiple_of(6) {
            return Err(ConnectionError::frame_size("SETTINGS is not a multiple of 6 bytes"));
        }
        let before = self.peer;
        self.peer.apply(payload)?;
        if self.role == Role::Client && settings::enable_push(payload) {
            return Err(ConnectionError::protocol("a server sent ENABLE_PUSH"));
        }
        for size in settings::table_sizes(payload) {
            self.encoder.set_max_table_size(size);
        }
        self.resize_windows(before.initial_window)?;
        self.settings_seen = true;
        self.ack_settings();
        Ok(Some(Event::Settings))
    }

    /// INITIAL_WINDOW_SIZE changes the window of every open stream (RFC 9113, section 6.9.2).
    fn resize_windows(&mut self, before: u32) -> Result<(), ConnectionError> {
        let by = i64::from(self.peer.initial_window) - i64::from(before);
        if by == 0 {
            return Ok(());
        }
        let mut widened = Vec::new();
        for (key, stream) in self.streams.iter_mut() {
            stream.send_window += by;
            if stream.send_window > i64::from(MAX_31) {
                return Err(ConnectionError::flow_control(
                    "INITIAL_WINDOW_SIZE overflows a window",
                ));
            }
            if by > 0 && !stream.pending.is_empty() {
                widened.push(key);
            }
        }
        for key in widened {
            self.enqueue(key);
        }
        Ok(())
    }

    fn ping_frame<'a>(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received<'a> {
        if head.stream != 0 {
            return Err(ConnectionError::protocol("PING on a stream"));
        }
        let Ok(payload) = <[u8; 8]>::try_from(payload) else {
            return Err(ConnectionError::frame_size("PING is not 8 bytes"));
        };
        self.meter.ping(cx.now)?;
        if head.has(flag::ACK) {
            return Ok(Some(Event::Pong(payload)));
        }
        self.output.ping(payload, true);
        Ok(None)
    }

    fn go_away<'a>(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received<'a> {
        if head.stream != 0 {
            return Err(ConnectionError::protocol("GOAWAY on a stream"));
        }
        self.meter.idle_frame(cx.now)?;
        let (Some(last), Some(code)) = (read_31(payload), payload.get(4..8)) else {
            return Err(ConnectionError::frame_size("GOAWAY is shorter than 8 bytes"));
        };
        let code = code.first_chunk().map_or(0, |code| u32::from_be_bytes(*code));
        self.peer_left = true;
        if self.role == Role::Client {
            self.unprocessed
                .extend(self.streams.iter().map(|(key, _)| key).filter(|k| k.id > last));
            for at in 0..self.unprocessed.len() {
                if let Some(&key) = self.unprocessed.get(at) {
                    self.remove(key);
                }
            }
        }
        Ok(Some(Event::GoAway { code: ErrorCode(code) }))
    }

    fn window_update<'a>(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received<'a> {
        let (4, Some(by)) = (payload.len(), read_31(payload)) else {
            return Err(ConnectionError::frame_size("WINDOW_UPDATE is not 4 bytes"));
        };
        self.meter.window_update(cx.now)?;
        if head.stream == 0 {
            self.send_window += i64::from(by);
            return match by {
                0 => Err(ConnectionError::protocol("WINDOW_UPDATE by 0")),
                _ if self.send_window > i64::from(MAX_31) => {
                    Err(ConnectionError::flow_control("WINDOW_UPDATE overflows the window"))
                }
                _ => Ok(None),
            };
        }
        let Some(key) = self.streams.key(head.stream) else {
            return self.late(head, cx);
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(None);
        };
        if by == 0 {
            return self.malformed(key, "WINDOW_UPDATE by 0", cx);
        }
        stream.send_window += i64::from(by);
        if stream.send_window > i64::from(MAX_31) {
            let code = ErrorCode::FLOW_CONTROL_ERROR;
            return self.stream_error(key, code, "WINDOW_UPDATE overflows the window", cx);
        }
        self.enqueue(key);
        Ok(None)
    }

    /// A frame for a stream that is not open: an error where it never was, otherwise counted.
    fn late<'a>(&mut self, head: Head, cx: &mut Cx<'_>) -> Received<'a> {
        if self.is_idle(head.stream) {
            return Err(ConnectionError::protocol("frame on an idle stream"));
        }
        if head.kind == kind::DATA && !self.is_forgiven(head.stream) {
            return Err(ConnectionError::stream_closed("DATA on a closed stream"));
        }
        self.meter.idle_frame(cx.now).map(|()| None)
    }

    /// Whether the peer may not know yet that a stream which is gone takes nothing.
    fn is_forgiven(&self, id: u32) -> bool {
        let ignored = id > self.last_accepted;
        self.role == Role::Client || ignored || self.reset_by_us.contains(&id)
    }

    fn is_idle(&self, id: u32) -> bool {
        match self.role {
            Role::Server => id.is_multiple_of(2) || id > self.last_peer_id,
            Role::Client => id.is_multiple_of(2) || id >= self.next_id,
        }
    }
}

fn on_stream(head: Head) -> Result<(), ConnectionError> {
    if head.stream == 0 {
        return Err(ConnectionError::protocol("a stream's frame on stream 0"));
    }
    Ok(())
}

fn compression_error(error: DecodeError) -> ConnectionError {
    match error {
        DecodeError::ListWayTooLarge => {
            ConnectionError::calm(Fault::Headers, "header list far beyond the limit")
        }
        _ => ConnectionError::new(
            ErrorCode::COMPRESSION_ERROR,
            Fault::Compression,
            "header block cannot be decoded",
        ),
    }
}
