//! Any stream of a watch, in pieces: its lines, and the slice that each may be.
#![no_main]

use equipoise::discovery;
use libfuzzer_sys::fuzz_target;

#[path = "../../../src/discovery/kubernetes/lines.rs"]
#[allow(dead_code)] // of use to others
mod lines;
#[path = "../../../src/discovery/kubernetes/slice.rs"]
#[allow(dead_code)]
mod slice;
#[path = "../../../src/discovery/kubernetes/wire.rs"]
#[allow(dead_code)]
mod wire;

fuzz_target!(|input: &[u8]| {
    let [step, stream @ ..] = input else { return };
    let mut lines = lines::Lines::default();
    for piece in stream.chunks(usize::from(*step) + 1) {
        lines.push(piece);
        while let Ok(Some(line)) = lines.next() {
            let Ok(text) = std::str::from_utf8(&line) else { continue };
            for port in [None, Some("grpc"), Some("8080")] {
                if let Ok(slice) = slice::Slice::read(text, port) {
                    assert!(!slice.name.is_empty() && slice.rejected.len() <= 21);
                }
            }
        }
    }
});
