//! Ending exchanges and the connection.

use super::{Connection, Exchange, Receiving, Sending};
use crate::http::{Cause, ConnectionError, ErrorCode, Event, Fault, Key, Refused, Role};
use crate::http1::body::Body;
use crate::http1::request::RequestError;
use crate::http1::write::{self, Framing};

/// An unwanted request body up to this size is read and dropped to keep the connection alive; a
/// larger one closes it.
pub const MAX_DISCARDED: usize = 256 << 10;

impl Connection {
    /// End of input. An event where it completes or truncates a message; none if a complete request
    /// awaits its response.
    pub(super) fn end_of_input(&mut self) -> Option<Event> {
        let key = self.key();
        let exchange = self.exchange.as_mut()?;
        if matches!(exchange.receiving, Receiving::Tunnel | Receiving::Body(Body::UntilClose)) {
            exchange.receiving = Receiving::Done;
            self.closing = true;
            self.settle();
            return Some(Event::End { key });
        }
        if self.role == Role::Client {
            return self.connection_lost();
        }
        if !matches!(exchange.receiving, Receiving::Body(_)) {
            return None; // the request is complete
        }
        if exchange.discarding {
            exchange.receiving = Receiving::Done;
            self.closing = true;
            self.settle();
            return None;
        }
        self.abort();
        Some(Event::Reset { key, code: ErrorCode::CANCEL, cause: Cause::Peer })
    }

    /// The connection was lost. An event when a backend closed an idle connection while a retryable
    /// request was being sent.
    pub(super) fn connection_lost(&mut self) -> Option<Event> {
        let key = self.key();
        let reused = self.role == Role::Client && self.number > 1;
        let exchange = self.exchange.as_ref()?;
        if !reused || !exchange.idempotent || exchange.answered {
            return None;
        }
        self.abort();
        let (code, cause) = (ErrorCode::REFUSED_STREAM, Cause::Unprocessed);
        Some(Event::Reset { key, code, cause })
    }

    /// Aborts the exchange. A client without a head yet gets an error response; a message that has
    /// begun is truncated by closing the connection, which the peer must not mistake for its regular
    /// end: [`Connection::is_truncated`].
    pub(super) fn reset(&mut self, key: Key, code: ErrorCode) {
        let role = self.role;
        let Some(exchange) = self.find(key) else { return };
        if role == Role::Server && exchange.sending == Sending::Head {
            let (status, detail) = match code {
                ErrorCode::ENHANCE_YOUR_CALM => (503, "the request was given up"),
                _ => (502, "the backend gave the request up"),
            };
            let cut_short = exchange.receiving != Receiving::Done;
            self.output.append(|out| write::refusal(out, status, detail));
            self.cut_short |= cut_short;
        }
        self.abort();
    }

    /// Discards the rest of a request. The exchange ends with the response; the next one begins
    /// after the rest of the request, if that is short.
    pub(super) fn discard(&mut self, key: Key) {
        if let Some(exchange) = self.find(key) {
            exchange.discarding = true;
            self.settle();
        }
    }

    /// Closes the connection after the next exchange.
    pub(super) fn announce_leave(&mut self) {
        self.closing = true;
        self.settle();
    }

    /// Closes the connection after this exchange.
    pub(super) fn leave(&mut self) {
        self.announce_leave();
        self.over |= self.exchange.is_none() || self.role == Role::Client;
    }

    /// Whether only the rest of a request is left, to be discarded.
    pub fn is_discarding(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::is_discarded)
    }

    /// Whether the client may still be sending a request that was answered or refused early.
    pub fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    /// Whether a message was truncated: then the connection is closed by a TCP RST, the only signal for a
    /// message that is delimited by the end of the connection.
    pub fn is_truncated(&self) -> bool {
        self.broken
    }

    /// Whether the message being sent is incomplete.
    pub fn is_mid_message(&self) -> bool {
        self.broken || self.exchange.as_ref().is_some_and(Exchange::is_mid_message)
    }

    /// Whether the message sent is delimited by the end of the connection.
    pub fn ends_by_close(&self) -> bool {
        self.ends_by_close
    }

    /// Answers a malformed request with an error status.
    pub(super) fn refuse(&mut self, refusal: RequestError) -> ConnectionError {
        let RequestError { status, detail } = refusal;
        self.cut_short = true;
        // A request that has begun has an outcome of its own.
        if self.exchange.is_none() {
            let too_large = status == 431;
            self.refusals.add(if too_large { Refused::TooLarge } else { Refused::Malformed });
        }
        self.output.append(|out| write::refusal(out, status, detail));
        let fault = if status == 431 { Fault::Headers } else { Fault::Protocol };
        ConnectionError { fault, ..self.protocol_error(detail) }
    }

    /// Fails the connection for a protocol error of the peer.
    pub(super) fn protocol_error(&mut self, detail: &'static str) -> ConnectionError {
        self.abort();
        ConnectionError { code: ErrorCode::PROTOCOL_ERROR, fault: Fault::Protocol, detail }
    }

    /// Fails the exchange and the connection for a malformed response.
    pub(super) fn malformed(&mut self, cause: Cause) -> Event {
        let key = self.key();
        self.abort();
        Event::Reset { key, code: ErrorCode::PROTOCOL_ERROR, cause }
    }

    /// Ends the exchange once both messages are complete.
    pub(super) fn settle(&mut self) {
        let Some(exchange) = &self.exchange else { return };
        let received = exchange.receiving == Receiving::Done;
        let answered = exchange.is_discarded() && (self.closing || self.role == Role::Client);
        if (received && exchange.has_sent_all()) || answered {
            self.cut_short |= !received;
            // The rest of a discarded request cannot be distinguished from the next one.
            self.over |= self.closing || !received;
            self.exchange = None;
            self.scanned = 0;
        }
    }

    /// Aborts exchange and connection: HTTP/1.1 has no other way to truncate a message.
    pub(super) fn abort(&mut self) {
        self.broken |= self.exchange.take().is_some_and(|exchange| exchange.is_mid_message());
        self.over = true;
    }
}

impl Exchange {
    /// Whether the whole message is in the output.
    pub(super) fn has_sent_all(&self) -> bool {
        self.sending == Sending::Done && self.pending.is_empty()
    }

    /// Whether it was answered, and the rest of the request is discarded.
    pub(super) fn is_discarded(&self) -> bool {
        self.discarding && self.has_sent_all()
    }

    /// Whether the message being sent is incomplete.
    fn is_mid_message(&self) -> bool {
        match self.sending {
            Sending::Body(Framing::Empty | Framing::Length(0)) => false,
            Sending::Body(_) | Sending::Tunnel => true,
            Sending::Head | Sending::Undecided | Sending::Done => false,
        }
    }
}
