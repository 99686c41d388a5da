//! A client and a server, in all framings, wherever the bytes are cut.

use super::{End, GET, POST, head, told_of};
use crate::http::Connection as _;

/// What a client writes for this request.
fn request(fields: &[(&str, &str)], body: &[&[u8]], trailers: &[(&str, &str)]) -> String {
    let mut client = End::client();
    let key = client.open(fields, body.is_empty());
    for (at, piece) in body.iter().enumerate() {
        let last = at + 1 == body.len() && trailers.is_empty();
        client.codec.send_data(key, piece, last).unwrap();
    }
    if !trailers.is_empty() {
        client.codec.send_trailers(key, &head(trailers)).unwrap();
    }
    client.written()
}

#[test]
fn a_server_reads_what_a_client_writes() {
    let start =
        |method: &str| format!("request :method={method} :scheme=http :authority=h :path=/");
    let read = |written: &str| told_of(End::server, written.as_bytes());
    assert_eq!(read(&request(GET, &[], &[])), start("GET") + " | end");
    assert_eq!(read(&request(POST, &[], &[])), start("POST") + " content-length=0 | end");
    assert_eq!(read(&request(POST, &[b"a", b"", b"bc"], &[])), start("POST") + " | data abc | end");
    assert_eq!(
        read(&request(POST, &[b"abc"], &[("x-t", "1")])),
        start("POST") + " | data abc | trailers x-t=1 | end"
    );
    let sized: Vec<_> = POST.iter().chain(&[("content-length", "3")]).copied().collect();
    assert_eq!(
        read(&request(&sized, &[b"ab", b"c"], &[])),
        start("POST") + " content-length=3 | data abc | end"
    );
}

#[test]
fn a_client_reads_what_a_server_writes() {
    let ok = &[(":status", "200")][..];
    let sized = &[(":status", "200"), ("content-length", "3")][..];
    for version in ["1.0", "1.1"] {
        for (fields, body, expected) in [
            (ok, Some(&b"abc"[..]), "response :status=200 | data abc | end"),
            (ok, None, "response :status=200 content-length=0 | end"),
            (sized, Some(b"abc"), "response :status=200 content-length=3 | data abc | end"),
        ] {
            let mut server = End::server();
            server.feed(format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n").as_bytes());
            server.answer(fields, body);
            let written = server.written();
            assert_eq!(told_of(|| End::asking(GET), written.as_bytes()), expected, "{version}");
        }
    }
}

#[test]
fn exchanges_follow_each_other_on_one_connection() {
    let (mut client, mut server) = (End::client(), End::server());
    for number in 0..20usize {
        let body = vec![b'a' + number as u8; number * 7];
        let key = client.open(POST, false);
        client.codec.send_data(key, &body, true).unwrap();
        server.feed(client.written().as_bytes());
        assert_eq!(server.told().matches('|').count(), 1 + usize::from(number > 0));
        server.answer(&[(":status", "200")], Some(&body));
        client.feed(server.written().as_bytes());
        assert!(client.told().ends_with("end"));
        assert_eq!((client.codec.available(), server.codec.open_streams()), (1, 0));
    }
}
