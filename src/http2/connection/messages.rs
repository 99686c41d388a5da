//! Header blocks from the peer: requests, responses, trailers.

use super::receive::{Cx, Received, on_stream};
use super::{Block, Connection, Progress};
use crate::http::{
    Cause, ConnectionError, ErrorCode, Event, Fault, Headers, Key, Refused, Role,
    message::{self, HeadInfo},
};
use crate::http2::decode_cache::Kind;
use crate::http2::frame::{HEAD_LEN, Head, flag, read_31, strip_padding};
use crate::http2::hpack::DecodeError;

/// Size limit for a backend's header block, whatever the limit on lists: beyond that one the block
/// is decoded only to keep the HPACK table in sync.
const MAX_BACKEND_BLOCK: u32 = 1 << 20;

/// A header list and the verdict on it.
struct Message {
    headers: Headers,
    too_large: bool,
    info: Result<HeadInfo, &'static str>,
}

impl Connection {
    #[inline(never)]
    pub(super) fn headers(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received {
        on_stream(head)?;
        self.check_headers_allowed(head.stream)?;
        let mut fragment = strip_padding(head, payload)?;
        self.flood_guard.carried(HEAD_LEN + payload.len(), fragment.len(), cx.now)?;
        self.received_message = true;
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
        Ok(())
    }

    /// Checks that HEADERS may come: for the peer's next stream, or one that is still known.
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

    #[inline(never)]
    pub(super) fn continuation(&mut self, head: Head, payload: &[u8], cx: &mut Cx<'_>) -> Received {
        let Some(mut block) = self.block.take_if(|block| block.stream == head.stream) else {
            return Err(ConnectionError::protocol("CONTINUATION without a header block"));
        };
        self.flood_guard.carried(HEAD_LEN + payload.len(), payload.len(), cx.now)?;
        block.bytes.extend_from_slice(payload);
        block.pieces += 1;
        let (bytes, pieces) = self.longest_block();
        if block.bytes.len() > bytes || block.pieces > pieces {
            let detail = "header block too long or in too many pieces";
            return Err(ConnectionError::calm(Fault::Continuation, detail));
        }
        if head.has(flag::END_HEADERS) {
            let bytes = std::mem::take(&mut block.bytes);
            return self.block(&block, &bytes, cx);
        }
        self.block = Some(block);
        Ok(())
    }

    /// Limits of a header block: bytes and CONTINUATION frames.
    fn longest_block(&self) -> (usize, u32) {
        let size = self.limits.header_size;
        match self.role {
            Role::Server => (4 * size as usize, 16 + size / (4 << 10)),
            // One bad response must not end the connection for all streams, as long as it can be parsed.
            Role::Client => {
                let size = (4 * size).max(MAX_BACKEND_BLOCK);
                (size as usize, 16 + size / 256)
            }
        }
    }

    fn block(&mut self, block: &Block, bytes: &[u8], cx: &mut Cx<'_>) -> Received {
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
                self.flood_guard.idle_frame(cx.now)
            }
            (Some(key), _) if block.depends_on_itself => {
                self.malformed(key, "stream depends on itself", cx)
            }
            (Some(key), _) if receiving == Some(Progress::Done) => {
                self.stream_error(key, ErrorCode::STREAM_CLOSED, "HEADERS after the end", cx)
            }
            (Some(key), _) => self.answer(key, kind, block, message, cx),
        }
    }

    /// Decodes and validates a block, unless it is in the decode cache.
    fn read_message(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<Message, ConnectionError> {
        let generation = self.decoder.generation();
        if let Some((headers, info)) = self.decode_cache.recall(kind, bytes, generation) {
            let headers = headers.clone();
            return Ok(Message { headers, too_large: false, info: Ok(info) });
        }
        let mut headers = cx.pool.take();
        let (size, count) = (self.limits.header_size as usize, self.limits.header_count as usize);
        let decoded = self.decoder.decode(bytes, size, count, &mut headers);
        let too_large = decoded.map_err(compression_error)?.too_large;
        let info = match (kind, self.role) {
            (Kind::Request, _) => message::request(&mut headers),
            (Kind::Response, _) => message::response(&mut headers),
            (Kind::Trailers, Role::Client) => message::response_trailers(&mut headers),
            (Kind::Trailers, Role::Server) => message::trailers(&mut headers),
        };
        if let Ok(info) = info
            && !too_large
            && self.decoder.generation() == generation
        {
            self.decode_cache.note(kind, bytes, generation, &headers, info, cx.pool);
        }
        Ok(Message { headers, too_large, info })
    }

    fn request(&mut self, block: &Block, message: Message, cx: &mut Cx<'_>) -> Received {
        let Message { headers, too_large, info } = message;
        let id = block.stream;
        if id <= self.last_peer_id {
            cx.pool.put(headers); // of a stream that we reset
            return self.flood_guard.idle_frame(cx.now);
        }
        self.last_peer_id = id;
        self.flood_guard.opened(cx.now);
        if id > self.last_accepted {
            cx.pool.put(headers);
            self.refusals.add(Refused::Leaving);
            return Ok(());
        }
        if self.streams.len() >= self.limits.max_streams as usize {
            return self.refuse(id, ErrorCode::REFUSED_STREAM, headers, cx);
        }
        let mut stream = self.new_stream(id, cx.now);
        stream.receiving = if block.end_stream { Progress::Done } else { Progress::Body };
        if too_large {
            let key = self.streams.insert(stream);
            return cx.emit(Event::Oversized { key, headers });
        }
        let info = match info {
            Ok(info) if !block.depends_on_itself => info,
            _ => return self.refuse(id, ErrorCode::PROTOCOL_ERROR, headers, cx),
        };
        stream.expected = info.content_length;
        if block.end_stream && info.content_length.unwrap_or(0) > 0 {
            return self.refuse(id, ErrorCode::PROTOCOL_ERROR, headers, cx);
        }
        let key = self.streams.insert(stream);
        cx.emit(Event::Request { key, headers, end: block.end_stream })
    }

    /// Refuses a stream before it becomes an event.
    fn refuse(&mut self, id: u32, code: ErrorCode, headers: Headers, cx: &mut Cx<'_>) -> Received {
        cx.pool.put(headers);
        self.refusals.add(match code {
            ErrorCode::REFUSED_STREAM => Refused::TooManyStreams,
            _ => Refused::Malformed,
        });
        self.frames.reset(id, code);
        self.remember_reset(id);
        self.flood_guard.error(cx.now)?;
        Ok(())
    }

    /// HEADERS on an open stream: the response or the trailers.
    fn answer(
        &mut self,
        key: Key,
        kind: Kind,
        block: &Block,
        message: Message,
        cx: &mut Cx<'_>,
    ) -> Received {
        let Message { headers, too_large, info } = message;
        if too_large {
            return self.too_large(key, headers, cx);
        }
        match (info, kind) {
            (Err(why), _) => self.malformed(key, why, cx),
            (Ok(info), Kind::Response) => self.response(key, block, headers, info, cx),
            (Ok(_), _) => self.trailers(key, block, headers, cx),
        }
    }

    fn response(
        &mut self,
        key: Key,
        block: &Block,
        headers: Headers,
        info: HeadInfo,
        cx: &mut Cx<'_>,
    ) -> Received {
        let informational = info.status < 200;
        if informational && block.end_stream {
            return self.malformed(key, "an informational response ends the stream", cx);
        }
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(());
        };
        if informational {
            let wanted = !stream.discarding;
            return if wanted { cx.emit(Event::Informational { key, headers }) } else { Ok(()) };
        }
        let bodyless = stream.head_method || matches!(info.status, 204 | 304);
        stream.expected = if bodyless { Some(0) } else { info.content_length };
        stream.receiving = if block.end_stream { Progress::Done } else { Progress::Body };
        if block.end_stream && stream.expected.unwrap_or(0) > 0 {
            return self.malformed(key, "body differs from content-length", cx);
        }
        let wanted = !stream.discarding;
        self.settle(key);
        let end = block.end_stream;
        if wanted { cx.emit(Event::Response { key, headers, end }) } else { Ok(()) }
    }

    fn trailers(&mut self, key: Key, block: &Block, headers: Headers, cx: &mut Cx<'_>) -> Received {
        if !block.end_stream {
            return self.malformed(key, "trailers that do not end the stream", cx);
        }
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(());
        };
        if stream.expected.unwrap_or(0) > 0 {
            return self.malformed(key, "body differs from content-length", cx);
        }
        stream.receiving = Progress::Done;
        let wanted = !stream.discarding;
        self.settle(key);
        if wanted { cx.emit(Event::Trailers { key, headers }) } else { Ok(()) }
    }

    fn too_large(&mut self, key: Key, headers: Headers, cx: &mut Cx<'_>) -> Received {
        cx.pool.put(headers);
        self.flood_guard.error(cx.now)?;
        let code = ErrorCode::ENHANCE_YOUR_CALM;
        self.reset(key, code);
        cx.emit(Event::Reset { key, code, cause: Cause::TooLarge })
    }
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
