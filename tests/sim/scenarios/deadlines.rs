//! Deadlines of callers that do not cancel themselves.

use std::time::Duration;

use bytes::Bytes;
use equipoise::grpc::parse_timeout;
use h2::Reason;
use http::{Request, Response};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use super::soon;
use super::stage::{Gateway, Stage};

const WAITS: Duration = Duration::from_millis(300);

/// Resolution of timers.
const TICK: Duration = Duration::from_millis(5);

/// What a backend received: `grpc-timeout`, and the code of the reset.
type News = (Option<Duration>, Option<Reason>, Instant);

/// A backend that sends this many messages, one each 90 ms, and no trailers.
fn backend(stage: &Stage, messages: usize) -> mpsc::UnboundedReceiver<News> {
    let (tell, news) = mpsc::unbounded_channel();
    let mut accepted = stage.backend();
    spawn_local(async move {
        let connection = accepted.recv().await.expect("the gateway connects");
        let mut connection = h2::server::handshake(connection).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let left = request.headers().get("grpc-timeout");
            let left = left.map(|left| parse_timeout(left.as_bytes()).expect("it can be read"));
            tell.send((left, None, Instant::now())).unwrap();
            let tell = tell.clone();
            spawn_local(async move {
                let head = Response::builder().header("content-type", "application/grpc");
                let reason = if messages == 0 {
                    std::future::poll_fn(|cx| respond.poll_reset(cx)).await
                } else {
                    let mut body = respond.send_response(head.body(()).unwrap(), false).unwrap();
                    for _ in 0..messages {
                        body.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), false).unwrap();
                        sleep(Duration::from_millis(90)).await;
                    }
                    std::future::poll_fn(|cx| body.poll_reset(cx)).await
                };
                tell.send((None, reason.ok(), Instant::now())).unwrap();
            });
        }
    });
    news
}

/// How a call ended for a client that never cancels.
struct End {
    status: Option<String>,
    /// Whether the response was trailers-only.
    only_head: bool,
    bytes: usize,
    at: Instant,
}

/// Sends a request with this `grpc-timeout`.
async fn ask(gateway: &Gateway, timeout: &str) -> End {
    let (mut client, connection) = h2::client::handshake(gateway.dial()).await.unwrap();
    spawn_local(connection);
    let request = Request::post("http://shop/shop.Orders/Watch")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout);
    let (response, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
    let (head, mut body) = soon("the head", response).await.unwrap().into_parts();
    let (only_head, mut bytes) = (body.is_end_stream(), 0);
    while let Some(data) = soon("the body", body.data()).await {
        bytes += data.unwrap().len();
    }
    let trailers = body.trailers().await.unwrap().unwrap_or(head.headers);
    let status = trailers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
    End { status, only_head, bytes, at: Instant::now() }
}

/// The client is answered at the tick, and the backend reset in the same turn.
pub async fn status_and_reset_come_when_the_time_is_up(stage: Stage) {
    let mut news = backend(&stage, 0);
    let gateway = stage.gateway("").await;
    for off in 0..5 {
        sleep(Duration::from_millis(off)).await;
        let asked = Instant::now();
        let end = ask(&gateway, "300m").await;
        assert_eq!(end.status.as_deref(), Some("4"));
        assert!(end.only_head);
        let took = end.at - asked;
        assert!(took >= WAITS && took <= WAITS + TICK, "{took:?}");
        let (left, ..) = soon("the request", news.recv()).await.unwrap();
        assert!(left.is_some_and(|left| left <= WAITS && !left.is_zero()), "{left:?}");
        let (_, reason, at) = soon("the reset", news.recv()).await.unwrap();
        assert_eq!((reason, at), (Some(Reason::CANCEL), end.at));
    }
    assert_eq!(gateway.calls(), 0);
}

/// Messages before the deadline arrive, and the stream ends with trailers.
pub async fn a_stream_ends_with_trailers_when_the_time_is_up(stage: Stage) {
    let mut news = backend(&stage, 3);
    let gateway = stage.gateway("streams: [ shop.Orders/Watch ]").await;
    let asked = Instant::now();
    let end = ask(&gateway, "300000u").await;
    assert_eq!((end.status.as_deref(), end.only_head, end.bytes), (Some("4"), false, 3 * 7));
    let took = end.at - asked;
    assert!(took >= WAITS && took <= WAITS + TICK, "{took:?}");
    soon("the request", news.recv()).await.unwrap();
    let (_, reason, at) = soon("the reset", news.recv()).await.unwrap();
    assert_eq!((reason, at), (Some(Reason::CANCEL), end.at));
}

/// A request that expires unsent never reaches a backend.
pub async fn what_finds_no_connection_in_time_is_never_sent(stage: Stage) {
    let accepted = stage.backend(); // and stays silent
    let gateway = stage.gateway("connect_timeout: 1m, pending_timeout: 1m").await;
    let asked = Instant::now();
    let end = ask(&gateway, "300m").await;
    assert_eq!((end.status.as_deref(), end.only_head), (Some("4"), true));
    let took = end.at - asked;
    assert!(took >= WAITS && took <= WAITS + TICK, "{took:?}");
    let view = gateway.registry.get("shop").expect("it is there").view();
    let load = view.backends[0].endpoint.load();
    assert!(load.is_idle() && !load.has_sample(), "it is the fault of no backend");
    drop(accepted);
}
