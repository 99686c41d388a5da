//! Implements [`Connection`](crate::http::Connection), the trait of both codecs.

use std::sync::Arc;

use super::Connection;
use crate::http::{
    self, ConnectionError, ErrorCode, Event, Fault, Gone, HeaderPool, Headers, Key, Limits, Millis,
    OpenError, Outgoing, Output, RefusedRequests, Role, SendError,
};
use crate::http2::frame::MAX_31;

impl http::Connection for Connection {
    fn role(&self) -> Role {
        self.role
    }

    fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    fn receive(
        &mut self,
        input: &mut &[u8],
        now: Millis,
        pool: &mut HeaderPool,
        take: impl FnMut(Key, &[u8], bool) -> usize,
    ) -> Result<Option<Event>, ConnectionError> {
        self.receive(input, now, pool, take)
    }

    fn end_of_input(&mut self) -> Option<Event> {
        None
    }

    fn connection_lost(&mut self) -> Option<Event> {
        None
    }

    fn is_blocked(&self) -> bool {
        false
    }

    fn is_unfinished(&self, waiting: usize) -> bool {
        self.block.is_some() || waiting > 0
    }

    fn in_header_block(&self) -> bool {
        self.block.is_some()
    }

    fn is_introduced(&self) -> bool {
        self.settings_seen && self.settings_acked
    }

    fn is_ready(&self) -> bool {
        self.settings_seen
    }

    fn take_refused(&mut self) -> RefusedRequests {
        std::mem::take(&mut self.refusals)
    }

    fn open_streams(&self) -> usize {
        self.streams.len()
    }

    fn is_busy(&self) -> bool {
        match self.role {
            Role::Server => self.streams.len() > 0,
            Role::Client => self.streams.len() > self.discarded,
        }
    }

    fn is_open(&self, key: Key) -> bool {
        self.streams.get(key).is_some()
    }

    /// By MAX_CONCURRENT_STREAMS.
    fn available(&self) -> usize {
        if !self.settings_seen || self.is_leaving() {
            return 0;
        }
        (self.peer.max_streams as usize).saturating_sub(self.streams.len())
    }

    fn open<'a>(
        &mut self,
        list: impl Outgoing<'a>,
        end: bool,
        now: Millis,
    ) -> Result<Key, OpenError> {
        self.open(list, end, now)
    }

    fn send_head<'a>(
        &mut self,
        key: Key,
        list: impl Outgoing<'a>,
        end: bool,
    ) -> Result<(), SendError> {
        self.send_head(key, list, end)
    }

    fn send_informational(&mut self, key: Key, list: &Headers) -> Result<(), SendError> {
        self.send_informational(key, list)
    }

    fn send_data(&mut self, key: Key, payload: &[u8], end: bool) -> Result<usize, Gone> {
        self.send_data(key, payload, end)
    }

    fn send_trailers(&mut self, key: Key, trailers: &Headers) -> Result<(), SendError> {
        self.send_trailers(key, trailers)
    }

    fn reset(&mut self, key: Key, code: ErrorCode) {
        self.reset(key, code);
    }

    fn discard(&mut self, key: Key) {
        self.discard(key);
    }

    fn abandon(&mut self, key: Key) {
        self.abandon(key);
    }

    fn take_back(&mut self, key: Key) -> bool {
        self.take_back(key)
    }

    fn resettable_from(&self, key: Key) -> Option<Millis> {
        self.resettable_from(key)
    }

    fn resets_sent(&self) -> u64 {
        self.frames.resets()
    }

    fn release(&mut self, key: Key, bytes: usize) {
        self.release(key, bytes);
    }

    fn set_narrow(&mut self, narrow: bool) {
        self.set_narrow(narrow);
    }

    fn output(&mut self) -> &mut Output {
        &mut self.frames.output
    }

    fn output_len(&self) -> usize {
        self.frames.output.len()
    }

    fn hold(&mut self, hold: bool) {
        self.held_up = hold;
    }

    fn pump(&mut self) {
        self.pump();
    }

    fn next_drained(&mut self) -> Option<(Key, usize)> {
        self.drained.pop()
    }

    fn unsent(&self, key: Key) -> usize {
        self.streams.get(key).map_or(0, |stream| stream.pending.data.len())
    }

    fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    fn slowest(&self) -> Option<(usize, Key)> {
        self.streams.iter().map(|(key, stream)| (stream.pending.data.len(), key)).max()
    }

    fn shrink(&mut self) {
        self.frames.output.shrink();
        self.decode_cache.clear();
        self.encode_cache.clear();
        self.unsent.shrink(self.frames.output.total_written());
        self.drained.shrink_to_fit();
        self.queue.shrink_to_fit();
    }

    fn announce_leave(&mut self, ping: [u8; 8]) {
        self.announce_leave(ping);
    }

    fn leave(&mut self) {
        self.leave();
    }

    /// Either side has sent GOAWAY, the stream ids are used up, or it is retired.
    fn is_leaving(&self) -> bool {
        let spent = self.next_id > MAX_31 || self.last_accepted < MAX_31;
        self.peer_left || self.failed || spent || self.retired().is_some()
    }

    /// Such a connection takes no new streams; open ones finish, as their clients are not at fault.
    fn retired(&self) -> Option<Fault> {
        self.flood_guard.retired()
    }
}
