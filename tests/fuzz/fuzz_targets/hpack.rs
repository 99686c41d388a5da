//! Any bytes into the decoder; what it makes of them goes through our encoder and back.
#![no_main]

use equipoise::http::Headers;
use equipoise::http2::hpack::{Decoder, Encoder};
use libfuzzer_sys::fuzz_target;

const SIZE: usize = 16 << 10;
const COUNT: usize = 100;

fuzz_target!(|bytes: &[u8]| {
    let (mut theirs, mut encoder, mut ours) =
        (Decoder::new(4096), Encoder::new(), Decoder::new(4096));
    // Blocks of one connection, each with its length before it.
    let mut rest = bytes;
    while let [len, after @ ..] = rest {
        let (block, later) = after.split_at(usize::from(*len).min(after.len()));
        rest = later;
        encoder.set_max_table_size(u32::from(*len) * 32);
        let mut fields = Headers::new();
        let Ok(decoded) = theirs.decode(block, SIZE, COUNT, &mut fields) else {
            return;
        };
        assert!(fields.list_size() <= SIZE && fields.len() <= COUNT || decoded.too_large);
        let (mut again, mut back) = (Vec::new(), Headers::new());
        encoder.encode(fields.iter(), &mut again);
        ours.decode(&again, SIZE, COUNT, &mut back).expect("what we encode, we decode");
        assert_eq!(fields, back);
    }
});
