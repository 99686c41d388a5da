//! The cost of a header block, decoded and encoded, in the shapes that gRPC gives it; of a frame;
//! and of a whole call that is relayed.

#[path = "codec/line.rs"]
mod line;
#[path = "codec/relay.rs"]
mod relay;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use equipoise::http::{Headers, Indexing, Name};
use equipoise::http2::hpack::{Decoder, Encoder};

use line::{REQUEST, RESPONSE, TRAILERS, headers};

const LIMIT: usize = 16 << 10;

const DEADLINE: (&str, &str) = ("grpc-timeout", "999987u");

/// A path as Rust clients send it with every request: a literal in Huffman code.
const HUFFMAN_PATH: &[u8] = &[
    0x04, 0x95, 0x62, 0x72, 0xd1, 0x41, 0xfc, 0x1e, 0xca, 0x24, 0x5f, 0x15, 0x85, 0x2a, 0x4b, 0x63,
    0x1b, 0x87, 0xeb, 0x19, 0x68, 0xa0, 0xff,
];

fn encode(encoder: &mut Encoder, fields: &Headers) -> Vec<u8> {
    let mut block = Vec::new();
    encoder.encode(fields.iter(), &mut block);
    block
}

/// A first block, and what the same fields are from then on.
fn blocks(fields: &Headers) -> (Vec<u8>, Vec<u8>) {
    let mut encoder = Encoder::new();
    (encode(&mut encoder, fields), encode(&mut encoder, fields))
}

fn shapes() -> Vec<(&'static str, Headers)> {
    let with_deadline = [REQUEST, &[DEADLINE]].concat();
    vec![
        ("request", headers(REQUEST)),
        ("request with deadline", headers(&with_deadline)),
        ("response", headers(RESPONSE)),
        ("trailers", headers(TRAILERS)),
    ]
}

fn decoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    let mut out = Headers::new();
    for (name, fields) in shapes() {
        let (first, later) = blocks(&fields);
        group.bench_function(format!("{name}, first"), |b| {
            b.iter_batched_ref(
                || Decoder::new(4096),
                |decoder| {
                    out.clear();
                    decoder.decode(black_box(&first), LIMIT, 100, &mut out)
                },
                criterion::BatchSize::SmallInput,
            );
        });
        let mut decoder = Decoder::new(4096);
        let primed = decoder.decode(&first, LIMIT, 100, &mut out);
        assert!(primed.is_ok_and(|decoded| !decoded.too_large));
        group.bench_function(format!("{name}, later"), |b| {
            b.iter(|| {
                out.clear();
                decoder.decode(black_box(&later), LIMIT, 100, &mut out)
            });
        });
    }
    out.clear();
    let mut decoder = Decoder::new(4096);
    let decoded = decoder.decode(HUFFMAN_PATH, LIMIT, 100, &mut out);
    assert!(decoded.is_ok());
    let path = out.get(Name::Path);
    assert_eq!(path, Some(&b"/helloworld.Greeter/SayHello"[..]));
    group.bench_function("path in Huffman code", |b| {
        b.iter(|| {
            out.clear();
            decoder.decode(black_box(HUFFMAN_PATH), LIMIT, 100, &mut out)
        });
    });
    group.finish();
}

fn encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let mut block = Vec::new();
    for (name, fields) in shapes() {
        group.bench_function(format!("{name}, first"), |b| {
            b.iter_batched_ref(
                Encoder::new,
                |encoder| {
                    block.clear();
                    encoder.encode(black_box(&fields).iter(), &mut block);
                },
                criterion::BatchSize::SmallInput,
            );
        });
        let mut encoder = Encoder::new();
        encode(&mut encoder, &fields);
        group.bench_function(format!("{name}, later"), |b| {
            b.iter(|| {
                block.clear();
                encoder.encode(black_box(&fields).iter(), &mut block);
            });
        });
    }
    group.bench_function("values that always differ", |b| {
        let mut encoder = Encoder::new();
        let mut fields = Headers::new();
        let mut count = 0u64;
        b.iter(|| {
            count += 1;
            fields.clear();
            fields.push(Name::Other, b"x-session", &count.to_le_bytes(), Indexing::Indexed);
            block.clear();
            encoder.encode(fields.iter(), &mut block);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = decoding, encoding, relay::parsing, relay::relaying
}
criterion_main!(benches);
