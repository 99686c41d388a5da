//! What no gRPC library shows: single frames, and in which order they come.

use tokio::sync::mpsc;

use crate::support::frames::{
    self, DATA, END_STREAM, Frame, Frames, HEADERS, PADDED, RST_STREAM, message,
};
use crate::support::gateway::{Gateway, one_service};
use crate::support::{pattern, soon};

const PATH: &str = "/echo.Echo/Unary";
const OK: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/grpc")];
const STATUS: &[(&str, &str)] = &[("grpc-status", "0")];

/// SETTINGS_INITIAL_WINDOW_SIZE.
const INITIAL_WINDOW: u16 = 4;
const WINDOW_UPDATE: u8 = 8;
const NO_ERROR: u32 = 0;

fn payload(frames: &[Frame]) -> Vec<u8> {
    frames.iter().filter(|frame| frame.kind == DATA).flat_map(|f| f.payload.clone()).collect()
}

fn count(frames: &[Frame], kind: u8) -> usize {
    frames.iter().filter(|frame| frame.kind == kind).count()
}

#[tokio::test]
async fn an_early_end_is_delivered_whole_to_a_tiny_window_and_then_the_request_is_stopped() {
    let backend = frames::backend(|mut frames| async move {
        let id = frames.find(|frame| frame.kind == HEADERS).await.stream;
        frames.head(id, 0, OK).await;
        for part in message(&pattern(1 << 20)).chunks(16 << 10) {
            frames.send(DATA, 0, id, part).await;
        }
        frames.head(id, END_STREAM, STATUS).await;
        frames.send(RST_STREAM, 0, id, &NO_ERROR.to_be_bytes()).await;
        while frames.next().await.is_some() {}
    })
    .await;
    let wide = "limits: { stream_window: 4MiB }";
    let gateway = Gateway::start(&one_service(&[backend], wide)).await;
    let mut client = Frames::connect(gateway.front(), &[(INITIAL_WINDOW, 1024)]).await;
    client.send(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes()).await;
    client.grpc(1, 0, PATH, &[]).await; // the request's body stays open

    let mut body = Vec::new();
    loop {
        let frame = client.find(|frame| frame.stream == 1 && frame.kind != WINDOW_UPDATE).await;
        assert_ne!(frame.kind, RST_STREAM, "before the trailers");
        if frame.kind == DATA {
            assert!(frame.payload.len() <= 1024);
            client.send(WINDOW_UPDATE, 0, 1, &(frame.payload.len() as u32).to_be_bytes()).await;
            body.extend_from_slice(&frame.payload);
        } else if frame.is(HEADERS, END_STREAM) {
            break;
        }
    }
    assert!(body == message(&pattern(1 << 20)));
    let reset = client.find(|frame| frame.stream == 1 && frame.kind == RST_STREAM).await;
    assert_eq!(reset.word(), NO_ERROR);
    gateway.idle().await;
}

/// The backend says that it wants no more of the request later than that it has answered, or not
/// at all: the call is over all the same, on both sides.
#[tokio::test]
async fn an_answer_ends_the_exchange_whatever_of_the_request_is_to_come() {
    let (heard, mut news) = mpsc::unbounded_channel();
    let backend = frames::backend(move |mut frames| {
        let heard = heard.clone();
        async move {
            let id = frames.find(|frame| frame.kind == HEADERS).await.stream;
            frames.head(id, 0, OK).await;
            frames.head(id, END_STREAM, STATUS).await;
            let reset = frames.find(|frame| frame.kind == RST_STREAM).await;
            heard.send(reset.stream == id).unwrap();
        }
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    client.grpc(1, 0, PATH, &[]).await;
    assert!(client.stream(1).await.last().unwrap().is(HEADERS, END_STREAM));
    let reset = client.find(|frame| frame.stream == 1 && frame.kind == RST_STREAM).await;
    assert_eq!(reset.word(), NO_ERROR);
    assert!(soon("the backend's side ends too", news.recv()).await.unwrap());
    gateway.idle().await;
}

#[tokio::test]
async fn the_end_of_the_request_reaches_the_backend_while_the_answer_is_open() {
    let (heard, mut news) = mpsc::unbounded_channel();
    let backend = frames::backend(move |mut frames| {
        let heard = heard.clone();
        async move {
            let id = frames.find(|frame| frame.kind == HEADERS).await.stream;
            frames.head(id, 0, OK).await;
            loop {
                let frame = frames.find(|frame| frame.kind == DATA).await;
                let end = frame.is(DATA, END_STREAM);
                heard.send(frame).unwrap();
                if end {
                    break;
                }
            }
            frames.send(DATA, 0, id, &message(b"after the end")).await;
            frames.head(id, END_STREAM, STATUS).await;
            while frames.next().await.is_some() {}
        }
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    client.grpc(1, 0, PATH, &[]).await;
    client.send(DATA, 0, 1, &message(b"first")).await;
    let first = soon("the first message", news.recv()).await.unwrap();
    assert_eq!((first.payload, first.flags & END_STREAM), (message(b"first"), 0));
    client.send(DATA, END_STREAM, 1, &message(b"last")).await;
    let last = soon("the last message", news.recv()).await.unwrap();
    assert_eq!(last.payload, message(b"last"), "the end travels on the frame that it came on");
    assert_eq!(payload(&client.stream(1).await), message(b"after the end"));
}

#[tokio::test]
async fn informational_responses_are_kept_from_grpc_alone() {
    let backend = frames::backend(|mut frames| async move {
        while let Some(frame) = frames.next().await {
            if frame.kind != HEADERS {
                continue;
            }
            let id = frame.stream;
            frames.head(id, 0, &[(":status", "103"), ("link", "</x>")]).await;
            frames.head(id, 0, &[(":status", "100")]).await;
            frames.head(id, 0, OK).await;
            frames.send(DATA, 0, id, &message(b"x")).await;
            frames.head(id, END_STREAM, STATUS).await;
        }
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    client.grpc(1, END_STREAM, PATH, &[]).await;
    let answer = client.stream(1).await;
    assert_eq!(count(&answer, HEADERS), 2, "{answer:?}");
    let get = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test")];
    client.head(3, END_STREAM, &get).await;
    let answer = client.stream(3).await;
    assert!(count(&answer, HEADERS) >= 3, "{answer:?}");
    assert_eq!(payload(&answer), message(b"x"));
}

#[tokio::test]
async fn padding_is_stripped_both_ways() {
    fn padded(payload: &[u8]) -> Vec<u8> {
        [&[5][..], payload, &[0; 5]].concat()
    }
    let backend = frames::backend(|mut frames| async move {
        let head = frames.find(|frame| frame.kind == HEADERS).await;
        assert!(!head.is(HEADERS, PADDED));
        let data = frames.find(|frame| frame.kind == DATA).await;
        assert!(!data.is(DATA, PADDED));
        let id = head.stream;
        let block = padded(&frames::block(OK));
        frames.send(HEADERS, frames::END_HEADERS | PADDED, id, &block).await;
        frames.send(DATA, PADDED, id, &padded(&data.payload)).await;
        let block = padded(&frames::block(STATUS));
        frames.send(HEADERS, frames::END_HEADERS | PADDED | END_STREAM, id, &block).await;
        while frames.next().await.is_some() {}
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    client.grpc(1, 0, PATH, &[]).await;
    client.send(DATA, PADDED | END_STREAM, 1, &padded(&message(b"padded"))).await;
    let answer = client.stream(1).await;
    assert_eq!(payload(&answer), message(b"padded"));
    let unpadded = |frame: &Frame| frame.flags & PADDED == 0;
    assert!(answer.iter().filter(|f| [DATA, HEADERS].contains(&f.kind)).all(unpadded));
}

#[tokio::test]
async fn no_empty_data_comes_between() {
    let backend = frames::backend(|mut frames| async move {
        let id = frames.find(|frame| frame.kind == HEADERS).await.stream;
        frames.head(id, 0, OK).await;
        for byte in message(b"in pieces") {
            frames.send(DATA, 0, id, &[]).await;
            frames.send(DATA, 0, id, &[byte]).await;
        }
        frames.head(id, END_STREAM, STATUS).await;
        while frames.next().await.is_some() {}
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let mut client = Frames::connect(gateway.front(), &[]).await;
    client.grpc(1, END_STREAM, PATH, &[]).await;
    let answer = client.stream(1).await;
    assert_eq!(payload(&answer), message(b"in pieces"));
    assert!(answer.iter().all(|frame| frame.kind != DATA || !frame.payload.is_empty()));
}
