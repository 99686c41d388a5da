//! Any `grpc-timeout`: what is read is never sent on as more.
#![no_main]

use equipoise::grpc::{TimeoutText, parse_timeout};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let Some(time) = parse_timeout(value) else { return };
    assert!((2..=9).contains(&value.len()));
    let again = parse_timeout(TimeoutText::of(time).as_bytes()).expect("what we write, we read");
    assert!(again <= time || time.is_zero(), "{again:?} of {time:?}");
});
