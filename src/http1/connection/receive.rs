//! Parsing input from the peer.

use super::{Connection, Exchange, Receiving, Sending};
use crate::http::{Cause, ConnectionError, Event, HeaderPool, Key, Name, Role, Width};
use crate::http1::body::Piece;
use crate::http1::head::{self, Scan};
use crate::http1::response::{Kind, RequestContext};
use crate::http1::{hop_by_hop, request, response};

type Received = Result<Option<Event>, ConnectionError>;

/// The result of parsing a body.
enum Step {
    /// The message is complete.
    Over,
    /// More input or window is needed.
    Waits,
    Event(Event),
}

/// Error for a head beyond the limit.
const TOO_LARGE: &str = "the head is too large";

impl Connection {
    /// Parses `input` from the front until there is an event.
    pub(super) fn receive(
        &mut self,
        input: &mut &[u8],
        pool: &mut HeaderPool,
        mut take: impl FnMut(Key, &[u8], bool) -> usize,
    ) -> Received {
        loop {
            let Some(exchange) = &self.exchange else {
                return self.between(input, pool);
            };
            match exchange.receiving {
                Receiving::Head => return self.response(input, pool),
                Receiving::Body(_) => match self.body(input, pool, &mut take)? {
                    Step::Over => {} // a pipelined message may follow
                    Step::Waits => return Ok(None),
                    Step::Event(event) => return Ok(Some(event)),
                },
                Receiving::Tunnel => {
                    self.tunnel(input, &mut take);
                    return Ok(None);
                }
                Receiving::Undecided | Receiving::Done => return Ok(None),
            }
        }
    }

    /// Whether parsing is blocked: on a pipelined request, until the current one is answered, or on
    /// a slow reader.
    pub(super) fn is_blocked(&self) -> bool {
        let Some(exchange) = &self.exchange else { return false };
        match exchange.receiving {
            Receiving::Head => false,
            Receiving::Undecided | Receiving::Done => true,
            Receiving::Body(_) | Receiving::Tunnel => exchange.room(self.width) == 0,
        }
    }

    /// Whether, with `waiting` unparsed bytes, something has begun that the frame timeout applies
    /// to.
    pub(super) fn is_unfinished(&self, waiting: usize) -> bool {
        match self.exchange.as_ref().map(|exchange| exchange.receiving) {
            None | Some(Receiving::Head) => waiting > 0,
            Some(Receiving::Body(_)) if self.is_discarding() => true,
            Some(Receiving::Body(body)) => waiting > 0 && body.is_in_line(),
            Some(Receiving::Undecided | Receiving::Tunnel | Receiving::Done) => false,
        }
    }

    fn between(&mut self, input: &mut &[u8], pool: &mut HeaderPool) -> Received {
        if self.over {
            *input = &[];
        }
        match self.role {
            _ if input.is_empty() => Ok(None),
            Role::Server => self.request(input, pool),
            // An unsolicited response: a later request must not get it.
            Role::Client => Err(self.protocol_error("bytes of a backend that nobody asked for")),
        }
    }

    /// Takes a complete head off the front of `input`.
    fn head<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
        let scan = head::scan(input, self.scanned)?;
        let (len, seen) = match scan {
            Scan::Whole(len) => (len, 0),
            Scan::Partial(lines) => (input.len(), lines),
        };
        self.scanned = seen;
        if len > self.limits.header_size as usize {
            return Err(TOO_LARGE);
        }
        if let Scan::Partial(_) = scan {
            return Ok(None);
        }
        let (head, rest) = input.split_at_checked(len).unwrap_or_default();
        *input = rest;
        Ok(Some(head))
    }

    fn request(&mut self, input: &mut &[u8], pool: &mut HeaderPool) -> Received {
        // Some clients send a CRLF after a body (RFC 9112, section 2.2).
        if self.scanned == 0
            && let [b'\r', b'\n', rest @ ..] = input
        {
            *input = rest;
        }
        let head = match self.head(input) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(None),
            Err(TOO_LARGE) => {
                return Err(self.refuse(request::RequestError { status: 431, detail: TOO_LARGE }));
            }
            Err(detail) => return Err(self.refuse(detail.into())),
        };
        let most = self.limits.header_count as usize;
        let read = match request::read(head, self.scheme, most, pool.take()) {
            Ok(read) => read,
            Err(refusal) => return Err(self.refuse(refusal)),
        };
        self.closing |= read.close;
        let receiving = match read.body {
            _ if read.upgrade => Receiving::Undecided,
            Some(body) => Receiving::Body(body),
            None => Receiving::Done,
        };
        let asked = RequestContext { head: read.is_head, upgrade: read.upgrade };
        let asks = |what: &[u8]| what.eq_ignore_ascii_case(b"100-continue");
        let awaits_continue =
            read.body.is_some() && read.headers.get(Name::Expect).is_some_and(asks);
        let exchange = Exchange {
            is_http11: read.is_http11,
            awaits_continue,
            ..Exchange::new(receiving, asked)
        };
        let key = self.begin(exchange);
        let end = receiving == Receiving::Done;
        Ok(Some(Event::Request { key, headers: read.headers, end }))
    }

    fn response(&mut self, input: &mut &[u8], pool: &mut HeaderPool) -> Received {
        let head = match self.head(input) {
            Ok(Some(head)) => head,
            Ok(None) => {
                if let Some(exchange) = &mut self.exchange {
                    exchange.answered |= !input.is_empty();
                }
                return Ok(None);
            }
            Err(TOO_LARGE) => return Ok(Some(self.malformed(Cause::TooLarge))),
            Err(detail) => return Ok(Some(self.malformed(Cause::Malformed(detail)))),
        };
        let key = self.key();
        let Some(exchange) = &mut self.exchange else { return Ok(None) };
        exchange.answered = true;
        let read = match response::read(head, exchange.asked, pool.take()) {
            Ok(read) if read.headers.len() > self.limits.header_count as usize => {
                return Ok(Some(self.malformed(Cause::TooLarge)));
            }
            Ok(read) => read,
            Err(detail) => return Ok(Some(self.malformed(Cause::Malformed(detail)))),
        };
        exchange.receiving = match read.kind {
            Kind::Informational => {
                return Ok(Some(Event::Informational { key, headers: read.headers }));
            }
            Kind::Switched => Receiving::Tunnel,
            Kind::Body(body) => Receiving::Body(body),
            Kind::Empty => Receiving::Done,
        };
        exchange.sending = match (exchange.receiving, exchange.sending) {
            (Receiving::Tunnel, _) => {
                self.ends_by_close = true;
                Sending::Tunnel
            }
            (_, Sending::Undecided) => Sending::Done, // the upgrade was declined
            (_, sending) => sending,
        };
        let end = exchange.receiving == Receiving::Done;
        self.closing |= read.close;
        self.settle();
        Ok(Some(Event::Response { key, headers: read.headers, end }))
    }

    fn body(
        &mut self,
        input: &mut &[u8],
        pool: &mut HeaderPool,
        take: &mut impl FnMut(Key, &[u8], bool) -> usize,
    ) -> Result<Step, ConnectionError> {
        let (key, most) = (self.key(), self.limits.header_size as usize);
        let width = self.width;
        let Some(exchange) = &mut self.exchange else { return Ok(Step::Over) };
        if exchange.discarding {
            return self.drop_body(input);
        }
        loop {
            let room = exchange.room(width);
            let Receiving::Body(body) = &mut exchange.receiving else { return Ok(Step::Over) };
            if room == 0 {
                return Ok(Step::Waits);
            }
            match body.take(input, room, most) {
                Err(detail) => return self.fail_body(detail),
                Ok(Piece::Wanting) => return Ok(Step::Waits),
                Ok(Piece::Data(payload, false)) => {
                    exchange.awaits_continue = false;
                    exchange.note_forwarded(payload.len(), take(key, payload, false), width);
                }
                Ok(Piece::Data(payload, true)) => {
                    exchange.receiving = Receiving::Done;
                    exchange.note_forwarded(payload.len(), take(key, payload, true), width);
                    self.settle();
                    return Ok(Step::Over);
                }
                Ok(Piece::Trailers(lines)) => {
                    exchange.receiving = Receiving::Done;
                    self.settle();
                    return match hop_by_hop::trailers(lines, self.role, pool) {
                        Ok(Some(headers)) => Ok(Step::Event(Event::Trailers { key, headers })),
                        Ok(None) => {
                            take(key, &[], true);
                            Ok(Step::Over)
                        }
                        Err(detail) => self.fail_body(detail),
                    };
                }
            }
        }
    }

    /// Discards the rest of a request. The next one begins after it, unless it is so long that the
    /// connection is closed instead.
    fn drop_body(&mut self, input: &mut &[u8]) -> Result<Step, ConnectionError> {
        let most = self.limits.header_size as usize;
        let Some(exchange) = &mut self.exchange else { return Ok(Step::Over) };
        while let Receiving::Body(body) = &mut exchange.receiving {
            let before = input.len();
            let piece = body.take(input, usize::MAX, most);
            exchange.to_discard = exchange.to_discard.saturating_sub(before - input.len());
            match piece {
                Ok(Piece::Data(_, true) | Piece::Trailers(_)) => {
                    exchange.receiving = Receiving::Done
                }
                _ if exchange.to_discard == 0 && exchange.has_sent_all() => {
                    self.closing = true;
                    break;
                }
                Ok(Piece::Data(_, false)) => {}
                Ok(Piece::Wanting) => return Ok(Step::Waits),
                Err(detail) => return self.fail_body(detail),
            }
        }
        self.settle();
        Ok(Step::Over)
    }

    fn tunnel(&mut self, input: &mut &[u8], take: &mut impl FnMut(Key, &[u8], bool) -> usize) {
        let (key, width) = (self.key(), self.width);
        let Some(exchange) = &mut self.exchange else { return };
        loop {
            let (payload, rest) = input.split_at(exchange.room(width).min(input.len()));
            if payload.is_empty() {
                return;
            }
            *input = rest;
            exchange.note_forwarded(payload.len(), take(key, payload, false), width);
        }
    }

    /// A body with invalid framing ends the connection; a client without a response is told why.
    fn fail_body(&mut self, detail: &'static str) -> Result<Step, ConnectionError> {
        if self.role == Role::Client {
            return Ok(Step::Event(self.malformed(Cause::Malformed(detail))));
        }
        let unanswered = self.exchange.as_ref().is_some_and(|e| e.sending == Sending::Head);
        Err(if unanswered { self.refuse(detail.into()) } else { self.protocol_error(detail) })
    }
}

impl Exchange {
    /// How many more bytes may be forwarded now (flow control by window).
    fn room(&self, width: Width) -> usize {
        match self.discarding {
            true => usize::MAX,
            false => (self.window.size(width) as usize).saturating_sub(self.held),
        }
    }

    /// Records that `came` bytes were forwarded, and `credit` bytes of credit returned, which may be for
    /// earlier bytes.
    fn note_forwarded(&mut self, came: usize, credit: usize, width: Width) {
        self.held += came;
        self.release(credit, width);
    }

    /// Returns credit for bytes that have left.
    pub(super) fn release(&mut self, bytes: usize, width: Width) {
        self.held = self.held.saturating_sub(bytes);
        self.window.take(u32::try_from(bytes).unwrap_or(u32::MAX), width);
    }
}
