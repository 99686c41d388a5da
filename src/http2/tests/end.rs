//! One end of a connection, and a user of it that checks every event.

use std::collections::BTreeMap;

use super::exchange::{Exchange, Left, byte_at, request, response, trailers};
use crate::http::{
    Cause, Connection as _, ErrorCode, Event, HeaderPool, Key, Name, Role, SendError,
};
use crate::http2::Connection;

/// One end and its user.
pub struct End {
    pub conn: Connection,
    pub inbox: Vec<u8>,
    pub streams: BTreeMap<u32, Exchange>,
    /// The window that the peer really has, after it announced a smaller one.
    pub shrunk: Option<u32>,
    pub pings: usize,
    pool: HeaderPool,
}

impl End {
    pub fn new(conn: Connection) -> End {
        let pool = HeaderPool::default();
        End { conn, inbox: Vec::new(), streams: BTreeMap::new(), shrunk: None, pings: 0, pool }
    }

    /// One of the last streams.
    pub fn pick(&self, which: u8) -> Option<u32> {
        self.streams.keys().rev().nth(usize::from(which % 8)).copied()
    }

    pub fn open(&mut self, size: u8, now: u64) {
        let free = self.conn.available();
        let last = self.streams.keys().last();
        let headers = request(last.map_or(1, |id| id + 2), usize::from(size).pow(2) / 2);
        let opened = self.conn.open(&headers, size % 8 == 7, now);
        assert_eq!(opened.is_ok(), free > 0);
        if let Ok(key) = opened {
            let exchange = Exchange { head_sent: true, done: size % 8 == 7, ..Exchange::new(key) };
            self.streams.insert(key.id(), exchange);
        }
    }

    pub fn send_informational(&mut self, id: u32) {
        let exchange = &self.streams[&id];
        let may = !exchange.head_sent && self.conn.is_open(exchange.key);
        let sent = self.conn.send_informational(exchange.key, &response(id, "103"));
        assert_eq!(sent, if may { Ok(()) } else { Err(SendError::Gone) });
    }

    pub fn send_head(&mut self, id: u32, end: bool) {
        let Some(exchange) = self.streams.get_mut(&id) else { return };
        let may = !exchange.head_sent && self.conn.is_open(exchange.key);
        let sent = self.conn.send_head(exchange.key, &response(id, "200"), end);
        assert_eq!(sent, if may { Ok(()) } else { Err(SendError::Gone) });
        if may {
            exchange.head_sent = true;
            exchange.done = end;
            self.notice(id);
        }
    }

    pub fn send_data(&mut self, id: u32, len: usize, end: bool) {
        let role = self.conn.role();
        let Some(exchange) = self.streams.get_mut(&id) else { return };
        let may = exchange.head_sent && !exchange.done && self.conn.is_open(exchange.key);
        let body: Vec<u8> = (exchange.sent..).take(len).map(|at| byte_at(id, role, at)).collect();
        match self.conn.send_data(exchange.key, &body, end) {
            Ok(_) if len == 0 && !end => {}
            Ok(left) => {
                assert!(may);
                exchange.sent += len;
                exchange.waiting += len - left;
                exchange.done = end;
            }
            Err(_) => assert!(!may),
        }
        self.notice(id);
    }

    pub fn send_trailers(&mut self, id: u32) {
        let Some(exchange) = self.streams.get_mut(&id) else { return };
        let may = exchange.head_sent && !exchange.done && self.conn.is_open(exchange.key);
        let sent = self.conn.send_trailers(exchange.key, &trailers(id));
        assert_eq!(sent, if may { Ok(()) } else { Err(SendError::Gone) });
        exchange.done |= may;
        exchange.trailers_sent |= may;
        self.notice(id);
    }

    pub fn release(&mut self, id: u32, most: usize) {
        let Some(exchange) = self.streams.get_mut(&id) else { return };
        let bytes = most.min(exchange.received - exchange.released);
        exchange.released += bytes;
        self.conn.release(exchange.key, bytes);
    }

    pub fn reset(&mut self, id: u32, code: ErrorCode) {
        let Some(exchange) = self.streams.get_mut(&id) else { return };
        if self.conn.is_open(exchange.key) {
            exchange.reset();
        }
        self.conn.reset(exchange.key, code);
        assert!(!self.conn.is_open(exchange.key));
    }

    pub fn take_back(&mut self, id: u32) {
        let Some(exchange) = self.streams.get_mut(&id) else { return };
        let was_open = self.conn.is_open(exchange.key);
        if self.conn.take_back(exchange.key) {
            assert!(was_open && !self.conn.is_open(exchange.key));
            exchange.reset();
            exchange.left = Left::TakenBack;
        }
    }

    pub fn discard(&mut self, id: u32) {
        let Some(exchange) = self.streams.get_mut(&id) else { return };
        if self.conn.is_open(exchange.key) {
            exchange.left = Left::Discarded;
        }
        self.conn.discard(exchange.key);
        self.notice(id);
    }

    /// Notices that a discarded stream has ended.
    fn notice(&mut self, id: u32) {
        if let Some(exchange) = self.streams.get_mut(&id)
            && exchange.left == Left::Discarded
            && !self.conn.is_open(exchange.key)
        {
            exchange.reset();
        }
    }

    pub fn ping(&mut self, payload: u8) {
        self.conn.ping([payload; 8]);
        self.pings += 1;
    }

    pub fn announce_leave(&mut self) {
        let before = self.conn.output_len();
        self.conn.announce_leave([1; 8]);
        self.pings += usize::from(self.conn.output_len() > before);
    }

    pub fn leave(&mut self) {
        self.conn.leave();
        assert_eq!(self.conn.available(), 0);
    }

    pub fn pump(&mut self) {
        self.conn.pump();
        while let Some((key, bytes)) = self.conn.next_drained() {
            let exchange = self.streams.get_mut(&key.id()).expect("a known stream");
            exchange.waiting -= bytes;
        }
    }

    /// Whether a frame may be injected into the input now, between two others.
    pub fn may_be_told(&self) -> bool {
        self.conn.is_ready() && self.inbox.is_empty() && !self.conn.in_header_block()
    }

    /// Receives SETTINGS that the peer did not send itself.
    pub fn tell(&mut self, settings: &[(u16, u32)]) {
        self.inbox.extend([0, 0, 6 * settings.len() as u8, 4, 0, 0, 0, 0, 0]);
        for (id, value) in settings {
            self.inbox.extend(id.to_be_bytes());
            self.inbox.extend(value.to_be_bytes());
        }
        self.receive(usize::MAX, 0);
    }

    /// Takes up to `most` bytes of what has arrived.
    pub fn receive(&mut self, most: usize, now: u64) {
        let inbox = std::mem::take(&mut self.inbox);
        let (mut input, later) = inbox.split_at(most.min(inbox.len()));
        loop {
            let End { conn, streams, pool, .. } = self;
            let peer = if conn.role() == Role::Client { Role::Server } else { Role::Client };
            let received = conn.receive(&mut input, now, pool, |key, payload, end| {
                let exchange = streams.get_mut(&key.id()).expect("a known stream");
                exchange.on_data(peer, payload, end)
            });
            match received {
                Ok(Some(event)) => self.on_event(event),
                Ok(None) => break,
                Err(error) => panic!("our own peer is at fault: {error:?}"),
            }
        }
        self.inbox.extend(input);
        self.inbox.extend(later);
        self.pump();
        let ids: Vec<u32> = self.streams.keys().copied().collect();
        ids.into_iter().for_each(|id| self.notice(id));
    }

    /// Checks that the connection's own counts equal the user's.
    pub fn check(&self) {
        let waiting: usize = self.streams.values().map(|exchange| exchange.waiting).sum();
        assert_eq!(self.conn.pending_bytes(), waiting);
        let open = |exchange: &&Exchange| self.conn.is_open(exchange.key);
        assert_eq!(self.conn.open_streams(), self.streams.values().filter(open).count());
        let wanted = |exchange: &&Exchange| match self.conn.role() {
            Role::Client => open(exchange) && exchange.left != Left::Discarded,
            Role::Server => open(exchange),
        };
        assert_eq!(self.conn.is_busy(), self.streams.values().any(|exchange| wanted(&exchange)));
        for exchange in self.streams.values() {
            let flushed = self.conn.unsent(exchange.key) == 0;
            let whole = exchange.ended && exchange.done && flushed;
            match exchange.left {
                Left::Whole => assert_eq!(self.conn.is_open(exchange.key), !whole, "{exchange:?}"),
                Left::Discarded => {}
                Left::Reset | Left::TakenBack => assert!(!self.conn.is_open(exchange.key)),
            }
        }
    }

    /// Ends all streams: reads what is buffered, sends what is missing, cancels the rest.
    pub fn bring_to_end(&mut self) {
        if let Some(window) = self.shrunk
            && self.may_be_told()
        {
            self.shrunk = None;
            self.tell(&[(4, window)]);
        }
        for id in self.streams.keys().copied().collect::<Vec<_>>() {
            self.release(id, usize::MAX);
            let Exchange { key, left, head_sent, done, .. } = self.streams[&id];
            if !self.conn.is_open(key) {
                continue;
            }
            if left == Left::Discarded && self.conn.role() == Role::Client {
                self.reset(id, ErrorCode::CANCEL);
                continue;
            }
            if !head_sent {
                self.send_head(id, false);
            }
            if !done && id % 8 > 3 {
                self.send_trailers(id);
            } else if !done {
                self.send_data(id, 0, true);
            }
        }
        self.pump();
    }

    /// Records an event, and checks that it is allowed now.
    fn on_event(&mut self, event: Event) {
        match event {
            Event::Request { key, headers, end } => {
                let path = format!("/{}", key.id());
                assert_eq!(headers.get(Name::Path), Some(path.as_bytes()));
                let news = Exchange { head: true, ended: end, ..Exchange::new(key) };
                assert!(self.streams.insert(key.id(), news).is_none(), "opened twice");
            }
            Event::Informational { key, headers } => {
                assert!(!self.receiving(key).head);
                assert_eq!(headers, response(key.id(), "103"));
            }
            Event::Response { key, headers, end } => {
                assert_eq!(headers, response(key.id(), "200"));
                let exchange = self.receiving(key);
                assert!(!std::mem::replace(&mut exchange.head, true), "two heads");
                exchange.ended = end;
            }
            Event::Trailers { key, headers } => {
                assert_eq!(headers, trailers(key.id()));
                let exchange = self.receiving(key);
                (exchange.trailers, exchange.ended) = (true, true);
            }
            Event::Reset { key, cause, .. } => {
                assert!(matches!(cause, Cause::Peer | Cause::Unprocessed), "{cause:?}");
                let exchange = self.streams.get_mut(&key.id()).expect("a known stream");
                assert_ne!(exchange.left, Left::Reset, "over twice");
                exchange.reset();
            }
            Event::GoAway { code, .. } => assert_eq!(code, ErrorCode::NO_ERROR),
            Event::Pong(_) => self.pings -= 1,
            Event::Settings => {}
            Event::Oversized { .. } => panic!("a header list within the limits is refused"),
            Event::End { .. } => panic!("of HTTP/1.1"),
        }
    }

    /// A stream on which more may come.
    fn receiving(&mut self, key: Key) -> &mut Exchange {
        let exchange = self.streams.get_mut(&key.id()).expect("a known stream");
        exchange.expects_more();
        exchange
    }
}
