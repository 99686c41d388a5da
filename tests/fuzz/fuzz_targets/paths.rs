//! Any path: what comes of it is in normal form, and hides nothing.
#![no_main]

use equipoise::http::{Paths, check_path};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &[u8]| {
    assert_eq!(check_path(path, Paths::AsIs), Ok(None));
    let strict = check_path(path, Paths::Strict);
    match check_path(path, Paths::Normalise) {
        Ok(None) => assert_eq!(strict, Ok(None)),
        Ok(Some(normal)) => {
            assert!(strict.is_err() && normal.len() <= path.len() && normal[0] == b'/');
            assert_eq!(check_path(&normal, Paths::Strict), Ok(None));
            let end = normal.iter().position(|&byte| byte == b'?').unwrap_or(normal.len());
            let mut segments = normal[1..end].split(|&byte| byte == b'/').rev();
            let last = segments.next().unwrap();
            assert!(![&b"."[..], b".."].contains(&last));
            assert!(segments.all(|segment| ![&b""[..], b".", b".."].contains(&segment)));
            assert!(!normal[..end].iter().any(|byte| matches!(byte, b'\\' | b';')));
        }
        Err(_) => assert!(strict.is_err()),
    }
});
