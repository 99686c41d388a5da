//! Any value in etcd: few backends come of it, each with an instance.
#![no_main]

use equipoise::discovery;
use libfuzzer_sys::fuzz_target;

#[path = "../../../src/discovery/etcd/decode.rs"]
mod decode;

fuzz_target!(|value: &[u8]| {
    let decoded = decode::decode(value, "here");
    assert!(decoded.backends.len() <= 16 && decoded.faults.len() <= 17);
    assert!(decoded.backends.iter().all(|backend| backend.instance.is_some()));
});
