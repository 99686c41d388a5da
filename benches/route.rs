//! What finding a route costs among 10 and among 10,000, all of which are asked for in turn, and what
//! counting a call by its method does.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use equipoise::clock::Clock;
use equipoise::http::{Headers, Name};
use equipoise::model::{AttemptOutcome, Code, GrpcCode};
use equipoise::proxy::{CallEnd, MethodMetrics, StreamingMethods};
use equipoise::route::{
    Conditions, FieldMatch, Forward, HostMatch, Match, PathMatch, Route, RouteQuery, RouteTable,
    RouteTableBuilder, Share, SourceLocation, Split, ValueMatch,
};
use equipoise::service::MethodTable;

/// How the routes of a table differ, and what asks for one of them.
struct Kind {
    name: &'static str,
    matched: fn(usize) -> Match,
    /// Authority, path, and whether it is gRPC.
    asks: fn(usize) -> (String, String, bool),
}

fn grpc(number: usize) -> Match {
    let path = PathMatch::grpc(&format!("shop.v1.Service{number}/Get")).unwrap();
    Match { path, ..Match::default() }
}

fn prefix(number: usize) -> Match {
    let path = PathMatch::prefix(&format!("/api/{number}")).unwrap();
    let host = HostMatch::parse("*.shop.example").unwrap();
    Match { host, path, ..Match::default() }
}

fn host(number: usize) -> Match {
    let host = HostMatch::parse(&format!("tenant{number}.shop.example")).unwrap();
    Match { host, path: PathMatch::prefix("/api").unwrap(), ..Match::default() }
}

/// Two routes for each path, of which the second one is taken.
fn header(number: usize) -> Match {
    let field = FieldMatch { name: "x-canary".into(), value: ValueMatch::Exact("1".into()) };
    let headers = if number.is_multiple_of(2) { [field].into() } else { Box::default() };
    let conditions = Conditions { headers, ..Conditions::default() };
    Match { conditions, ..grpc(number / 2) }
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "grpc",
        matched: grpc,
        asks: |n| ("shop.example:8080".into(), format!("/shop.v1.Service{n}/Get"), true),
    },
    Kind {
        name: "prefix",
        matched: prefix,
        asks: |n| ("www.shop.example".into(), format!("/api/{n}/orders/17?page=2"), false),
    },
    Kind {
        name: "host",
        matched: host,
        asks: |n| (format!("tenant{n}.shop.example"), "/api/orders/17".into(), false),
    },
    Kind {
        name: "header",
        matched: header,
        asks: |n| ("shop.example".into(), format!("/shop.v1.Service{}/Get", n / 2), true),
    },
];

fn table(kind: &Kind, len: usize) -> RouteTable {
    let mut table = RouteTableBuilder::default();
    for number in 0..len {
        let split = Split::new([Share::new(number, "orders", 1)]);
        let route = Route::Forward(Forward::to(split));
        table.insert(None, (kind.matched)(number), route, SourceLocation::default()).unwrap();
    }
    table.finish()
}

/// Requests at a time: few enough to stay in the cache, as a request has just been read.
const BATCH: usize = 16;

fn find(criterion: &mut Criterion) {
    let fields = vec![("content-type", "application/grpc"), ("te", "trailers"), ("x-canary", "0")];
    for kind in &KINDS {
        let mut group = criterion.benchmark_group(kind.name);
        for len in [10, 10_000] {
            let table = table(kind, len);
            let mut next = 0;
            let mut asked = || {
                next = (next + 7919) % len; // neither in order nor the same one twice in a row
                (kind.asks)(next)
            };
            let mut batch = |_: u64| {
                let asked: [_; BATCH] = std::array::from_fn(|_| asked());
                let clock = Clock::start();
                for (authority, path, grpc) in &asked {
                    let query = RouteQuery {
                        authority: authority.as_bytes(),
                        path: path.as_bytes(),
                        method: b"POST",
                        grpc: *grpc,
                        fields: &fields,
                    };
                    black_box(table.find(black_box(&query)));
                }
                clock.now().since(equipoise::model::Time::ZERO)
            };
            group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
                let each = BATCH as u32;
                bencher.iter_custom(|times| (0..times).map(&mut batch).sum::<Duration>() / each);
            });
        }
        group.finish();
    }
}

/// Methods of a service that have names, unless a setting says otherwise.
const MOST_METHODS: usize = 256;

/// The head of a call with this path, which has not come before.
fn head(path: &str) -> Headers {
    let mut head = Headers::new();
    head.add(Name::Path, path.as_bytes());
    head
}

/// Finding the method of a call by its head, and counting the call when it is over.
fn count(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("method");
    for len in [5, MOST_METHODS] {
        let table = Arc::new(MethodTable::new(2, MOST_METHODS));
        let (calls, methods) = (MethodMetrics::new(&table, 0), StreamingMethods::default());
        let heads: Vec<Headers> = (0..len).map(|n| head(&format!("/Orders/Method{n}"))).collect();
        let code = Code::Grpc(GrpcCode::Ok);
        let mut next = 0;
        let mut call = || {
            next = (next + 31) % len;
            let took = Some(Duration::from_micros(700 + next as u64));
            let end =
                CallEnd { code, attempt_outcome: AttemptOutcome::Answered(code), took, cut: false };
            let (called, _) = calls.find(black_box(&heads[next]), &methods);
            calls.count(&called, black_box(&end));
        };
        (0..2 * len).for_each(|_| call()); // the first ones are learnt
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| bencher.iter(&mut call));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = find, count
}
criterion_main!(benches);
