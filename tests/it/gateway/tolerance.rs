//! What other gateways carry, and what a backend's faults cost the calls beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tokio::sync::{Notify, mpsc};

use crate::support::frames::{
    self, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PADDED, RST_STREAM, message,
};
use crate::support::gateway::{Gateway, one_service};
use crate::support::http1::{Recorder, exchange};
use crate::support::{pattern, raw, soon};

const PATH: &str = "/echo.Echo/Unary";
const OK: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/grpc")];
const STATUS: &[(&str, &str)] = &[("grpc-status", "0")];

/// Values as a peer sends them, what is to become of them, and what of a message.
const BLANKS: [(&str, &str, &str); 6] = [
    ("cannot parse: ", "cannot parse:", "cannot parse:%20"),
    ("\t a  b", "a  b", "%09 a  b"),
    (" both ", "both", "%20both%20"),
    ("   ", "", "%20 %20"),
    (" ", "", "%20"),
    ("none", "none", "none"),
];

/// A call of which the client, the head and the trailers have values with blanks around them.
#[tokio::test]
async fn blanks_around_values_pass_as_what_they_are() {
    let (heard, mut news) = mpsc::unbounded_channel();
    let backend = raw::backend(move |(request, mut respond): raw::Exchange| {
        let case: usize = request.uri().path()[1..].parse().unwrap();
        heard.send(request.headers()["x-value"].clone()).unwrap();
        async move {
            let value = HeaderValue::from_static(BLANKS[case / 2].0);
            let mut last = raw::status(3);
            last.insert("grpc-message", value.clone());
            last.insert("x-value", value.clone());
            let mut head = raw::ok();
            if case.is_multiple_of(2) {
                head.headers_mut().extend(last);
                respond.send_response(head, true).unwrap();
            } else {
                head.headers_mut().insert("x-value", value);
                let mut body = respond.send_response(head, false).unwrap();
                body.send_data("all".into(), false).unwrap();
                body.send_trailers(last).unwrap();
            }
        }
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let client = raw::connect(gateway.front()).await;
    for (nth, (sent, value, text)) in BLANKS.iter().enumerate() {
        let (value, text) = (Some(value.as_bytes()), Some(text.as_bytes()));
        for only_head in [true, false] {
            let mut request = raw::grpc(&format!("/{}", 2 * nth + usize::from(!only_head)));
            request.headers_mut().insert("x-value", HeaderValue::from_static(sent));
            let answer = raw::get(&client, request).await;
            let reached = soon("the backend is called", news.recv()).await.unwrap();
            assert_eq!(Some(reached.as_bytes()), value, "{sent:?}");
            assert_eq!(
                (answer.only_head, answer.header("x-value")),
                (only_head, value),
                "{sent:?}"
            );
            let none = HeaderMap::new();
            let last = answer.trailers.as_ref().unwrap_or(&none);
            let last = if only_head { &answer.head.headers } else { last };
            let found = |name| last.get(name).map(HeaderValue::as_bytes);
            assert_eq!(found("grpc-status"), Some(&b"3"[..]), "{sent:?}");
            assert_eq!((found("grpc-message"), found("x-value")), (text, value), "{sent:?}");
        }
    }
    gateway.idle().await;
}

/// Neither of them says anything of the call, or could be taken for another one.
#[tokio::test]
async fn odd_responses_pass() {
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[(":status", "200"), ("connection", "keep-alive"), ("x", "y")], 200),
        (&[(":status", "200"), ("upgrade", "h2,h2c"), ("x", "y ")], 200),
        (&[(":status", "201"), ("transfer-encoding", "chunked"), ("x", "y")], 201),
        (&[(":status", "200"), ("keep-alive", "5"), ("te", "gzip"), ("x", "y")], 200),
        (&[(":status", "200"), ("content-length", "3"), ("content-length", "3"), ("x", "y")], 200),
        (&[(":status", "999"), ("x", "y")], 999),
    ];
    let backend = frames::backend(move |mut frames| async move {
        while let Some(frame) = frames.next().await {
            if frame.kind == HEADERS {
                let (head, _) = cases[frame.stream as usize / 2 % cases.len()];
                frames.head(frame.stream, 0, head).await;
                frames.send(DATA, 0, frame.stream, b"all").await;
                let last = [("connection", "close"), ("x-last", "z")];
                frames.head(frame.stream, END_STREAM, &last).await;
            }
        }
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let client = raw::connect(gateway.front()).await;
    for (head, status) in cases {
        let request = http::Request::get("http://test/").body(()).unwrap();
        let answer = raw::get(&client, request).await;
        assert_eq!(answer.head.status, *status, "{head:?}");
        assert_eq!((answer.header("x"), &answer.body[..]), (Some(&b"y"[..]), &b"all"[..]));
        assert_eq!(answer.trailer("x-last"), Some(&b"z"[..]), "{head:?}");
        for name in ["connection", "upgrade", "transfer-encoding", "keep-alive", "te"] {
            assert_eq!((answer.header(name), answer.trailer(name)), (None, None), "{head:?}");
        }
        assert!(answer.head.headers.get_all("content-length").iter().count() <= 1, "{head:?}");
    }
}

#[tokio::test]
async fn odd_responses_of_http1_pass() {
    let backend = Recorder::answering(
        b"HTTP/1.1 700 Odd\r\nX : y \r\nUpgrade: a\r\nUpgrade: b\r\nContent-Length: 2\r\n\
          Content-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = Gateway::start(&one_service(&[backend.address], "protocol: http1")).await;
    let request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = exchange(gateway.front(), request).await;
    let expected = "HTTP/1.1 700 \r\nx: y\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    assert_eq!(answer, expected);
}

/// What a backend does on its second stream and all after it.
type Fault = fn(u32) -> Vec<(u8, u8, Vec<u8>)>;

/// The first stream is somebody else's, and open all the while.
#[tokio::test]
async fn faults_of_single_responses_end_no_stream_beside_them() {
    let faults: [(&str, Fault); 4] = [
        ("errors", |_| vec![(HEADERS, END_HEADERS, frames::block(&[("x", "no status")]))]),
        ("errors", |_| {
            let last = frames::block(&[("grpc-status", "0"), ("UPPER", "case")]);
            vec![
                (HEADERS, END_HEADERS, frames::block(OK)),
                (HEADERS, END_HEADERS | END_STREAM, last),
            ]
        }),
        ("idle_frames", |_| {
            let mut frames = vec![(RST_STREAM, 0, 2u32.to_be_bytes().to_vec())];
            frames.resize(60, (DATA, 0, b"late".to_vec()));
            frames
        }),
        ("empty_data", |_| {
            let mut frames = vec![(HEADERS, END_HEADERS, frames::block(OK))];
            frames.resize(60, (DATA, 0, Vec::new()));
            frames.push((HEADERS, END_HEADERS | END_STREAM, frames::block(STATUS)));
            frames
        }),
    ];
    for (reason, fault) in faults {
        let (release, connections) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (released, count) = (Arc::clone(&release), Arc::clone(&connections));
        let backend = frames::backend(move |mut frames| {
            let (release, connections) = (Arc::clone(&released), Arc::clone(&count));
            async move {
                let first = connections.fetch_add(1, SeqCst) == 0;
                serve(&mut frames, fault, first.then_some(&release)).await;
            }
        })
        .await;
        let limits = "limits: { errors: 20, idle_frames: 20, empty_data: 20 }";
        let yaml = one_service(&[backend], limits).replace("workers: 2", "workers: 1");
        let gateway = Gateway::start(&yaml).await;
        let other = raw::connect(gateway.front()).await;
        let (response, _body) = raw::open(&other, raw::grpc(PATH)).await;
        let mut stream = soon("its head", response).await.unwrap().into_body();
        let message_of = async |stream: &mut h2::RecvStream| {
            let data = soon("a message", stream.data()).await.unwrap().unwrap();
            stream.flow_control().release_capacity(data.len()).unwrap();
            data
        };
        assert_eq!(message_of(&mut stream).await, message(b"first"));

        let client = raw::connect(gateway.front()).await;
        for _ in 0..200 {
            let mut client = client.clone().ready().await.unwrap();
            let (response, _) = client.send_request(raw::grpc(PATH), true).unwrap();
            let _ = soon("an answer, whatever it is", raw::Answer::read(response)).await;
        }
        assert!(connections.load(SeqCst) > 2, "{reason}: others take its calls");
        release.notify_one();
        assert_eq!(message_of(&mut stream).await, message(b"last"), "{reason}");
        let trailers = soon("its end", stream.trailers()).await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0", "{reason}");
        crate::support::eventually("it is gone, and known why", async || {
            let page = gateway.metrics().await;
            let labels = [("side", "upstream"), ("reason", reason)];
            page.value("equipoise_connections_closed_total", &labels) >= 2.0
        })
        .await;
    }
}

/// Serves a connection by `fault`; on the first one the first stream is held until the release.
async fn serve(frames: &mut Frames, fault: Fault, release: Option<&Notify>) {
    let mut held = None;
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            () = async { release.unwrap().notified().await }, if held.is_some() => {
                let id = held.take().unwrap();
                frames.send(DATA, 0, id, &message(b"last")).await;
                frames.head(id, END_STREAM, STATUS).await;
                continue;
            }
        };
        let Some(frame) = frame else { return };
        if frame.kind != HEADERS {
            continue;
        }
        let id = frame.stream;
        if id == 1 && release.is_some() {
            held = Some(id);
            frames.head(id, 0, OK).await;
            frames.send(DATA, 0, id, &message(b"first")).await;
            continue;
        }
        for (kind, flags, payload) in fault(id) {
            frames.send(kind, flags, id, &payload).await;
        }
    }
}

/// As hyper does, on either side.
#[tokio::test]
async fn an_empty_data_frame_for_each_call_harms_no_connection() {
    let backend = raw::backend(|(request, mut respond): raw::Exchange| async move {
        let body = raw::collect(&mut request.into_body()).await.unwrap();
        let mut stream = respond.send_response(raw::ok(), false).unwrap();
        stream.send_data(Bytes::new(), false).unwrap();
        stream.send_data(body.into(), false).unwrap();
        stream.send_data(Bytes::new(), false).unwrap();
        stream.send_trailers(raw::status(0)).unwrap();
    })
    .await;
    for profile in ["internal", "edge"] {
        let listener = format!("address: 127.0.0.1:0, profile: {profile}");
        let yaml = one_service(&[backend], "").replacen("address: 127.0.0.1:0", &listener, 1);
        let gateway = Gateway::start(&yaml).await;
        let client = raw::connect(gateway.front()).await;
        for _ in 0..500 {
            let (response, mut body) = raw::open(&client, raw::grpc(PATH)).await;
            body.send_data(Bytes::new(), false).unwrap();
            body.send_data(message(b"hello").into(), false).unwrap();
            body.send_data(Bytes::new(), false).unwrap();
            body.send_data(Bytes::new(), true).unwrap();
            let answer = raw::Answer::of(response).await;
            assert_eq!(answer.body, message(b"hello"), "{profile}");
            assert_eq!(answer.trailer("grpc-status"), Some(&b"0"[..]), "{profile}");
        }
        gateway.idle().await;
        assert_eq!(closed(&gateway).await, 0.0, "{profile}");
    }
}

/// gRPC's negative case `data_frame_padding`, and frames that are nothing but padding.
#[tokio::test]
async fn a_backend_that_pads_each_frame_as_much_as_it_can_is_heard_out() {
    const LEN: usize = 314_159;
    let backend = frames::backend(|mut frames| async move {
        let mut window = 64_i64 << 10;
        while let Some(frame) = frames.next().await {
            if frame.kind != HEADERS {
                continue;
            }
            let id = frame.stream;
            frames.head(id, 0, OK).await;
            for (nth, piece) in message(&pattern(LEN)).chunks(5).enumerate() {
                let hidden: &[u8] = if nth % 1000 == 0 { &[] } else { piece };
                for piece in [hidden, piece].iter().skip(usize::from(nth % 1000 != 0)) {
                    let payload = [&[255][..], piece, &[0; 255]].concat();
                    window -= payload.len() as i64;
                    // It goes by its windows: those of the stream are the smaller ones.
                    while window < 0 {
                        let update =
                            frames.find(|frame| frame.kind == 8 && frame.stream == id).await;
                        window += i64::from(update.word());
                    }
                    frames.send(DATA, PADDED, id, &payload).await;
                }
            }
            frames.head(id, END_STREAM, STATUS).await;
            window = 64 << 10;
        }
    })
    .await;
    let gateway =
        Gateway::start(&one_service(&[backend], "limits: { stream_window: 64KiB }")).await;
    let client = raw::connect(gateway.front()).await;
    for _ in 0..2 {
        let answer = raw::get(&client, raw::grpc(PATH)).await;
        assert!(answer.body == message(&pattern(LEN)), "{} bytes", answer.body.len());
        assert_eq!(answer.trailer("grpc-status"), Some(&b"0"[..]));
    }
    gateway.idle().await;
    assert_eq!(closed(&gateway).await, 0.0);
}

/// How many connections have ended, on either side.
async fn closed(gateway: &Gateway) -> f64 {
    let page = gateway.metrics().await;
    page.samples("equipoise_connections_closed_total").iter().map(|sample| sample.value).sum()
}
