//! What the gateway's connections cost a unary call, and a DATA frame. Only what the gateway does is
//! timed; batches keep the clock's own cost out.

use std::sync::Arc;
use std::time::Duration;

use criterion::{Bencher, BenchmarkId, Criterion, Throughput};
use equipoise::http::{Connection as _, HeaderPool, Key, Limits};
use equipoise::http2::Connection;

use crate::line::{BATCH, Line, News, REQUEST, carry, headers, introduce, timed};

/// What the gateway's two connections cost a unary call.
pub fn relaying(c: &mut Criterion) {
    let mut group = c.benchmark_group("relay a unary call");
    for (body, deadline) in [(100, false), (100, true), (16 << 10, false)] {
        let mut line = Line::new(body, deadline);
        let with = if deadline { ", with a deadline" } else { "" };
        group.bench_function(BenchmarkId::from_parameter(format!("{body} bytes{with}")), |b| {
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
