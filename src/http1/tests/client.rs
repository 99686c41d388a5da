//! The client role: how responses are parsed, above all malformed ones.

use super::{End, GET, POST, head, told_of};
use crate::http::Connection as _;

const UPGRADE: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "h"),
    (":path", "/"),
    ("upgrade", "echo"),
];

/// The events for this response to a GET.
fn told(answer: &str) -> String {
    told_of(|| End::asking(GET), answer.as_bytes())
}

#[test]
fn each_kind_of_response_ends_where_it_should() {
    let cases = [
        ("Content-Length: 2\r\n\r\nok", "response :status=200 content-length=2 | data ok | end"),
        ("Content-Length: 0\r\n\r\n", "response :status=200 content-length=0 | end"),
        ("\r\nall there is", "response :status=200 | data all there is | end"),
        (
            "Transfer-Encoding: chunked\r\n\r\n2;e\r\nok\r\n0\r\nX-T: 1\r\nAuthorization: 2\r\n\r\n",
            "response :status=200 | data ok | trailers x-t=1 | end",
        ),
    ];
    for (rest, expected) in cases {
        assert_eq!(told(&format!("HTTP/1.1 200 OK\r\n{rest}")), expected);
    }
    assert_eq!(told("HTTP/1.0 200\r\n\r\nall"), "response :status=200 | data all | end");
    assert_eq!(
        told("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
        "response :status=304 content-length=9 | end"
    );
    assert_eq!(told("HTTP/1.1 204 No Content\r\n\r\n"), "response :status=204 | end");
    let head: Vec<_> = [(":method", "HEAD")].iter().chain(&GET[1..]).copied().collect();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    let told = told_of(|| End::asking(&head), answer);
    assert_eq!(told, "response :status=200 content-length=9 | end");
}

#[test]
fn what_could_be_read_in_two_ways_is_malformed() {
    for lines in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2, 2",
        "Content-Length: two",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "x: a\r\n folded",
        "x: a\nb: c",
        "x y : a",
        ": a",
        "x: a\0",
        ":status: 200",
    ] {
        let told = told(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
        assert!(told.starts_with("reset Malformed("), "{lines}: {told}");
    }
    for line in [
        "HTTP/2.0 200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1  200 OK",
        "http/1.1 200",
        "200 OK",
        "HTTP/1.1 099 x",
        "HTTP/1.1 2000 x",
        "HTTP/1.1 101 Switching Protocols",
    ] {
        let told = told(&format!("{line}\r\n\r\n"));
        assert!(told.starts_with("reset Malformed("), "{line}: {told}");
    }
    let told_1_0 = told("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert!(told_1_0.starts_with("reset Malformed("), "{told_1_0}");
    for chunk in ["x\r\n", "2\r\nokay", "2\nok\r\n"] {
        let told = told(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"));
        assert!(told.contains("reset Malformed("), "{chunk}: {told}");
    }
}

#[test]
fn what_can_be_read_in_one_way_alone_is_read() {
    let cases = [
        ("x : a\r\nx\t:b \r\nContent-Length : 2", "x=a x=b content-length=2"),
        ("Content-Length: 2\r\nx: a\r\nContent-Length: 02 ", "x=a content-length=2"),
        ("Upgrade: h2\r\nUpgrade: h2c\r\nContent-Length: 2", "content-length=2"),
        ("Host: a\r\nHost: b\r\nContent-Length: 2", "content-length=2"),
    ];
    for (lines, expected) in cases {
        let told = told(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nok"));
        assert_eq!(told, format!("response :status=200 {expected} | data ok | end"), "{lines}");
    }
    for status in ["600", "999"] {
        let told = told(&format!("HTTP/1.1 {status} Odd\r\nContent-Length: 0\r\n\r\n"));
        assert!(told.starts_with(&format!("response :status={status} ")), "{told}");
    }
}

#[test]
fn what_breaks_off_has_no_end() {
    for answer in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ] {
        let told = told(answer);
        assert!(!told.contains("end") && !told.contains("reset"), "{answer}: {told}");
    }
}

#[test]
fn informational_responses_come_before_the_final_one() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let ok = "HTTP/1.1 204 No Content\r\n\r\n";
    let told_few = told(&format!("{hint}{hint}{ok}"));
    let said = "informational :status=103 link=x";
    assert_eq!(told_few, format!("{said} | {said} | response :status=204 | end"));
    let sized = "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nLink: x\r\n\r\n";
    assert_eq!(told(&format!("{sized}{ok}")), format!("{said} | response :status=204 | end"));
    let mut client = End::asking(GET);
    client.feed(hint.repeat(1000).as_bytes());
    client.feed(ok.as_bytes());
    assert_eq!(client.told().matches(said).count(), 1000);
    assert_eq!(client.codec.available(), 1);
}

#[test]
fn bytes_that_nobody_asked_for_end_the_connection() {
    let ok = b"HTTP/1.1 204 No Content\r\n\r\n";
    let mut early = End::client();
    early.feed(ok);
    assert!(early.told().starts_with("error: "));
    let mut late = End::asking(GET);
    late.feed(&[&ok[..], ok].concat());
    assert!(late.told().starts_with("response :status=204 | end | error: "));
    assert_eq!(late.codec.available(), 0);
}

#[test]
fn a_connection_is_used_again_unless_the_backend_wants_none() {
    for (answer, again) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", false),
        ("HTTP/1.1 204 No Content\r\nConnection: x\r\nConnection: Close\r\n\r\n", false),
        ("HTTP/1.0 204 No Content\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\n\r\nuntil", false),
    ] {
        let mut client = End::asking(GET);
        assert_eq!(client.codec.available(), 0);
        client.feed(answer.as_bytes());
        assert_eq!(client.codec.available() == 1, again, "{answer}");
    }
}

#[test]
fn only_what_may_be_repeated_on_a_connection_that_worked_is_unprocessed() {
    let ask = |first: bool, method: &str, begun: &[u8]| {
        let mut client = End::client();
        if !first {
            client.open(GET, true);
            client.feed(b"HTTP/1.1 204 No Content\r\n\r\n");
            client.told();
        }
        let fields: Vec<_> = [(":method", method)].iter().chain(&GET[1..]).copied().collect();
        client.open(&fields, true);
        client.feed(begun);
        client.end_of_input();
        client.told()
    };
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        assert_eq!(ask(false, method, b""), "reset Unprocessed", "{method}");
    }
    for method in ["POST", "PATCH", "get", "OTHER"] {
        assert_eq!(ask(false, method, b""), "", "{method}");
    }
    assert_eq!(ask(true, "GET", b""), "");
    assert_eq!(ask(false, "GET", b"H"), "");
    assert!(ask(false, "GET", b"HTTP/1.1 103 x\r\n\r\n").starts_with("informational"));
}

#[test]
fn another_protocol_is_spoken_once_the_backend_agrees() {
    let open = || {
        let mut client = End::client();
        client.open(UPGRADE, false);
        client
    };
    let mut client = open();
    assert!(client.written().ends_with("connection: upgrade\r\nupgrade: echo\r\n\r\n"));
    assert!(client.codec.send_data(client.key(), b"early", false).is_err());
    client.feed(b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nGET / HTTP/1.1");
    assert_eq!(client.told(), "response :status=101 upgrade=echo | data GET / HTTP/1.1");
    client.codec.send_data(client.key(), b"0\r\n\r\n", true).unwrap();
    assert_eq!(client.written(), "0\r\n\r\n");
    assert!(client.codec.is_half_closed());
    client.end_of_input();
    assert_eq!(client.told(), "end");
    assert!(client.codec.is_leaving());

    let mut refused = open();
    refused.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert!(refused.told().ends_with("data ok | end"));
    assert!(refused.codec.send_data(refused.key(), b"early", false).is_err());
    assert_eq!(refused.codec.available(), 1);
}

#[test]
fn a_request_is_written_as_one_request() {
    let mut fields = POST.to_vec();
    fields.extend([
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-a", "1\r\nx-b: 2"),
        ("te", "trailers"),
        ("x-ok", "1"),
    ]);
    let mut client = End::client();
    let key = client.open(&fields, false);
    client.codec.send_data(key, b"abc", false).unwrap();
    let trailers = head(&[("x-t", "1"), ("content-length", "9"), ("host", "evil")]);
    client.codec.send_trailers(key, &trailers).unwrap();
    assert_eq!(
        client.written(),
        "POST / HTTP/1.1\r\nhost: h\r\ncookie: a=1; b=2\r\nx-ok: 1\r\n\
         transfer-encoding: chunked\r\nconnection: te\r\nte: trailers\r\n\r\n\
         3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"
    );
}
