//! Calls in memory, from connection to connection: a client's, the two of a gateway between, and a
//! backend's. Only what the gateway does is timed; batches keep the clock's own cost out.

use std::sync::Arc;
use std::time::Duration;

use criterion::{Bencher, BenchmarkId, Criterion, Throughput};
use equipoise::clock::Clock;
use equipoise::http2::{Connection, Event, HeaderPool, Headers, Key, Limits};
use equipoise::model::Time;

use crate::{REQUEST, RESPONSE, TRAILERS, headers};

/// Calls at a time.
const BATCH: usize = 5;

/// A piece of a body, or anything else.
enum News<'a> {
    Data(Key, &'a [u8], bool),
    Event(Event),
}

/// Reads what `from` has written into `to`, and shows `act` what comes. Credit for bodies is given
/// at once.
fn carry(
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
fn introduce(client: &mut Connection, server: &mut Connection, pool: &mut HeaderPool) {
    carry(client, server, pool, |_| {});
    carry(server, client, pool, |_| {});
    carry(client, server, pool, |_| {});
}

/// A client and a backend, and the gateway's connections to them.
struct Line {
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
}

impl Line {
    fn new(body: usize) -> Line {
        let edge = Arc::new(Limits { overhead_slack: u32::MAX, ..Limits::edge() });
        let upstream = Arc::new(Limits { overhead_slack: u32::MAX, ..Limits::upstream() });
        let mut line = Line {
            client: Connection::client(Arc::clone(&upstream)),
            front: Connection::server(Arc::clone(&edge)),
            back: Connection::client(upstream),
            backend: Connection::server(edge),
            pool: HeaderPool::default(),
            calls: Vec::new(),
            request: headers(REQUEST),
            response: headers(RESPONSE),
            trailers: headers(TRAILERS),
            body: vec![7; body],
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
    fn batch(&mut self) -> Duration {
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
        let Line { client, front, back, pool, calls, .. } = self;
        let mut spent = Vec::new();
        carry(client, front, pool, |news| match news {
            News::Event(Event::Request { key, headers, end }) => {
                if let Ok(onward) = back.open(&headers, end, 0) {
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

fn timed(work: impl FnOnce()) -> Duration {
    let clock = Clock::start();
    work();
    clock.now().since(Time::ZERO)
}

/// What the gateway's two connections cost a unary call.
pub fn relaying(c: &mut Criterion) {
    let mut group = c.benchmark_group("relay a unary call");
    for body in [100, 16 << 10] {
        let mut line = Line::new(body);
        group.bench_function(BenchmarkId::from_parameter(format!("{body} bytes")), |b| {
            by_batches(b, || line.batch());
        });
    }
    group.finish();
}

/// What it costs to read a DATA frame that holds a message.
pub fn parsing(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse a DATA frame");
    for body in [100, 16 << 10] {
        let mut feed = Feed::new(body);
        group.throughput(Throughput::Bytes(body as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{body} bytes")), |b| {
            by_batches(b, || feed.batch());
        });
    }
    group.finish();
}

/// Two streams whose DATA takes turns, or it would be made one frame.
struct Feed {
    client: Connection,
    server: Connection,
    pool: HeaderPool,
    streams: Vec<Key>,
    body: Vec<u8>,
}

impl Feed {
    fn new(body: usize) -> Feed {
        let limits = Arc::new(Limits { overhead_slack: u32::MAX, ..Limits::internal() });
        let client = Connection::client(Arc::clone(&limits));
        let server = Connection::server(limits);
        let (pool, body) = (HeaderPool::default(), vec![7; body]);
        let mut feed = Feed { client, server, pool, streams: Vec::new(), body };
        introduce(&mut feed.client, &mut feed.server, &mut feed.pool);
        let request = headers(REQUEST);
        feed.streams.extend((0..2).filter_map(|_| feed.client.open(&request, false, 0).ok()));
        carry(&mut feed.client, &mut feed.server, &mut feed.pool, |_| {});
        feed
    }

    fn batch(&mut self) -> Duration {
        for stream in self.streams.iter().cycle().take(BATCH) {
            let _ = self.client.send_data(*stream, &self.body, false);
        }
        let Feed { client, server, pool, .. } = self;
        let mut frames = 0;
        let spent = timed(|| {
            carry(client, server, pool, |news| {
                frames += usize::from(matches!(news, News::Data(..)));
            });
        });
        assert_eq!(frames, BATCH);
        carry(server, client, pool, |_| {});
        spent
    }
}

fn by_batches(bencher: &mut Bencher<'_>, mut batch: impl FnMut() -> Duration) {
    let each = BATCH as u32;
    bencher.iter_custom(|times| (0..times).map(|_| batch()).sum::<Duration>() / each);
}
