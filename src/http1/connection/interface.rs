//! Implements [`Connection`](crate::http::Connection), the trait of both codecs.

use std::sync::Arc;

use super::Connection;
use crate::http::{
    self, ConnectionError, ErrorCode, Event, Fault, Gone, HeaderPool, Headers, Key, Limits, Millis,
    OpenError, Outgoing, Output, RefusedRequests, Role, SendError,
};

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
        _now: Millis,
        pool: &mut HeaderPool,
        take: impl FnMut(Key, &[u8], bool) -> usize,
    ) -> Result<Option<Event>, ConnectionError> {
        self.receive(input, pool, take)
    }

    fn end_of_input(&mut self) -> Option<Event> {
        self.end_of_input()
    }

    fn connection_lost(&mut self) -> Option<Event> {
        self.connection_lost()
    }

    fn is_blocked(&self) -> bool {
        self.is_blocked()
    }

    fn is_unfinished(&self, waiting: usize) -> bool {
        self.is_unfinished(waiting)
    }

    fn in_header_block(&self) -> bool {
        false
    }

    fn is_introduced(&self) -> bool {
        true
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn take_refused(&mut self) -> RefusedRequests {
        std::mem::take(&mut self.refusals)
    }

    fn open_streams(&self) -> usize {
        usize::from(self.exchange.is_some())
    }

    fn is_busy(&self) -> bool {
        self.exchange.is_some()
    }

    fn is_open(&self, key: Key) -> bool {
        let current = key.id() == self.number;
        current && self.exchange.as_ref().is_some_and(|exchange| !exchange.is_discarded())
    }

    fn available(&self) -> usize {
        usize::from(self.role == Role::Client && self.exchange.is_none() && !self.over)
    }

    fn open<'a>(
        &mut self,
        head: impl Outgoing<'a>,
        end: bool,
        _now: Millis,
    ) -> Result<Key, OpenError> {
        self.open(head, end)
    }

    fn send_head<'a>(
        &mut self,
        key: Key,
        head: impl Outgoing<'a>,
        end: bool,
    ) -> Result<(), SendError> {
        self.send_head(key, head, end)
    }

    fn send_informational(&mut self, key: Key, head: &Headers) -> Result<(), SendError> {
        self.send_informational(key, head)
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
        self.discard(key);
    }

    fn take_back(&mut self, _key: Key) -> bool {
        false
    }

    fn resettable_from(&self, _key: Key) -> Option<Millis> {
        Some(0)
    }

    fn resets_sent(&self) -> u64 {
        0
    }

    fn release(&mut self, key: Key, bytes: usize) {
        let width = self.width;
        if let Some(exchange) = self.find(key) {
            exchange.release(bytes, width);
        }
    }

    fn set_narrow(&mut self, narrow: bool) {
        self.width.set_narrow(narrow && self.role == Role::Client);
    }

    fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    fn output_len(&self) -> usize {
        self.output.len()
    }

    fn hold(&mut self, hold: bool) {
        self.held_up = hold;
    }

    fn pump(&mut self) {
        self.pump();
    }

    fn next_drained(&mut self) -> Option<(Key, usize)> {
        let n = std::mem::take(&mut self.drained);
        (n > 0).then(|| (self.key(), n))
    }

    fn unsent(&self, key: Key) -> usize {
        if self.is_open(key) { self.pending_bytes() } else { 0 }
    }

    fn pending_bytes(&self) -> usize {
        self.exchange.as_ref().map_or(0, |exchange| exchange.pending.data.len())
    }

    fn slowest(&self) -> Option<(usize, Key)> {
        self.exchange.as_ref().map(|_| (self.pending_bytes(), self.key()))
    }

    fn shrink(&mut self) {
        self.output.shrink();
    }

    fn announce_leave(&mut self, _ping: [u8; 8]) {
        self.announce_leave();
    }

    fn leave(&mut self) {
        self.leave();
    }

    fn is_leaving(&self) -> bool {
        self.over
    }

    fn retired(&self) -> Option<Fault> {
        None
    }
}
