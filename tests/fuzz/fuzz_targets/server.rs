//! Bytes into a server's end: as they are, or as frames that are mostly well-formed.
#![no_main]

use equipoise::http::Role;
use equipoise::{http, http2};
use libfuzzer_sys::fuzz_target;

#[path = "../../../src/http2/tests/feed.rs"]
mod feed;
#[path = "../../../src/http2/tests/script.rs"]
#[allow(dead_code)] // of use to others
mod script;

fuzz_target!(|bytes: &[u8]| {
    match bytes {
        [0, bytes @ ..] => feed::in_any_pieces(Role::Server, bytes, bytes),
        [_, script @ ..] => feed::in_any_pieces(Role::Server, &feed::frames(Role::Server, script), script),
        [] => {}
    }
});
