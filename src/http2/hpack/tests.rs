//! The examples of RFC 7541, appendix C, and properties of what it leaves open.

use proptest::collection::vec;
use proptest::prelude::*;

use super::hash::hash;
use super::huffman;
use super::primitive::{Prefix, Reader, write_integer};
use super::{DecodeError, Decoded, Decoder, Encoder};
use crate::http::{Field, Headers, Indexing, Name};

const AMPLE: usize = 1 << 20;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn headers(fields: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in fields {
        headers.add_named(name.as_bytes(), value.as_bytes());
    }
    headers
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Headers, DecodeError> {
    let mut out = Headers::new();
    decoder.decode(block, AMPLE, AMPLE, &mut out)?;
    for field in out.iter() {
        assert_eq!(field.id, Name::of(field.name));
    }
    Ok(out)
}

fn encode(encoder: &mut Encoder, fields: &Headers) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.encode(fields.iter(), &mut out);
    out
}

fn integer(bytes: &[u8], mask: u8) -> Result<u32, DecodeError> {
    let mut reader = Reader::new(bytes);
    let first = reader.byte().unwrap();
    reader.integer(first, Prefix::new(0, mask))
}

#[test]
fn c1_integers() {
    for (value, mask, hex) in [(10, 0x1f, "0a"), (1337, 0x1f, "1f9a0a"), (42, 0xff, "2a")] {
        let mut out = Vec::new();
        write_integer(&mut out, Prefix::new(0, mask), value);
        assert_eq!(out, bytes(hex));
        assert_eq!(integer(&out, mask), Ok(value));
    }
    assert_eq!(integer(&bytes("ff80ffffff0f"), 0x7f), Ok(u32::MAX));
    for hex in ["ff81ffffff0f", "ffffffffffff00", "ff808080808000"] {
        assert_eq!(integer(&bytes(hex), 0x7f), Err(DecodeError::IntegerOverflow));
    }
    assert_eq!(integer(&bytes("ff80"), 0x7f), Err(DecodeError::Truncated));
}

#[test]
fn c2_representations() {
    let cases = [
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            ("custom-key", "custom-header", Indexing::Indexed),
        ),
        ("040c 2f73 616d 706c 652f 7061 7468", (":path", "/sample/path", Indexing::Literal)),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", ("password", "secret", Indexing::Never)),
        ("82", (":method", "GET", Indexing::Indexed)),
    ];
    for (hex, (name, value, indexing)) in cases {
        let decoded = decode(&mut Decoder::new(4096), &bytes(hex)).unwrap();
        let field = Field {
            id: Name::of(name.as_bytes()),
            name: name.as_bytes(),
            value: value.as_bytes(),
            indexing,
        };
        assert_eq!(decoded.iter().collect::<Vec<_>>(), [field]);
        assert_eq!(encode(&mut Encoder::new(), &decoded), bytes(hex));
    }
}

const REQUESTS: [&[(&str, &str)]; 3] = [
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
        ("cache-control", "no-cache"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ],
];

#[test]
fn c3_requests_without_huffman_code() {
    let (mut decoder, mut encoder) = (Decoder::new(4096), Encoder::new());
    let blocks = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    for (hex, request) in blocks.into_iter().zip(REQUESTS) {
        let request = headers(request);
        assert_eq!(decode(&mut decoder, &bytes(hex)), Ok(request.clone()));
        assert_eq!(encode(&mut encoder, &request), bytes(hex));
    }
}

#[test]
fn c4_requests_with_huffman_code() {
    let mut decoder = Decoder::new(4096);
    let blocks = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for (hex, request) in blocks.into_iter().zip(REQUESTS) {
        assert_eq!(decode(&mut decoder, &bytes(hex)), Ok(headers(request)));
    }
}

const RESPONSES: [&[(&str, &str)]; 3] = [
    &[
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ],
    &[
        (":status", "307"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ],
    &[
        (":status", "200"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
        ("location", "https://www.example.com"),
        ("content-encoding", "gzip"),
        ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ],
];

/// A decoder whose table the peer has set to 256 bytes, as the examples of responses have it.
fn small_decoder() -> Decoder {
    let mut decoder = Decoder::new(4096);
    decode(&mut decoder, &bytes("3fe1 01")).unwrap();
    decoder
}

/// The dynamic table after the last response, newest first, and nothing beyond.
fn assert_table_after_responses(decoder: &mut Decoder) {
    let expected = headers(&[RESPONSES[2][5], RESPONSES[2][4], RESPONSES[2][2]]);
    assert_eq!(decode(decoder, &bytes("bebfc0")), Ok(expected));
    let beyond = decode(decoder, &bytes("c1"));
    assert_eq!(beyond, Err(DecodeError::InvalidIndex(65)));
}

#[test]
fn c5_responses_without_huffman_code() {
    let mut decoder = small_decoder();
    let blocks = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
         6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
         3d31",
    ];
    for (hex, response) in blocks.into_iter().zip(RESPONSES) {
        assert_eq!(decode(&mut decoder, &bytes(hex)), Ok(headers(response)));
    }
    assert_table_after_responses(&mut decoder);
}

#[test]
fn c6_responses_with_huffman_code() {
    let mut decoder = small_decoder();
    let blocks = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for (hex, response) in blocks.into_iter().zip(RESPONSES) {
        assert_eq!(decode(&mut decoder, &bytes(hex)), Ok(headers(response)));
    }
    assert_table_after_responses(&mut decoder);
}

fn huffman_decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut out = b"kept".to_vec();
    huffman::decode(coded, &mut out)?;
    assert!(out.starts_with(b"kept"));
    Some(out.split_off(4))
}

#[test]
fn the_huffman_code_is_that_of_the_rfc() {
    // Length, and the first and the last code of that length.
    let rows = [
        (5u32, (b'0', 0x0u32), (b't', 0x9)),
        (6, (b' ', 0x14), (b'u', 0x2d)),
        (7, (b':', 0x5c), (b'z', 0x7b)),
        (8, (b'&', 0xf8), (b'Z', 0xfd)),
        (10, (b'!', 0x3f8), (b'?', 0x3fc)),
        (11, (b'\'', 0x7fa), (b'|', 0x7fc)),
        (12, (b'#', 0xffa), (b'>', 0xffb)),
        (13, (0, 0x1ff8), (b'~', 0x1ffd)),
        (14, (b'^', 0x3ffc), (b'}', 0x3ffd)),
        (15, (b'<', 0x7ffc), (b'{', 0x7ffe)),
        (19, (b'\\', 0x7fff0), (208, 0x7fff2)),
        (20, (128, 0xfffe6), (226, 0xfffed)),
        (21, (153, 0x1fffdc), (230, 0x1fffe8)),
        (22, (129, 0x3fffd2), (233, 0x3fffeb)),
        (23, (1, 0x7fffd8), (239, 0x7ffff4)),
        (24, (9, 0xffffea), (237, 0xfffff5)),
        (25, (199, 0x1ffffec), (235, 0x1ffffef)),
        (26, (192, 0x3ffffe0), (255, 0x3ffffee)),
        (27, (203, 0x7ffffde), (254, 0x7fffff0)),
        (28, (2, 0xfffffe2), (249, 0xffffffe)),
        (30, (10, 0x3ffffffc), (22, 0x3ffffffe)),
    ];
    for (len, first, last) in rows {
        for (symbol, code) in [first, last] {
            let padded = (code << (32 - len) | u32::MAX >> len).to_be_bytes();
            let padded = &padded[..len.div_ceil(8) as usize];
            assert_eq!(huffman_decode(padded), Some(vec![symbol]));
        }
    }
    // Those between are covered by what the RFC shows of text.
    for (text, hex) in [
        ("www.example.com", "f1e3 c2e5 f23a 6ba0 ab90 f4ff"),
        ("custom-value", "25a8 49e9 5bb8 e8b4 bf"),
        ("Mon, 21 Oct 2013 20:13:22 GMT", "d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff"),
    ] {
        let mut coded = Vec::new();
        huffman::encode(text.as_bytes(), &mut coded);
        assert_eq!(coded, bytes(hex), "{text}");
    }
}

#[test]
fn huffman_padding_is_short_and_ones() {
    assert_eq!(huffman_decode(b""), Some(vec![]));
    // '0' is 00000, 'a' 00011, '&' 11111000.
    assert_eq!(huffman_decode(&[0x07]), Some(b"0".to_vec()));
    assert_eq!(huffman_decode(&[0x06]), None, "padding with a zero");
    assert_eq!(huffman_decode(&[0x07, 0xff]), None, "padding of a byte");
    assert_eq!(huffman_decode(&[0xf8, 0xff]), None, "padding of exactly a byte");
    assert_eq!(huffman_decode(&[0xff; 4]), None, "EOS");
    assert_eq!(huffman_decode(&[0xff; 40]), None, "EOS");
}

#[test]
fn wrong_blocks_are_errors() {
    let max = 4096;
    for (hex, error) in [
        ("80", DecodeError::InvalidIndex(0)),
        ("be", DecodeError::InvalidIndex(62)),
        ("7e0161", DecodeError::InvalidIndex(62)),
        ("ff8080808010", DecodeError::IntegerOverflow),
        ("8220", DecodeError::LateSizeUpdate),
        ("3fe21f", DecodeError::SizeUpdateTooLarge { size: 4097, max }),
        ("00016182ffff", DecodeError::InvalidHuffman),
        ("4001", DecodeError::Truncated),
    ] {
        assert_eq!(decode(&mut Decoder::new(max), &bytes(hex)), Err(error), "{hex}");
    }
}

#[test]
fn a_name_outlives_the_entry_that_its_own_insertion_evicts() {
    let mut decoder = Decoder::new(4096);
    // Size 40; x: 1 and then a field with that name and 4 more bytes of value.
    let fields = decode(&mut decoder, &bytes("3f09 400178 0131 7e05 3132333435")).unwrap();
    assert_eq!(fields, headers(&[("x", "1"), ("x", "12345")]));
    assert_eq!(decode(&mut decoder, &bytes("be")), Ok(headers(&[("x", "12345")])));
    assert!(decode(&mut decoder, &bytes("bf")).is_err());
}

#[test]
fn a_list_over_its_limits_still_feeds_the_table() {
    let mut decoder = Decoder::new(4096);
    let block = bytes("82 400178 0131 400179 0132");
    let mut out = Headers::new();
    for (max_size, max_count) in [(42 + 33, 9), (AMPLE, 1)] {
        out.clear();
        let decoded = decoder.decode(&block, max_size, max_count, &mut out);
        assert_eq!(decoded, Ok(Decoded { too_large: true }));
        assert_eq!(out, headers(&[(":method", "GET")]));
        assert_eq!(out.list_size(), 42);
    }
    let kept = headers(&[("y", "2"), ("x", "1")]);
    assert_eq!(decode(&mut decoder, &bytes("bebf")), Ok(kept));

    let decoded = decoder.decode(&bytes("82828282"), 42, 1, &mut out);
    assert_eq!(decoded, Ok(Decoded { too_large: true }));
    for (max_size, max_count) in [(42, 9), (AMPLE, 1)] {
        let decoded = decoder.decode(&bytes("8282828282"), max_size, max_count, &mut out);
        assert_eq!(decoded, Err(DecodeError::ListWayTooLarge));
    }
}

#[test]
fn size_updates_come_first_smallest_then_last() {
    let mut encoder = Encoder::new();
    let get = headers(&[(":method", "GET")]);
    encoder.set_max_table_size(1 << 30);
    assert_eq!(encode(&mut encoder, &get), bytes("82"));
    encoder.set_max_table_size(100);
    encoder.set_max_table_size(0);
    encoder.set_max_table_size(u32::MAX);
    assert_eq!(encode(&mut encoder, &get), bytes("20 3fe11f 82"));
    assert_eq!(encode(&mut encoder, &get), bytes("82"));
    encoder.set_max_table_size(256);
    assert_eq!(encode(&mut encoder, &get), bytes("3fe101 82"));
}

#[test]
fn what_seldom_repeats_or_would_fill_the_table_stays_out_of_it() {
    let mut encoder = Encoder::new();
    let large = "v".repeat(4096 / 4 * 3);
    let fields = headers(&[("grpc-timeout", "1S"), ("date", "d"), ("x-large", &large)]);
    let first = encode(&mut encoder, &fields);
    assert!(first.starts_with(&bytes("000c 67727063 2d74696d 656f7574 0231 53 0f12 0164")));
    assert_eq!(encode(&mut encoder, &fields), first);
    let stable = headers(&[("x-stable", "v")]);
    assert_eq!(encode(&mut encoder, &stable).first(), Some(&0x40));
    assert_eq!(encode(&mut encoder, &stable), bytes("be"));
}

#[test]
fn values_with_the_same_hash_are_told_apart() {
    // The hash forgets what came before these bytes.
    let eraser = 0xd6e8_feb8_6659_fd93_u64.to_le_bytes();
    let values = [*b"value  1", *b"value  2"].map(|value| [value, eraser].concat());
    assert_eq!(hash(0, &values[0]), hash(0, &values[1]));
    let mut fields = Headers::new();
    for value in values.iter().chain(&values) {
        fields.add_named(b"x-a", value);
    }
    let block = encode(&mut Encoder::new(), &fields);
    assert_eq!(decode(&mut Decoder::new(4096), &block), Ok(fields));
    assert!(block.ends_with(&bytes("bf be")));
}

fn indexing() -> impl Strategy<Value = Indexing> {
    prop_oneof![
        6 => Just(Indexing::Indexed),
        1 => Just(Indexing::Literal),
        1 => Just(Indexing::Never),
    ]
}

/// Fields of few names and values, so that they repeat, among some that are anything.
fn fields(longest: usize) -> impl Strategy<Value = Headers> {
    let name = prop_oneof![
        proptest::sample::select(vec![
            ":path",
            ":status",
            ":method",
            "te",
            "server",
            "accept",
            "grpc-status",
            "x-a",
            "",
        ])
        .prop_map(|name| name.as_bytes().to_vec()),
        vec(any::<u8>(), 0..40),
    ];
    let value = prop_oneof![
        "[a-c]{0,2}".prop_map(String::into_bytes),
        Just(b"GET".to_vec()),
        vec(any::<u8>(), 0..longest),
    ];
    vec((name, value, indexing()), 0..20).prop_map(|fields| {
        let mut headers = Headers::new();
        for (name, value, indexing) in fields {
            headers.push(Name::of(&name), &name, &value, indexing);
        }
        headers
    })
}

/// A literal of each kind with strings in Huffman code, to reach deep with changed bytes.
fn huffman_block(headers: &Headers) -> Vec<u8> {
    let mut out = Vec::new();
    for field in headers.iter() {
        out.push(match field.indexing {
            Indexing::Indexed => 0x40,
            Indexing::Literal => 0,
            Indexing::Never => 0x10,
        });
        for string in [field.name, field.value] {
            let mut coded = Vec::new();
            huffman::encode(string, &mut coded);
            write_integer(&mut out, Prefix::HUFFMAN, coded.len() as u32);
            out.extend(coded);
        }
    }
    out
}

proptest! {
    #[test]
    fn huffman_round_trip(text in vec(any::<u8>(), 0..200)) {
        let mut coded = Vec::new();
        huffman::encode(&text, &mut coded);
        prop_assert_eq!(huffman_decode(&coded), Some(text));
    }

    #[test]
    fn round_trip(
        blocks in vec((proptest::option::weighted(0.2, 0u32..6000), fields(400)), 1..30),
        max_table_size in 4096u32..20_000,
    ) {
        let (mut decoder, mut encoder) = (Decoder::new(max_table_size), Encoder::new());
        for (resize, fields) in blocks {
            if let Some(size) = resize {
                encoder.set_max_table_size(size);
            }
            let block = encode(&mut encoder, &fields);
            let decoded = decode(&mut decoder, &block).unwrap();
            prop_assert_eq!(&decoded, &fields);
            let never = |h: &Headers| h.iter().map(|f| f.indexing == Indexing::Never).collect::<Vec<_>>();
            prop_assert_eq!(never(&decoded), never(&fields));
        }
    }

    #[test]
    fn a_cut_block_has_fewer_fields_or_is_truncated(fields in fields(20)) {
        for block in [encode(&mut Encoder::new(), &fields), huffman_block(&fields)] {
            for cut in 0..block.len() {
                match decode(&mut Decoder::new(4096), &block[..cut]) {
                    Ok(decoded) => prop_assert!(decoded.len() < fields.len()),
                    Err(error) => prop_assert_eq!(error, DecodeError::Truncated),
                }
            }
        }
    }

    #[test]
    fn hostile_blocks_stay_within_the_limits(
        fields in fields(400),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8),
        noise in vec(any::<u8>(), 0..300),
        sizes in vec(0u32..5000, 0..3),
        max_size in 0usize..2000,
        max_count in 0usize..20,
    ) {
        let mut decoder = Decoder::new(4096);
        let mut out = Headers::new();
        let mut block = Vec::new();
        for size in sizes {
            write_integer(&mut block, Prefix::SIZE_UPDATE, size);
        }
        block.extend(huffman_block(&fields));
        for (index, byte) in changes {
            if !block.is_empty() {
                let at = index.index(block.len());
                block[at] = byte;
            }
        }
        for block in [&block, &noise, &block] {
            out.clear();
            let _ = decoder.decode(block, max_size, max_count, &mut out);
            prop_assert!(out.len() <= max_count);
            let size = out.iter().map(|f| f.name.len() + f.value.len() + 32).sum::<usize>();
            prop_assert!(size <= max_size);
        }
    }
}
