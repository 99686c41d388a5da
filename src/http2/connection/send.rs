//! Commands: sending HEADERS, DATA, trailers and RST_STREAM.

use super::{Connection, Progress};
use crate::http::{
    Connection as _, ErrorCode, Field, Gone, Headers, Key, Millis, OpenError, Outgoing, Role,
    SendError,
};

/// The largest DATA frame we send, even if the peer allows more: streams are interleaved by frame.
const MAX_DATA_FRAME: usize = 16 << 10;

impl Connection {
    /// Opens a stream with the head of a request.
    pub(super) fn open<'a>(
        &mut self,
        list: impl Outgoing<'a>,
        end: bool,
        now: Millis,
    ) -> Result<Key, OpenError> {
        if self.available() == 0 {
            return Err(OpenError::Unavailable);
        }
        if self.exceeds_peer(list) {
            return Err(OpenError::TooLarge);
        }
        let id = self.next_id;
        self.next_id += 2;
        let mut stream = self.new_stream(id, now);
        stream.head_method = list.asks_for_head();
        stream.sending = if end { Progress::Done } else { Progress::Body };
        self.flood_guard.opened(now);
        let key = self.streams.insert(stream);
        let from = self.frames.output.end();
        let inert = self.emit_headers(id, list, end);
        self.unsent.push(
            id,
            from,
            self.frames.output.end(),
            inert,
            self.frames.output.total_written(),
        );
        Ok(key)
    }

    /// Sends the head of a response; `end` when neither body nor trailers follow.
    pub(super) fn send_head<'a>(
        &mut self,
        key: Key,
        list: impl Outgoing<'a>,
        end: bool,
    ) -> Result<(), SendError> {
        self.expect_head(key, list)?;
        if let Some(stream) = self.streams.get_mut(key) {
            stream.sending = if end { Progress::Done } else { Progress::Body };
        }
        self.emit_headers(key.id, list, end);
        if end {
            self.settle(key);
        }
        Ok(())
    }

    /// Sends an informational response.
    pub(super) fn send_informational(&mut self, key: Key, list: &Headers) -> Result<(), SendError> {
        self.expect_head(key, list)?;
        self.emit_headers(key.id, list, false);
        Ok(())
    }

    fn expect_head<'a>(&self, key: Key, list: impl Outgoing<'a>) -> Result<(), SendError> {
        match self.streams.get(key) {
            Some(stream) if stream.sending == Progress::Head => {}
            _ => return Err(SendError::Gone),
        }
        if self.exceeds_peer(list) { Err(SendError::TooLarge) } else { Ok(()) }
    }

    /// Sends DATA, or queues it until the peer's windows and the output have room. Returns how many
    /// bytes are in the output.
    pub(super) fn send_data(&mut self, key: Key, payload: &[u8], end: bool) -> Result<usize, Gone> {
        let (window, room) = (self.send_window, self.room());
        let stream = self.streams.get_mut(key).ok_or(Gone)?;
        if payload.is_empty() && !end {
            return Ok(0); // an empty DATA frame would do nothing
        }
        if stream.sending != Progress::Body {
            return Err(Gone);
        }
        if end {
            stream.sending = Progress::Done;
        }
        let may = stream.send_window.available().min(window.available()).min(room);
        let now = if stream.pending.is_empty() { payload.len().min(may) } else { 0 };
        let (now, later) = payload.split_at(now);
        stream.send_window.spend(now.len());
        if later.is_empty() && stream.pending.is_empty() {
            self.emit_data(key.id, now, end);
            if end {
                self.settle(key);
            }
            return Ok(now.len());
        }
        stream.pending.data.push(later);
        stream.pending.end |= end;
        self.pending_bytes += later.len();
        if !now.is_empty() {
            self.emit_data(key.id, now, false);
        }
        self.enqueue(key);
        Ok(now.len())
    }

    /// Sends trailers after the queued DATA.
    pub(super) fn send_trailers(&mut self, key: Key, trailers: &Headers) -> Result<(), SendError> {
        let too_large = self.exceeds_peer(trailers);
        let stream = self.streams.get_mut(key).ok_or(SendError::Gone)?;
        if stream.sending != Progress::Body {
            return Err(SendError::Gone);
        }
        if too_large {
            return Err(SendError::TooLarge);
        }
        stream.sending = Progress::Done;
        if stream.pending.is_empty() {
            self.emit_headers(key.id, trailers, true);
            self.settle(key);
        } else {
            stream.pending.trailers = Some(trailers.clone());
        }
        Ok(())
    }

    /// Sends RST_STREAM, and drops the stream.
    pub(super) fn reset(&mut self, key: Key, code: ErrorCode) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        if stream.receiving != Progress::Done {
            self.flood_guard.reset_sent();
            self.remember_reset(key.id);
        }
        self.remove(key);
        self.frames.reset(key.id, code);
    }

    /// How many bytes of DATA fit into the output.
    fn room(&self) -> usize {
        self.frames.output.room(self.held_up)
    }

    /// Moves queued DATA into the output, round robin over the streams, as far as windows and room
    /// allow.
    pub(super) fn pump(&mut self) {
        while self.room() > 0 {
            let Some(key) = self.queue.pop_front() else {
                return;
            };
            let window = self.send_window;
            let Some(stream) = self.streams.get_mut(key) else {
                continue;
            };
            stream.queued = false;
            let n = stream.sendable(window).min(MAX_DATA_FRAME);
            if n == 0 && !stream.pending.data.is_empty() {
                if stream.send_window.is_open() {
                    // The connection window is spent: no other stream can send either.
                    stream.queued = true;
                    self.queue.push_front(key);
                    return;
                }
                continue; // its own WINDOW_UPDATE will queue it again
            }
            self.emit_pending(key, n);
        }
    }

    fn emit_pending(&mut self, key: Key, n: usize) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let mut pending = std::mem::take(&mut stream.pending);
        let all = n == pending.data.len();
        let end = all && pending.end && pending.trailers.is_none();
        let max = (self.peer.max_frame_size as usize).min(MAX_DATA_FRAME);
        if n > 0 || end {
            stream.send_window.spend(n);
            self.send_window.spend(n);
            self.pending_bytes -= n;
            pending.data.take(n, |piece| self.frames.data(key.id, piece, false, max));
            if end {
                self.frames.data(key.id, &[], true, max); // sets END_STREAM on the last DATA frame if it can
            }
            self.flood_guard.data_sent();
            if n > 0 {
                self.drained.push((key, n));
            }
        }
        if !all {
            stream.pending = pending;
            self.enqueue(key);
            return;
        }
        if let Some(trailers) = pending.trailers {
            self.emit_headers(key.id, &trailers, true);
        }
        self.settle(key);
    }

    /// Queues a stream for sending, unless its own window is spent.
    pub(super) fn enqueue(&mut self, key: Key) {
        if let Some(stream) = self.streams.get_mut(key)
            && !stream.queued
            && !stream.pending.is_empty()
            && (stream.send_window.is_open() || stream.pending.data.is_empty())
        {
            stream.queued = true;
            self.queue.push_back(key);
        }
    }

    fn emit_data(&mut self, id: u32, mut payload: &[u8], end: bool) {
        self.send_window.spend(payload.len());
        let max = (self.peer.max_frame_size as usize).min(MAX_DATA_FRAME);
        while let Some((piece, rest)) =
            payload.split_at_checked(max).filter(|(_, rest)| !rest.is_empty())
        {
            self.frames.data(id, piece, false, max);
            self.flood_guard.data_sent();
            payload = rest;
        }
        self.frames.data(id, payload, end, max);
        self.flood_guard.data_sent();
    }

    /// Sends a header block. Whether it left the HPACK table unchanged, so that later blocks do not
    /// depend on it.
    #[inline]
    fn emit_headers<'a>(&mut self, id: u32, list: impl Outgoing<'a>, end: bool) -> bool {
        let Connection { encoder, frames, peer, encode_cache, .. } = self;
        let max = peer.max_frame_size as usize;
        let before = encoder.generation();
        frames.headers(id, end, max, |out| {
            match list.tag().zip(before) {
                Some((tag, generation)) => match encode_cache.recall(tag, generation) {
                    Some(block) => out.extend_from_slice(block),
                    None => {
                        let begin = out.len();
                        encoder.encode(list.fields(), out);
                        if encoder.generation() == Some(generation) {
                            encode_cache.note(
                                tag,
                                generation,
                                out.get(begin..).unwrap_or_default(),
                            );
                        }
                    }
                },
                None => encoder.encode(list.fields(), out),
            }
            if let Some(varying) = list.varying() {
                encoder.encode(std::iter::once(varying.field()), out);
            }
        });
        let inert = before.is_some() && encoder.generation() == before;
        if !inert && self.role == Role::Client {
            self.unsent.pin(id);
        }
        inert
    }

    fn exceeds_peer<'a>(&self, list: impl Outgoing<'a>) -> bool {
        if self.peer.max_header_list == u32::MAX {
            return false;
        }
        let size =
            |field: Field<'_>| field.name.len() + field.value.len() + Headers::FIELD_OVERHEAD;
        let varying = list.varying().map_or(0, |varying| size(varying.field()));
        list.fields().map(size).sum::<usize>() + varying > self.peer.max_header_list as usize
    }
}
