//! Calls in memory, from connection to connection: a client's, the two of a gateway between, and a
//! backend's.

use std::sync::Arc;
use std::time::Duration;

use equipoise::clock::Clock;
use equipoise::grpc::TimeoutText;
use equipoise::http::{
    Connection as _, Event, Field, HeaderPool, Headers, Key, Limits, Name, Outgoing, Tag, Varying,
};
use equipoise::http2::Connection;
use equipoise::model::Time;

pub const REQUEST: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/helloworld.Greeter/SayHello"),
    (":authority", "greeter.example.com:8443"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("user-agent", "grpc-go/1.80.0"),
    ("grpc-accept-encoding", "gzip"),
];

pub const RESPONSE: &[(&str, &str)] = &[
    (":status", "200"),
    ("content-type", "application/grpc"),
    ("grpc-accept-encoding", "identity,deflate,gzip"),
];

pub const TRAILERS: &[(&str, &str)] = &[("grpc-status", "0"), ("grpc-message", "")];

pub fn headers(fields: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in fields {
        headers.add_named(name.as_bytes(), value.as_bytes());
    }
    headers
}

/// What a caller says of how long it waits, where it says that.
const TIMEOUT: (&str, &str) = ("grpc-timeout", "1000000u");

/// The head of a request as a gateway passes it on that tells how much is left.
#[derive(Clone, Copy)]
struct Onward<'a> {
    head: &'a Headers,
    left: Duration,
}

impl<'a> Outgoing<'a> for Onward<'a> {
    fn fields(self) -> impl Iterator<Item = Field<'a>> + Clone {
        self.head.iter().filter(|field| field.id != Name::GrpcTimeout)
    }

    fn varying(self) -> Option<Varying> {
        Varying::new(Name::GrpcTimeout, TimeoutText::of(self.left).as_bytes())
    }

    fn asks_for_head(self) -> bool {
        self.head.asks_for_head()
    }

    fn tag(self) -> Option<Tag> {
        self.head.tag().map(|tag| tag.variant(1))
    }
}

/// Calls at a time.
pub const BATCH: usize = 5;

/// A piece of a body, or anything else.
pub enum News<'a> {
    Data(Key, &'a [u8], bool),
    Event(Event),
}

/// Reads what `from` has written into `to`, and shows `act` what comes. Credit for bodies is given
/// at once.
pub fn carry(
    from: &mut Connection,
    to: &mut Connection,
    pool: &mut HeaderPool,
    mut act: impl FnMut(News<'_>),
) {
    let mut input = from.output().bytes();
    let whole = input.len();
    loop {
        let received = to.receive(&mut input, 0, pool, |key, payload, end| {
            act(News::Data(key, payload, end));
            payload.len()
        });
        let Ok(Some(event)) = received else { break };
        act(News::Event(event));
    }
    assert!(input.is_empty(), "the codec finds fault with itself");
    from.output().advance(whole);
    to.pump();
}

/// Lets both ends of a connection know the other's settings.
pub fn introduce(client: &mut Connection, server: &mut Connection, pool: &mut HeaderPool) {
    carry(client, server, pool, |_| {});
    carry(server, client, pool, |_| {});
    carry(client, server, pool, |_| {});
}

/// A client and a backend, and the gateway's connections to them.
pub struct Line {
    client: Connection,
    front: Connection,
    back: Connection,
    backend: Connection,
    pool: HeaderPool,
    /// Of each call, the streams at the front and at the back.
    calls: Vec<(Key, Key)>,
    request: Headers,
    response: Headers,
    trailers: Headers,
    body: Vec<u8>,
    /// How much is left of the time of the next call, if its caller says how long it waits.
    left: Option<Duration>,
}

impl Line {
    /// Calls with bodies of so many bytes, and with a deadline or without.
    pub fn new(body: usize, deadline: bool) -> Line {
        let fields = [REQUEST, if deadline { &[TIMEOUT] } else { &[] }].concat();
        let edge = Arc::new(Limits { overhead_slack: u32::MAX, ..Limits::edge() });
        let upstream = Arc::new(Limits { overhead_slack: u32::MAX, ..Limits::upstream() });
        let mut line = Line {
            client: Connection::client(Arc::clone(&upstream)),
            front: Connection::server(Arc::clone(&edge)),
            back: Connection::client(upstream),
            backend: Connection::server(edge),
            pool: HeaderPool::default(),
            calls: Vec::new(),
            request: headers(&fields),
            response: headers(RESPONSE),
            trailers: headers(TRAILERS),
            body: vec![7; body],
            left: deadline.then_some(Duration::from_micros(999_999)),
        };
        introduce(&mut line.client, &mut line.front, &mut line.pool);
        introduce(&mut line.back, &mut line.backend, &mut line.pool);
        // From then on, all that can be indexed is.
        for _ in 0..3 {
            line.batch();
        }
        line
    }

    /// Relays a batch of calls, and says how long the gateway took.
    pub fn batch(&mut self) -> Duration {
        self.call();
        let to_backend = timed(|| self.relay_requests());
        self.answer();
        let to_client = timed(|| self.relay_responses());
        self.hear();
        to_backend + to_client
    }

    fn call(&mut self) {
        for _ in 0..BATCH {
            if let Ok(key) = self.client.open(&self.request, false, 0) {
                let _ = self.client.send_data(key, &self.body, true);
            }
        }
    }

    fn relay_requests(&mut self) {
        let Line { client, front, back, pool, calls, left, .. } = self;
        let mut spent = Vec::new();
        carry(client, front, pool, |news| match news {
            News::Event(Event::Request { key, headers, end }) => {
                let opened = match left {
                    None => back.open(&headers, end, 0),
                    Some(left) => {
                        *left -= Duration::from_nanos(1); // no two are the same
                        back.open(Onward { head: &headers, left: *left }, end, 0)
                    }
                };
                if let Ok(onward) = opened {
                    calls.push((key, onward));
                }
                spent.push(headers);
            }
            News::Data(key, payload, end) => {
                if let Some((_, onward)) = calls.iter().find(|(front, _)| *front == key) {
                    let _ = back.send_data(*onward, payload, end);
                }
            }
            _ => {}
        });
        spent.drain(..).for_each(|headers| pool.put(headers));
    }

    fn answer(&mut self) {
        let Line { back, backend, pool, response, trailers, body, .. } = self;
        let mut asked = Vec::new();
        carry(back, backend, pool, |news| {
            if let News::Data(key, _, true) = news {
                asked.push(key);
            }
        });
        for key in asked {
            let _ = backend.send_head(key, &*response, false);
            let _ = backend.send_data(key, body, false);
            let _ = backend.send_trailers(key, trailers);
        }
    }

    fn relay_responses(&mut self) {
        let Line { front, back, backend, pool, calls, .. } = self;
        let mut spent = Vec::new();
        let at = |key: Key| calls.iter().find(|(_, back)| *back == key).map(|(front, _)| *front);
        carry(backend, back, pool, |news| match news {
            News::Event(Event::Response { key, headers, end }) => {
                let sent = at(key).map(|key| front.send_head(key, &headers, end));
                assert_eq!(sent, Some(Ok(())));
                spent.push(headers);
            }
            News::Data(key, payload, end) => {
                let _ = at(key).map(|key| front.send_data(key, payload, end));
            }
            News::Event(Event::Trailers { key, headers }) => {
                let _ = at(key).map(|key| front.send_trailers(key, &headers));
                spent.push(headers);
            }
            _ => {}
        });
        spent.drain(..).for_each(|headers| pool.put(headers));
        calls.clear();
    }

    fn hear(&mut self) {
        let mut ended = 0;
        carry(&mut self.front, &mut self.client, &mut self.pool, |news| {
            ended += usize::from(matches!(news, News::Event(Event::Trailers { .. })));
        });
        // Credit that the client and the backend have given.
        carry(&mut self.client, &mut self.front, &mut self.pool, |_| {});
        carry(&mut self.backend, &mut self.back, &mut self.pool, |_| {});
        carry(&mut self.back, &mut self.backend, &mut self.pool, |_| {});
        assert_eq!(ended, BATCH, "a call was lost");
    }
}

pub fn timed(work: impl FnOnce()) -> Duration {
    let clock = Clock::start();
    work();
    clock.now().since(Time::ZERO)
}
