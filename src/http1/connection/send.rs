//! Commands: sending heads, bodies and trailers.

use super::end::MAX_DISCARDED;
use super::{Connection, Exchange, Receiving, Sending};
use crate::http::{Connection as _, Gone, Headers, Key, Name, OpenError, Outgoing, SendError};
use crate::http1::body::Body;
use crate::http1::response::RequestContext;
use crate::http1::write::{self, Framing};

/// Idempotent methods: such requests may be retried unless answered (RFC 9110, section 9.2.2).
const IDEMPOTENT: [&[u8]; 6] = [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"];

impl Connection {
    /// Sends the head of a request.
    pub(super) fn open<'a>(
        &mut self,
        head: impl Outgoing<'a>,
        end: bool,
    ) -> Result<Key, OpenError> {
        if self.available() == 0 {
            return Err(OpenError::Unavailable);
        }
        let fields = head.fields();
        let find = |id| fields.clone().find(|field| field.id == id).map(|field| field.value);
        let method = find(Name::Method).unwrap_or_default();
        let upgrade = !end && find(Name::Upgrade).is_some();
        let framing = match find(Name::ContentLength) {
            _ if end || upgrade => Framing::Empty,
            Some(length) => Framing::Length(number(length)),
            None => Framing::Chunked,
        };
        let asked = RequestContext { head: method == b"HEAD", upgrade };
        let mut exchange = Exchange::new(Receiving::Head, asked);
        exchange.sending = match framing {
            _ if upgrade => Sending::Undecided,
            Framing::Empty => Sending::Done,
            framing => Sending::Body(framing),
        };
        exchange.idempotent = !upgrade && IDEMPOTENT.contains(&method);
        self.output.append(|out| write::request(out, fields, framing));
        Ok(self.begin(exchange))
    }

    /// Sends the head of a response; `end` when no body follows.
    pub(super) fn send_head<'a>(
        &mut self,
        key: Key,
        head: impl Outgoing<'a>,
        end: bool,
    ) -> Result<(), SendError> {
        let exchange = self.unanswered(key)?;
        let fields = head.fields();
        let find = |id| fields.clone().find(|field| field.id == id).map(|field| field.value);
        let status = find(Name::Status).unwrap_or_default();
        let length = find(Name::ContentLength).map(number);
        if status == b"101" {
            (exchange.receiving, exchange.sending) = (Receiving::Tunnel, Sending::Tunnel);
            (self.closing, self.ends_by_close) = (true, true);
            self.output.append(|out| write::response(out, head.fields(), Framing::Empty, false));
            return Ok(());
        }
        if exchange.receiving == Receiving::Undecided {
            exchange.receiving = Receiving::Done;
        }
        let framing = match length {
            _ if exchange.asked.head || matches!(status, b"204" | b"304") => Framing::Empty,
            Some(length) => Framing::Length(length),
            None if end => Framing::Length(0),
            None if exchange.is_http11 => Framing::Chunked,
            None => Framing::UntilClose,
        };
        exchange.sending = if end { Sending::Done } else { Sending::Body(framing) };
        let last = exchange.may_be_last();
        self.ends_by_close = framing == Framing::UntilClose;
        self.closing |= self.ends_by_close || last;
        let close = self.closing;
        self.output.append(|out| write::response(out, fields, framing, close));
        self.settle();
        Ok(())
    }

    /// Sends an informational response, if the client is HTTP/1.1.
    pub(super) fn send_informational(&mut self, key: Key, head: &Headers) -> Result<(), SendError> {
        let exchange = self.unanswered(key)?;
        if exchange.is_http11 {
            exchange.awaits_continue &= !is_continue(head);
            self.output.append(|out| write::response(out, head.fields(), Framing::Empty, false));
        }
        Ok(())
    }

    fn unanswered(&mut self, key: Key) -> Result<&mut Exchange, SendError> {
        self.find(key).filter(|exchange| exchange.sending == Sending::Head).ok_or(SendError::Gone)
    }

    /// Sends DATA, or queues it until the output has room. Returns how many bytes are in the
    /// output.
    pub(super) fn send_data(&mut self, key: Key, payload: &[u8], end: bool) -> Result<usize, Gone> {
        let room = self.room();
        let exchange = self.find(key).ok_or(Gone)?;
        let sending = matches!(exchange.sending, Sending::Body(_) | Sending::Tunnel);
        if !sending || exchange.pending.end {
            return Err(Gone);
        }
        let now = if exchange.pending.is_empty() { payload.len().min(room) } else { 0 };
        let (now, later) = payload.split_at(now);
        let waits = !later.is_empty() || !exchange.pending.is_empty();
        if waits {
            exchange.pending.data.push(later);
            exchange.pending.end = end;
        }
        self.emit(now, end && !waits);
        self.settle();
        Ok(now.len())
    }

    /// Sends trailers after the queued data, where the framing allows them.
    pub(super) fn send_trailers(&mut self, key: Key, trailers: &Headers) -> Result<(), SendError> {
        let exchange = self.find(key).ok_or(SendError::Gone)?;
        if exchange.sending != Sending::Body(Framing::Chunked) {
            return self.send_data(key, &[], true).map(drop).map_err(|Gone| SendError::Gone);
        }
        if !exchange.pending.is_empty() {
            exchange.pending.trailers = Some(trailers.clone());
            exchange.pending.end = true;
            return Ok(());
        }
        exchange.sending = Sending::Done;
        self.output.append(|out| write::last_chunk(out, trailers.iter()));
        self.settle();
        Ok(())
    }

    /// How many bytes of data fit into the output.
    fn room(&self) -> usize {
        self.output.room(self.held_up)
    }

    /// Moves queued data into the output as far as there is room.
    pub(super) fn pump(&mut self) {
        let room = self.room();
        let key = self.key();
        let Some(exchange) = &mut self.exchange else { return };
        if exchange.pending.is_empty() || room == 0 {
            return;
        }
        let mut data = std::mem::take(&mut exchange.pending.data);
        let n = data.len().min(room);
        let all = n == data.len();
        let end = all && std::mem::take(&mut exchange.pending.end);
        let trailers = exchange.pending.trailers.take_if(|_| all);
        data.take(n, |piece| self.emit(piece, false));
        if end && trailers.is_none() {
            self.emit(&[], true);
        }
        self.drained += n;
        if let Some(exchange) = &mut self.exchange {
            exchange.pending.data = data;
        }
        if let Some(trailers) = trailers {
            // A truncated message has no trailers.
            let _ = self.send_trailers(key, &trailers);
        }
        self.settle();
    }

    /// Appends data in the framing of its message. A mismatch with the declared length aborts the
    /// exchange.
    fn emit(&mut self, payload: &[u8], end: bool) {
        let Some(exchange) = &mut self.exchange else { return };
        match &mut exchange.sending {
            Sending::Body(Framing::Length(left)) => {
                let more = payload.len() as u64;
                if more > *left || (end && more < *left) {
                    return self.abort();
                }
                *left -= more;
                self.output.raw(payload);
            }
            Sending::Body(Framing::Chunked) => self.output.append(|out| {
                write::chunk(out, payload);
                if end {
                    write::last_chunk(out, std::iter::empty());
                }
            }),
            Sending::Body(Framing::UntilClose) | Sending::Tunnel => self.output.raw(payload),
            Sending::Body(Framing::Empty) => {}
            Sending::Head | Sending::Undecided | Sending::Done => return,
        }
        if end {
            exchange.sending = Sending::Done;
        }
    }
}

impl Exchange {
    /// Whether the connection may have to close after this response: the rest of the request is
    /// long, or the client has yet to decide whether to send it.
    fn may_be_last(&self) -> bool {
        let long = match self.receiving {
            Receiving::Body(Body::Length(left)) => left > MAX_DISCARDED as u64,
            Receiving::Body(Body::Chunked(_)) => true, // of unknown length
            _ => false,
        };
        self.awaits_continue || long
    }
}

/// Whether it is the `100 Continue` that a client waits for.
fn is_continue<'a>(head: impl Outgoing<'a>) -> bool {
    head.fields().any(|field| field.id == Name::Status && field.value == b"100")
}

/// Parses a `content-length` that was validated before.
fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum: u64, digit| {
        sum.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
    })
}
