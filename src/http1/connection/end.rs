//! How exchanges end, and the connection with them.

use super::{Connection, Exchange, Receiving, Sending};
use crate::http::{Cause, ConnectionError, ErrorCode, Event, Fault, Key, Refused, Role};
use crate::http1::body::Body;
use crate::http1::request::Refusal;
use crate::http1::write::{self, Framing};

/// Bytes of a request that nobody wants which are read so that the connection may go on; with
/// more, it ends.
pub const MOST_DISCARDED: usize = 256 << 10;

impl Connection {
    /// The peer will send nothing more. An event where that says something; otherwise what is
    /// open has broken off, or is only yet to be answered.
    pub fn end_of_input(&mut self) -> Option<Event> {
        let key = self.key();
        let exchange = self.exchange.as_mut()?;
        if matches!(exchange.receiving, Receiving::Tunnel | Receiving::Body(Body::UntilClose)) {
            exchange.receiving = Receiving::Done;
            self.closing = true;
            self.settle();
            return Some(Event::End { key });
        }
        if self.role == Role::Client {
            return self.broken_off();
        }
        if !matches!(exchange.receiving, Receiving::Body(_)) {
            return None; // the request is whole
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

    /// The connection is gone, in whatever way. An event when the backend closed it as idle while
    /// a request was on its way that may be sent again.
    pub fn broken_off(&mut self) -> Option<Event> {
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

    /// Breaks the exchange off. A client that has no head yet gets one; a message that has begun
    /// has no end but that of the connection, which the peer must not take for its regular one:
    /// [`Connection::is_broken_off`].
    pub fn reset(&mut self, key: Key, code: ErrorCode) {
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

    /// Drops what still comes of a request. The exchange is over as soon as the response is out;
    /// the next one begins behind the rest of the request, if that is short.
    pub fn discard(&mut self, key: Key) {
        if let Some(exchange) = self.find(key) {
            exchange.discarding = true;
            self.settle();
        }
    }

    /// Lets no further exchange begin after the next one.
    pub fn announce_leave(&mut self) {
        self.closing = true;
        self.settle();
    }

    /// Lets no further exchange begin.
    pub fn leave(&mut self) {
        self.announce_leave();
        self.over |= self.exchange.is_none() || self.role == Role::Client;
    }

    /// Whether no exchange will ever begin here again.
    pub fn is_leaving(&self) -> bool {
        self.over
    }

    /// Whether nothing is left of the exchange but a rest of its request, to be dropped.
    pub fn is_discarding(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::is_discarded)
    }

    /// Whether the client may still be sending a request that was answered, or refused, before it
    /// was whole.
    pub fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    /// Whether a message that had begun has no end: only a reset of the connection says so to
    /// everybody, above all where the end of the connection would have been that of the message.
    pub fn is_broken_off(&self) -> bool {
        self.broken
    }

    /// Whether what was sent has no end yet.
    pub fn is_mid_message(&self) -> bool {
        self.broken || self.exchange.as_ref().is_some_and(Exchange::is_mid_message)
    }

    /// Whether the end of the connection is, or was, that of what is sent.
    pub fn ends_by_close(&self) -> bool {
        self.ends_by_close
    }

    /// Answers what cannot be taken for a request.
    pub(super) fn refuse(&mut self, refusal: Refusal) -> ConnectionError {
        let Refusal { status, detail } = refusal;
        self.cut_short = true;
        // One that has begun has an outcome of its own.
        if self.exchange.is_none() {
            let too_large = status == 431;
            self.refusals.add(if too_large { Refused::TooLarge } else { Refused::Malformed });
        }
        self.output.append(|out| write::refusal(out, status, detail));
        let fault = if status == 431 { Fault::Headers } else { Fault::Protocol };
        ConnectionError { fault, ..self.broken(detail) }
    }

    /// Ends the connection for what the peer has sent.
    pub(super) fn broken(&mut self, detail: &'static str) -> ConnectionError {
        self.abort();
        ConnectionError { code: ErrorCode::PROTOCOL_ERROR, fault: Fault::Protocol, detail }
    }

    /// Ends the exchange, and the connection with it, for what a backend has sent.
    pub(super) fn malformed(&mut self, cause: Cause) -> Event {
        let key = self.key();
        self.abort();
        Event::Reset { key, code: ErrorCode::PROTOCOL_ERROR, cause }
    }

    /// Ends the exchange when both messages are over.
    pub(super) fn settle(&mut self) {
        let Some(exchange) = &self.exchange else { return };
        let received = exchange.receiving == Receiving::Done;
        let answered = exchange.is_discarded() && (self.closing || self.role == Role::Client);
        if (received && exchange.has_sent_all()) || answered {
            self.cut_short |= !received;
            // The rest of a request that is not wanted cannot be told from the next one.
            self.over |= self.closing || !received;
            self.exchange = None;
            self.scanned = 0;
        }
    }

    /// Ends the exchange and the connection: there is no other way to break a message off.
    pub(super) fn abort(&mut self) {
        self.broken |= self.exchange.take().is_some_and(|exchange| exchange.is_mid_message());
        self.over = true;
    }
}

impl Exchange {
    /// Whether all that is to be sent is in the output.
    pub(super) fn has_sent_all(&self) -> bool {
        self.sending == Sending::Done && self.pending.is_empty()
    }

    /// Whether it was answered, and nobody wants what still comes.
    pub(super) fn is_discarded(&self) -> bool {
        self.discarding && self.has_sent_all()
    }

    /// Whether what was sent lacks its end.
    fn is_mid_message(&self) -> bool {
        match self.sending {
            Sending::Body(Framing::Empty | Framing::Length(0)) => false,
            Sending::Body(_) | Sending::Tunnel => true,
            Sending::Head | Sending::Undecided | Sending::Done => false,
        }
    }
}
