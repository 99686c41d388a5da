use proptest::prelude::*;

use super::*;

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

/// Reads a stream as a connection does, `step` bytes at a time at most: the outcome, and what is
/// left of the stream.
fn read(stream: &[u8], step: usize) -> (Result<Option<IpAddr>, HeaderError>, usize) {
    let mut taken = 0;
    loop {
        match parse(&stream[..taken]) {
            Err(error) => return (Err(error), stream.len() - taken),
            Ok(Progress::Complete(address)) => return (Ok(address), stream.len() - taken),
            Ok(Progress::Incomplete(missing)) => {
                assert!(missing > 0 && taken + missing <= MAX_BINARY);
                let next = missing.min(step).min(stream.len() - taken);
                if next == 0 {
                    return (Err(HeaderError::Missing), 0); // it ends early
                }
                taken += next;
            }
        }
    }
}

const FOUR: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 7, 200, 34, 1, 187];

fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let six: Vec<u8> = [
        "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets().to_vec(),
        vec![0; 16],
        vec![1, 2, 3, 4],
    ]
    .concat();
    let longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                   ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), MAX_TEXT);
    let values = [&FOUR[..], &[4, 0, 3, 0, 0, 0], &[0xea, 0, 1, 7], &[1, 0, 0]].concat();
    vec![
        (b"PROXY TCP4 192.0.2.1 198.51.100.7 51234 443\r\n".into(), Some("192.0.2.1")),
        (
            b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".into(),
            Some("255.255.255.255"),
        ),
        (b"PROXY TCP6 2001:db8::1 ::1 1 0\r\n".into(), Some("2001:db8::1")),
        (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n".into(), Some("::ffff:192.0.2.1")),
        (b"PROXY UNKNOWN\r\n".into(), None),
        (longest.into(), None),
        (v2(0x21, 0x11, &FOUR), Some("192.0.2.1")),
        (v2(0x21, 0x11, &values), Some("192.0.2.1")),
        (v2(0x21, 0x21, &six), Some("2001:db8::1")),
        (v2(0x21, 0x31, &[7; 216]), None),
        (v2(0x21, 0x00, b""), None),
        (v2(0x21, 0x00, b"whatever"), None),
        (v2(0x20, 0x00, b""), None),
        (v2(0x20, 0x11, &FOUR), None),
        (v2(0x20, 0xff, b"whatever"), None),
        (v2(0x21, 0x11, &[&FOUR[..], &[4, 15, 225], &[0; 4065]].concat()), Some("192.0.2.1")),
    ]
}

#[test]
fn the_address_is_read_and_nothing_behind_it_however_it_comes() {
    for (header, expected) in good() {
        let expected = expected.map(|text| text.parse().unwrap());
        let stream = [&header[..], b"\r\nPRI * HTTP/2.0\r\n"].concat();
        for step in [1, 2, 3, 5, 7, 16, 4096] {
            let (address, left) = read(&stream, step);
            let text = String::from_utf8_lossy(&header);
            assert_eq!((address, left), (Ok(expected), 18), "{text} in steps of {step}");
        }
    }
}

#[test]
fn what_is_no_header_is_refused() {
    use HeaderError::{Malformed, Missing, TooLong, Unsupported};
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    for (stream, expected) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Missing),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), Missing),
        (b"\x16\x03\x01\x02\x00\x01".into(), Missing),
        (b"\r\n\r\n\0\r\nQUIX\n".into(), Missing),
        (b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n".into(), Missing),
        (b"PROXY\tTCP4 1.1.1.1 1.1.1.1 1 1\r\n".into(), Missing),
        (long.into_bytes(), TooLong),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n\n\r\n".into(), Malformed),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n".into(), Malformed),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n".into(), Malformed),
        (b"PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n".into(), Malformed),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n".into(), Malformed),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n".into(), Malformed),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1  1\r\n".into(), Malformed),
        (b"PROXY TCP4 ::1 ::1 1 1\r\n".into(), Malformed),
        (b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n".into(), Malformed),
        (b"PROXY TCP4 1.1.1.01 1.1.1.1 1 1\r\n".into(), Malformed),
        (b"PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n".into(), Malformed),
        (b"PROXY TCP4 1.1.1.\xff 1.1.1.1 1 1\r\n".into(), Malformed),
        (b"PROXY TCP4 1.1.1.1\r1.1.1.1 1 1\r\n".into(), Malformed),
        (v2(0x11, 0x11, &FOUR), Malformed),
        (v2(0x22, 0x11, &FOUR), Malformed),
        (v2(0x21, 0x11, &FOUR[..11]), Malformed),
        (v2(0x21, 0x21, &FOUR), Malformed),
        (v2(0x21, 0x31, &FOUR), Malformed),
        (v2(0x21, 0x12, &FOUR), Unsupported),
        (v2(0x21, 0x41, &FOUR), Unsupported),
        (v2(0x21, 0x11, &[&FOUR[..], &[4]].concat()), Malformed),
        (v2(0x21, 0x11, &[&FOUR[..], &[4, 0, 2, 1]].concat()), Malformed),
        (v2(0x21, 0x11, &[0; 4096]), TooLong),
    ] {
        for step in [1, 4096] {
            let text = String::from_utf8_lossy(&stream);
            assert_eq!(read(&stream, step).0, Err(expected), "{text} in steps of {step}");
        }
    }
}

#[test]
fn an_endless_header_ends_at_once() {
    let stream = [TEXT, &[b'x'; 5000]].concat();
    assert_eq!(read(&stream, 4096).0, Err(HeaderError::TooLong));
    assert!(stream.len() - read(&stream, 4096).1 <= MAX_TEXT);
    let stream = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
    assert_eq!(parse(&stream), Err(HeaderError::TooLong));
}

proptest! {
    #[test]
    fn how_it_is_split_changes_nothing(mut stream in prop::collection::vec(any::<u8>(), 0..300), kind in 0..3, step in 1usize..50) {
        match kind {
            0 => stream.splice(0..0, TEXT.iter().copied()).for_each(drop),
            1 => stream.splice(0..0, SIGNATURE).for_each(drop),
            _ => {}
        }
        prop_assert_eq!(read(&stream, step).0, read(&stream, 4096).0);
    }
}
