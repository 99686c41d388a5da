//! A header of the PROXY protocol, in pieces of any size: they change nothing, and no byte beyond the
//! header is asked for.
#![no_main]

use equipoise::net::{HeaderError, Progress, parse_proxy_header};
use libfuzzer_sys::fuzz_target;

fn read(stream: &[u8], step: usize) -> Result<Progress, HeaderError> {
    let mut taken = 0;
    loop {
        match parse_proxy_header(&stream[..taken])? {
            Progress::Incomplete(missing) => {
                assert!(missing > 0 && taken + missing <= 4096);
                let next = missing.min(step).min(stream.len() - taken);
                if next == 0 {
                    return Ok(Progress::Incomplete(0)); // it ends early
                }
                taken += next;
            }
            complete => return Ok(complete),
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let [step, kind, stream @ ..] = input else { return };
    let start: &[u8] = match kind % 3 {
        0 => b"",
        1 => b"PROXY ",
        _ => b"\r\n\r\n\0\r\nQUIT\n",
    };
    let stream = [start, stream].concat();
    assert_eq!(read(&stream, usize::from(*step) + 1), read(&stream, 4096));
});
