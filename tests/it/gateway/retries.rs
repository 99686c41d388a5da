//! Retries by a route's policy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::Response;
use tonic::Code;

use crate::support::backend::Backend;
use crate::support::client::{message, with};
use crate::support::frames;
use crate::support::gateway::{Gateway, one_service};
use crate::support::raw::{self, Answer};

/// One service, and a route with these retries.
async fn gateway(endpoints: &[SocketAddr], settings: &str, retry: &str) -> Gateway {
    let yaml = one_service(endpoints, settings);
    Gateway::start(&yaml.replace("{ service: echo }", &format!("{{ service: echo, {retry} }}")))
        .await
}

/// How a scripted backend answers a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Ok,
    TrailersOnly(u8),
    /// Trailers after a head, without a message.
    AfterHead(u8),
    /// Trailers after a message.
    AfterMessage(u8),
    Reset,
    Silent,
    /// The head at once, and then nothing for long.
    LateMessage,
    Http(u16),
}

/// A backend that answers its requests in these ways, the last one for ever.
struct Scripted {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    /// What `grpc-previous-rpc-attempts` was, of each request.
    attempts: Arc<std::sync::Mutex<Vec<Option<String>>>>,
}

impl Scripted {
    async fn start(ways: &'static [Way]) -> Scripted {
        let asked = Arc::<AtomicUsize>::default();
        let attempts = Arc::<std::sync::Mutex<Vec<Option<String>>>>::default();
        let (count, seen) = (Arc::clone(&asked), Arc::clone(&attempts));
        let address = raw::backend(move |exchange| {
            let number = count.fetch_add(1, SeqCst);
            let previous = exchange.0.headers().get("grpc-previous-rpc-attempts");
            let previous = previous.map(|it| it.to_str().unwrap().to_owned());
            seen.lock().unwrap().push(previous);
            answer(exchange, ways[number.min(ways.len() - 1)])
        })
        .await;
        Scripted { address, asked, attempts }
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }
}

async fn answer((mut request, mut response): raw::Exchange, way: Way) {
    let body = raw::collect(request.body_mut()).await.unwrap_or_default();
    let only = |code: u8| {
        let mut head = raw::ok();
        head.headers_mut().insert("grpc-status", u16::from(code).into());
        head
    };
    match way {
        Way::Ok => {
            let mut stream = response.send_response(raw::ok(), false).unwrap();
            stream.send_data(body.into(), false).unwrap();
            stream.send_trailers(raw::status(0)).unwrap();
        }
        Way::TrailersOnly(code) => drop(response.send_response(only(code), true).unwrap()),
        Way::AfterHead(code) => {
            let mut stream = response.send_response(raw::ok(), false).unwrap();
            stream.send_trailers(raw::status(code)).unwrap();
        }
        Way::AfterMessage(code) => {
            let mut stream = response.send_response(raw::ok(), false).unwrap();
            stream.send_data(body.into(), false).unwrap();
            stream.send_trailers(raw::status(code)).unwrap();
        }
        Way::Reset => response.send_reset(h2::Reason::INTERNAL_ERROR),
        Way::Silent => std::future::pending().await,
        Way::LateMessage => {
            let _stream = response.send_response(raw::ok(), false).unwrap();
            std::future::pending::<()>().await;
        }
        Way::Http(status) => {
            let head = Response::builder().status(status).body(()).unwrap();
            let mut stream = response.send_response(head, false).unwrap();
            stream.send_data("body".into(), true).unwrap();
        }
    }
}

/// A call with a body of one message.
async fn call(gateway: &Gateway, payload: &[u8]) -> Answer {
    let client = raw::connect(gateway.front()).await;
    let (response, mut body) = raw::open(&client, raw::grpc("/echo.Echo/Unary")).await;
    body.send_data(frames::message(payload).into(), true).unwrap();
    Answer::of(response).await
}

/// The gRPC status, wherever it stands.
fn status(answer: &Answer) -> String {
    let status = answer.trailer("grpc-status").or_else(|| answer.header("grpc-status"));
    String::from_utf8(status.unwrap().to_vec()).unwrap()
}

async fn retries(gateway: &Gateway, result: &str) -> f64 {
    let page = gateway.metrics().await;
    page.find("equipoise_retries_total", &[("result", result)]).unwrap_or_default()
}

#[tokio::test]
async fn what_the_route_names_is_retried_and_the_client_sees_the_last_answer() {
    for (ways, expected, asked) in [
        (&[Way::TrailersOnly(14), Way::Ok] as &[Way], "0", 2),
        (&[Way::AfterHead(14), Way::AfterHead(14), Way::Ok], "0", 3),
        (&[Way::Reset, Way::Ok], "0", 2),
        (&[Way::TrailersOnly(14)], "14", 3),
        (&[Way::AfterHead(14)], "14", 3),
        (&[Way::AfterMessage(14), Way::Ok], "14", 1),
        (&[Way::TrailersOnly(13), Way::Ok], "13", 1),
    ] {
        let backend = Scripted::start(Box::leak(ways.into())).await;
        let gateway = gateway(&[backend.address], "ejection: false", "retry: {}").await;
        let answer = call(&gateway, b"again").await;
        assert_eq!((&*status(&answer), backend.asked()), (expected, asked), "{ways:?}");
        if expected == "0" {
            assert_eq!(answer.body, frames::message(b"again"), "{ways:?}");
        }
        let attempts = backend.attempts.lock().unwrap().clone();
        let expected: Vec<_> = (0..asked).map(|n| (n > 0).then(|| n.to_string())).collect();
        assert_eq!(attempts, expected);
        gateway.idle().await;
    }
}

#[tokio::test]
async fn without_a_policy_answers_pass() {
    let backend = Scripted::start(&[Way::TrailersOnly(14), Way::Ok]).await;
    let gateway = Gateway::to(&[backend.address]).await;
    assert_eq!(status(&call(&gateway, b"x").await), "14");
    assert_eq!(backend.asked(), 1);
    gateway.idle().await;
}

#[tokio::test]
async fn another_backend_is_asked_before_the_same_again() {
    let (bad, good) = (Backend::start().await, Backend::start().await);
    bad.fail(true);
    for policy in ["p2c_ewma", "round_robin", "{ policy: maglev, key: { header: x-user } }"] {
        let settings = format!("balancer: {policy}\nejection: false");
        let gateway = gateway(&[bad.address, good.address], &settings, "retry: {}").await;
        let mut client = gateway.client().await;
        for n in 0..40 {
            client.unary(with("x", "x-user", &n.to_string())).await.unwrap();
        }
        assert!(retries(&gateway, "success").await > 0.0, "{policy}");
        gateway.idle().await;
    }
}

#[tokio::test]
async fn a_spent_budget_lets_failures_pass_and_is_counted() {
    let backend = Scripted::start(&[Way::TrailersOnly(14)]).await;
    let settings = "ejection: false\nretry_budget: { ratio: 0.1, min_per_second: 1 }";
    let retry = "retry: { attempts: 8, backoff: { first: 0s, max: 0s } }";
    let gateway = gateway(&[backend.address], settings, retry).await;
    for _ in 0..20 {
        assert_eq!(status(&call(&gateway, b"x").await), "14");
    }
    assert_eq!(backend.asked(), 30, "ten more than were asked for: one a second");
    assert!(retries(&gateway, "budget").await >= 18.0);
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_retry_budget_left", &[]), 0.0);
    assert_eq!(page.value("equipoise_request_attempts_count", &[]), 20.0);
    assert_eq!(page.value("equipoise_backend_retried_total", &[]), 10.0);
    gateway.idle().await;
}

#[tokio::test]
async fn backends_say_when_to_come_again_or_never() {
    for (pushback, asked, result) in [("-1", 1, "pushback"), ("1", 3, "failure")] {
        let count = Arc::<AtomicUsize>::default();
        let seen = Arc::clone(&count);
        let backend = raw::backend(move |(_, mut response)| {
            seen.fetch_add(1, SeqCst);
            async move {
                let mut head = raw::ok();
                head.headers_mut().insert("grpc-status", 14.into());
                let pushback = http::HeaderValue::from_static(pushback);
                head.headers_mut().insert("grpc-retry-pushback-ms", pushback);
                response.send_response(head, true).unwrap();
            }
        });
        let gateway = gateway(&[backend.await], "ejection: false", "retry: {}").await;
        assert_eq!(status(&call(&gateway, b"x").await), "14");
        assert_eq!(count.load(SeqCst), asked);
        assert_eq!(retries(&gateway, result).await, 1.0);
    }
}

#[tokio::test]
async fn an_attempt_has_a_time_and_the_call_its_deadline() {
    let silent = Scripted::start(&[Way::Silent]).await;
    let good = Backend::start().await;
    let retry =
        "retry: { per_attempt_timeout: 50ms, attempts: 8, backoff: { first: 0s, max: 0s } }";
    let settings = "balancer: round_robin\nejection: false";
    let gateway = gateway(&[silent.address, good.address], settings, retry).await;
    let mut client = gateway.client().await;
    for _ in 0..6 {
        client.unary(message("x")).await.unwrap();
    }
    assert!(silent.asked() > 0);
    gateway.idle().await;
    let alone = self::gateway(&[silent.address], "ejection: false", retry).await;
    let mut client = alone.client().await;
    let mut request = tonic::Request::new(message("x"));
    request.set_timeout(Duration::from_millis(120));
    let status = client.unary(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Unavailable | Code::Cancelled));
    alone.idle().await;
}

#[tokio::test]
async fn a_head_is_held_for_a_moment_alone_and_that_of_a_stream_not_at_all() {
    for (settings, path) in
        [("", "/echo.Echo/Unary"), ("streams: [ echo.Echo/Bidi ]", "/echo.Echo/Bidi")]
    {
        let backend = Scripted::start(&[Way::LateMessage]).await;
        let hold = if settings.is_empty() { "hold: 1ms" } else { "hold: 1m" };
        let gateway = gateway(&[backend.address], settings, &format!("retry: {{ {hold} }}")).await;
        let client = raw::connect(gateway.front()).await;
        let (response, mut body) = raw::open(&client, raw::grpc(path)).await;
        body.send_data(frames::message(b"x").into(), true).unwrap();
        let response = crate::support::soon("the head comes", response).await.unwrap();
        assert_eq!(response.status(), 200);
        drop((response, body));
        gateway.idle().await;
    }
}

#[tokio::test]
async fn what_is_longer_than_the_buffer_is_not_retried_and_is_counted() {
    let backend = Scripted::start(&[Way::TrailersOnly(14), Way::Ok]).await;
    let gateway = gateway(&[backend.address], "ejection: false", "retry: { buffer: 1KiB }").await;
    assert_eq!(status(&call(&gateway, &[7; 5000]).await), "14");
    assert_eq!((backend.asked(), retries(&gateway, "body").await), (1, 1.0));
    assert_eq!(status(&call(&gateway, &[7; 500]).await), "0");
    gateway.idle().await;
}

#[tokio::test]
async fn a_small_buffer_ends_no_retry_of_what_was_not_processed() {
    let (lacking, well) =
        (Scripted::start(&[Way::TrailersOnly(12)]).await, Scripted::start(&[Way::Ok]).await);
    let gateway = gateway(&[lacking.address, well.address], "", "retry: { buffer: 0 }").await;
    for _ in 0..20 {
        assert_eq!(status(&call(&gateway, &[7; 5000]).await), "0");
    }
    assert!(lacking.asked() <= 2, "once for each worker, until that is forgotten");
    gateway.idle().await;
}

#[tokio::test]
async fn methods_narrow_it_and_plain_http_has_to_be_idempotent() {
    let backend = Scripted::start(&[Way::TrailersOnly(14), Way::Ok]).await;
    let other = "retry: { methods: [ echo.Echo/Other ] }";
    let narrowed = gateway(&[backend.address], "ejection: false", other).await;
    assert_eq!(status(&call(&narrowed, b"x").await), "14");
    for (method, asked) in [("GET", 2), ("POST", 1), ("PUT", 2)] {
        let backend = Scripted::start(&[Way::Http(503), Way::Http(200)]).await;
        let settings = "protocol: http2\nejection: false";
        let gateway = gateway(&[backend.address], settings, "retry: { on: [ 503 ] }").await;
        let client = raw::connect(gateway.front()).await;
        let request = http::Request::builder().method(method).uri("http://test/x");
        let answer = raw::get(&client, request.body(()).unwrap()).await;
        assert_eq!(backend.asked(), asked, "{method}");
        assert_eq!(answer.head.status, if asked == 2 { 200 } else { 503 });
        assert_eq!(answer.body, b"body");
        gateway.idle().await;
    }
}

#[tokio::test]
async fn a_client_that_sends_slowly_is_no_fault_of_its_backend() {
    let backend = Backend::start().await;
    let retry = "retry: { per_attempt_timeout: 20ms }";
    let gateway = gateway(&[backend.address], "", retry).await;
    let mut client = gateway.client().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let call = tokio::spawn(async move {
        client.client_stream(tokio_stream::wrappers::ReceiverStream::new(receiver)).await
    });
    for _ in 0..5 {
        sender.send(message("x")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(sender);
    assert_eq!(call.await.unwrap().unwrap().get_ref().replies, 5);
    assert_eq!(backend.seen.requests(), 1);
    gateway.idle().await;
}

#[tokio::test]
async fn what_backends_refuse_is_retried_by_the_policy_too() {
    let refusing = || {
        raw::backend(async |(_, mut response): raw::Exchange| {
            response.send_reset(h2::Reason::REFUSED_STREAM);
        })
    };
    let good = Scripted::start(&[Way::Ok]).await;
    let endpoints = [refusing().await, refusing().await, refusing().await, good.address];
    let retry = "retry: { attempts: 5, backoff: { first: 0s } }";
    for policy in ["round_robin", "{ policy: consistent_hash, key: source_address }"] {
        let settings = format!("balancer: {policy}\nejection: false");
        let gateway = gateway(&endpoints, &settings, retry).await;
        for _ in 0..8 {
            assert_eq!(status(&call(&gateway, b"x").await), "0", "{policy}");
        }
        gateway.idle().await;
    }
}

#[tokio::test]
async fn a_status_of_http_counts_for_grpc_too() {
    let backend = Scripted::start(&[Way::Http(503), Way::Ok]).await;
    let gateway = gateway(&[backend.address], "ejection: false", "retry: {}").await;
    assert_eq!(status(&call(&gateway, b"x").await), "0");
    assert_eq!(backend.asked(), 2);
    gateway.idle().await;
}
