//! The end that is the h2 crate's.

use std::collections::VecDeque;
use std::future::poll_fn;

use bytes::Bytes;
use fastrand::Rng;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

use super::plan::{Plan, Way};

/// A server that leaves after some requests.
pub async fn serve(io: DuplexStream, mut rng: Rng) {
    let mut window = rng.u32(500..300_000);
    let mut connection = h2::server::Builder::new()
        .initial_window_size(window)
        .initial_connection_window_size(rng.u32(65_535..1_000_000))
        .max_frame_size(rng.u32(16_384..100_000))
        .max_concurrent_streams(rng.u32(1..50))
        .max_header_list_size(1 << 20)
        .header_table_size(rng.choice([0, 100, 4096, 65_536]).unwrap())
        .max_concurrent_reset_streams(100_000)
        .max_pending_accept_reset_streams(100_000)
        .handshake::<_, Bytes>(io)
        .await
        .unwrap();
    let mut left = rng.usize(100..400);
    let mut answers = JoinSet::new();
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                assert!(!error.is_library(), "our end is at fault: {error}");
                break;
            }
        };
        answers.spawn(answer(request, respond));
        left = left.saturating_sub(1);
        if left == 0 {
            connection.graceful_shutdown();
        } else if left.is_multiple_of(7) {
            // Only wider: when h2 narrows a window it forgets what it has still to grant.
            window += rng.u32(0..10_000);
            connection.set_initial_window_size(window).ok();
        }
    }
    while let Some(answered) = answers.join_next().await {
        answered.unwrap();
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, body) = request.into_parts();
    let plan = Plan::parse(head.headers["x-plan"].as_bytes());
    assert_eq!(head.method, plan.method());
    check_fields(plan, &head.headers);
    if plan.way == Way::ClientResets {
        let (received, reason) = read(body).await;
        assert!(plan.request_body().starts_with(&received));
        return assert_eq!(reason, Err(Reason::CANCEL));
    }
    // It is dropped unread when the answer is out.
    let unread = if plan.way == Way::Early { Some(body) } else { check_body(plan, body).await };
    let mut response = Response::builder().status(plan.status()).header("x-plan", plan.text());
    for (name, value) in plan.fields() {
        response = response.header(name, value);
    }
    let response = response.body(()).unwrap();
    let whole = plan.response_body();
    let bodyless = matches!(plan.way, Way::Head | Way::NoContent);
    let Ok(mut stream) = respond.send_response(response, bodyless) else {
        return assert_eq!(plan.way, Way::Early);
    };
    if plan.way == Way::ServerResets {
        send(&mut stream, whole.into(), false).await.unwrap();
        stream.send_reset(Reason::INTERNAL_ERROR);
    } else if !bodyless {
        finish(plan, &mut stream, whole).await.unwrap();
    }
    drop(unread);
}

/// Sees that a request's body and trailers are those of the plan.
async fn check_body(plan: Plan, body: RecvStream) -> Option<RecvStream> {
    let (received, trailers) = read(body).await;
    assert!(received == plan.request_body(), "{plan:?}");
    check_trailers(plan, trailers.unwrap());
    None
}

fn check_trailers(plan: Plan, trailers: Option<HeaderMap>) {
    let found = trailers.map(|trailers| trailers["x-trailer"].to_str().unwrap().to_owned());
    assert_eq!(found, (plan.way == Way::Trailers).then(|| plan.trailer()));
}

fn check_fields(plan: Plan, headers: &HeaderMap) {
    plan.check_fields(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
}

/// A body, and its trailers or the reason why it ended early.
async fn read(mut body: RecvStream) -> (Vec<u8>, Result<Option<HeaderMap>, Reason>) {
    let mut received = Vec::new();
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => {
                body.flow_control().release_capacity(piece.len()).unwrap();
                received.extend_from_slice(&piece);
            }
            Err(error) => return (received, Err(error.reason().expect("a reset"))),
        }
    }
    let trailers = body.trailers().await.map_err(|error| error.reason().expect("a reset"));
    (received, trailers)
}

async fn send(
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    end: bool,
) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(n)) => stream.send_data(bytes.split_to(n.min(bytes.len())), false)?,
            Some(Err(error)) => return Err(error),
            None => return Err(Reason::CANCEL.into()),
        }
    }
    if end { stream.send_data(Bytes::new(), true) } else { Ok(()) }
}

/// Sends a whole body and the trailers that belong to it.
async fn finish(
    plan: Plan,
    stream: &mut SendStream<Bytes>,
    body: Vec<u8>,
) -> Result<(), h2::Error> {
    let trailers = plan.way == Way::Trailers;
    send(stream, body.into(), !trailers).await?;
    if trailers {
        let value = HeaderValue::from_str(&plan.trailer()).unwrap();
        stream.send_trailers(HeaderMap::from_iter([("x-trailer".parse().unwrap(), value)]))?;
    }
    Ok(())
}

/// A client that has exchanges until there are no more or the server leaves.
pub async fn request(io: DuplexStream, queue: &mut VecDeque<Plan>, rng: &mut Rng) {
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(rng.u32(500..300_000))
        .initial_connection_window_size(rng.u32(65_535..1_000_000))
        .max_frame_size(rng.u32(16_384..100_000))
        .max_header_list_size(1 << 20)
        .header_table_size(rng.choice([0, 100, 4096, 65_536]).unwrap())
        .max_concurrent_reset_streams(100_000)
        .handshake::<_, Bytes>(io)
        .await
        .unwrap();
    let driver = tokio::spawn(connection);
    let mut exchanges = JoinSet::new();
    let mut leaving = false;
    loop {
        while !leaving
            && exchanges.len() < 20
            && let Some(plan) = queue.pop_front()
        {
            exchanges.spawn(exchange(sender.clone(), plan));
        }
        match exchanges.join_next().await {
            Some(refused) => {
                let refused = refused.unwrap();
                leaving |= refused.is_some();
                queue.extend(refused);
            }
            None => break,
        }
    }
    drop(sender);
    if let Err(error) = driver.await.unwrap() {
        assert!(!error.is_library(), "our end is at fault: {error}");
    }
}

/// Has one exchange. Its plan comes back when the server has left.
async fn exchange(sender: SendRequest<Bytes>, plan: Plan) -> Option<Plan> {
    let Ok(mut sender) = sender.ready().await else { return Some(plan) };
    let mut request = Request::builder()
        .method(plan.method())
        .uri("http://oracle/")
        .header("x-plan", plan.text());
    for (name, value) in plan.fields() {
        request = request.header(name, value);
    }
    let body = plan.request_body();
    let end = body.is_empty() && !matches!(plan.way, Way::Trailers | Way::ClientResets);
    let Ok((response, mut stream)) = sender.send_request(request.body(()).unwrap(), end) else {
        return Some(plan);
    };
    if plan.way == Way::ClientResets {
        let _ = send(&mut stream, body.into(), false).await;
        stream.send_reset(Reason::CANCEL);
        return None;
    }
    let sending = async {
        if !end {
            // An early answer ends it.
            let _ = finish(plan, &mut stream, body).await;
        }
    };
    let (response, ()) = tokio::join!(hear(plan, response), sending);
    response
}

async fn hear(plan: Plan, response: h2::client::ResponseFuture) -> Option<Plan> {
    let response = match response.await {
        Ok(response) => response,
        Err(error) if error.is_remote() && error.reason() == Some(Reason::INTERNAL_ERROR) => {
            assert_eq!(plan.way, Way::ServerResets); // it overtook its head
            return None;
        }
        Err(error) => {
            assert!(!error.is_library(), "our end is at fault: {error}");
            return Some(plan);
        }
    };
    let (head, body) = response.into_parts();
    assert_eq!(head.status.as_str(), plan.status());
    check_fields(plan, &head.headers);
    let (received, trailers) = read(body).await;
    if plan.way == Way::ServerResets {
        assert_eq!(trailers, Err(Reason::INTERNAL_ERROR));
        assert!(plan.response_body().starts_with(&received));
    } else {
        assert!(received == plan.response_body(), "{plan:?}");
        check_trailers(plan, trailers.unwrap());
    }
    None
}
