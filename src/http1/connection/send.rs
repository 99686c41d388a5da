//! Commands: what goes to the peer.

use super::end::MOST_DISCARDED;
use super::{Connection, Exchange, Receiving, Sending};
use crate::http::{Gone, Headers, Key, Name, OpenError, Outgoing, Role, SendError};
use crate::http1::body::Body;
use crate::http1::response::Asked;
use crate::http1::write::{self, Framing};

/// Methods of requests that may be sent again unless they were answered (RFC 9110, section 9.2.2).
const IDEMPOTENT: [&[u8]; 6] = [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"];

impl Connection {
    /// Sends the head of a request.
    ///
    /// # Errors
    /// When [`Connection::available`] is 0.
    pub fn open<'a>(&mut self, head: impl Outgoing<'a>, end: bool) -> Result<Key, OpenError> {
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
        let asked = Asked { head: method == b"HEAD", upgrade };
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
    ///
    /// # Errors
    /// When the exchange is over or has its head.
    pub fn send_head<'a>(
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
            None if exchange.modern => Framing::Chunked,
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

    /// Sends an informational response, to a client that knows of such.
    ///
    /// # Errors
    /// When the exchange is over or has its head.
    pub fn send_informational<'a>(
        &mut self,
        key: Key,
        head: impl Outgoing<'a>,
    ) -> Result<(), SendError> {
        let exchange = self.unanswered(key)?;
        if exchange.modern {
            exchange.hesitates &= !says_go_on(head);
            self.output.append(|out| write::response(out, head.fields(), Framing::Empty, false));
        }
        Ok(())
    }

    fn unanswered(&mut self, key: Key) -> Result<&mut Exchange, SendError> {
        self.find(key).filter(|exchange| exchange.sending == Sending::Head).ok_or(SendError::Gone)
    }

    /// Sends a piece of a body, or keeps it until the output has room. Returns how many bytes are
    /// on their way; [`Connection::next_drained`] tells of the others.
    ///
    /// # Errors
    /// When the exchange is over.
    pub fn send_data(&mut self, key: Key, payload: &[u8], end: bool) -> Result<usize, Gone> {
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

    /// Sends trailers, where the framing has a place for them, after what waits.
    ///
    /// # Errors
    /// When the exchange is over.
    pub fn send_trailers(&mut self, key: Key, trailers: &Headers) -> Result<(), SendError> {
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

    /// Lets the peer send `bytes` more, for as many that have left us.
    pub fn release(&mut self, key: Key, bytes: usize) {
        let width = self.width;
        if let Some(exchange) = self.find(key) {
            exchange.release(bytes, width);
        }
    }

    /// Has a backend send little ahead of a reader who takes nothing, or as much as there may be.
    pub fn set_narrow(&mut self, narrow: bool) {
        self.width.set_narrow(narrow && self.role == Role::Client);
    }

    /// Says whether the peer takes nothing for now: what is sent waits until it does.
    pub fn hold(&mut self, hold: bool) {
        self.held_up = hold;
    }

    /// How much of bodies may be put into the output.
    fn room(&self) -> usize {
        self.output.room(self.held_up)
    }

    /// Moves what waits into the output as far as that has room.
    pub fn pump(&mut self) {
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
            // A message that was broken off has no trailers.
            let _ = self.send_trailers(key, &trailers);
        }
        self.settle();
    }

    /// The exchange for which bytes that had waited have left, and how many.
    pub fn next_drained(&mut self) -> Option<(Key, usize)> {
        let n = std::mem::take(&mut self.drained);
        (n > 0).then(|| (self.key(), n))
    }

    /// Appends a piece in the framing of its message. A body that is longer or shorter than was
    /// declared breaks the exchange off.
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
    /// Whether the connection cannot be known to go on after a response that begins now: the
    /// rest of the request is long, or the client has yet to say whether it sends it at all.
    fn may_be_last(&self) -> bool {
        let long = match self.receiving {
            Receiving::Body(Body::Length(left)) => left > MOST_DISCARDED as u64,
            Receiving::Body(Body::Chunked(_)) => true, // nobody has said how long
            _ => false,
        };
        self.hesitates || long
    }
}

/// Whether an informational response is the one that a hesitating client waits for.
fn says_go_on<'a>(head: impl Outgoing<'a>) -> bool {
    head.fields().any(|field| field.id == Name::Status && field.value == b"100")
}

/// The number in a `content-length`, which the codec that brought it has checked.
fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum: u64, digit| {
        sum.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
    })
}
