//! Two ends that talk to each other, doing what the input says.
#![no_main]

use equipoise::{http, http2};
use libfuzzer_sys::fuzz_target;

#[path = "../../../src/http2/tests/end.rs"]
mod end;
#[path = "../../../src/http2/tests/exchange.rs"]
mod exchange;
#[path = "../../../src/http2/tests/pair.rs"]
mod pair;
#[path = "../../../src/http2/tests/script.rs"]
mod script;
#[path = "../../../src/http2/tests/tap.rs"]
mod tap;

fuzz_target!(|script: &[u8]| pair::run(script));
