//! When the time of a request is up, its client and its backend are told; until then nobody is told
//! that there is more of it than there is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use equipoise::control::proto::ListMethodsRequest;
use equipoise::grpc::parse_timeout;
use h2::Reason;
use http::Request;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, PORTS, one_service};
use crate::support::raw::{self, Answer};
use crate::support::{eventually, soon};

/// Long enough to have begun on any machine.
const SHORT: &str = "400m";

/// A gateway with everything going to `address`, whose service and whose route have these settings.
async fn gateway_to(address: SocketAddr, service: &str, route: &str) -> Gateway {
    let yaml = one_service(&[address], service);
    Gateway::start(&yaml.replace("{ service: echo }", &format!("{{ service: echo, {route} }}")))
        .await
}

/// A call of this path with this `grpc-timeout`.
fn call(path: &str, timeout: &str) -> Request<()> {
    let mut request = raw::grpc(path);
    request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
    request
}

/// What a backend was told of the time, and how its stream ended.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Left(Option<Duration>),
    Reset(Reason),
}

fn left(request: &Request<h2::RecvStream>) -> News {
    let field = request.headers().get("grpc-timeout");
    News::Left(field.map(|field| parse_timeout(field.as_bytes()).expect("it can be read")))
}

/// A backend that tells of all requests and their ends. It sends so many messages, and no end.
async fn endless(messages: usize) -> (SocketAddr, mpsc::UnboundedReceiver<News>) {
    let (tell, news) = mpsc::unbounded_channel();
    let address = raw::backend(move |(request, mut respond)| {
        let tell = tell.clone();
        async move {
            tell.send(left(&request)).unwrap();
            let reset = match messages {
                0 => std::future::poll_fn(|cx| respond.poll_reset(cx)).await,
                _ => {
                    let mut body = respond.send_response(raw::ok(), false).unwrap();
                    for _ in 0..messages {
                        body.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), false).unwrap();
                    }
                    std::future::poll_fn(|cx| body.poll_reset(cx)).await
                }
            };
            tell.send(News::Reset(reset.unwrap())).unwrap();
        }
    })
    .await;
    (address, news)
}

async fn told(news: &mut mpsc::UnboundedReceiver<News>) -> Option<Duration> {
    match soon("the request", news.recv()).await.unwrap() {
        News::Left(left) => left,
        News::Reset(reason) => panic!("{reason}"),
    }
}

async fn is_cancelled(news: &mut mpsc::UnboundedReceiver<News>) {
    let reset = soon("the reset", news.recv()).await;
    assert_eq!(reset, Some(News::Reset(Reason::CANCEL)));
}

/// Servers of tonic keep the time that they are told of: whoever is first, all of it is over.
#[tokio::test]
async fn a_server_that_keeps_the_time_itself_is_not_kept_busy() {
    let backend = Backend::start().await;
    let gateway = Gateway::to(&[backend.address]).await;
    let client = raw::connect(gateway.front()).await;
    let mut request = call("/echo.Echo/Unary", SHORT);
    request.headers_mut().insert("x-hold", "1".parse().unwrap());
    let (response, mut body) = raw::open(&client, request).await;
    body.send_data(Bytes::from_static(b"\0\0\0\0\0"), true).unwrap();
    let answer = Answer::of(response).await;
    let status = answer.header("grpc-status").unwrap();
    assert!(answer.only_head && [&b"1"[..], b"4"].contains(&status), "{answer:?}");
    eventually("the backend works on nothing", async || backend.seen.active() == 0).await;
    gateway.idle().await;
}

#[tokio::test]
async fn the_backend_is_told_what_is_left_and_that_it_is_over() {
    let (address, mut news) = endless(0).await;
    let gateway = Gateway::to(&[address]).await;
    let client = raw::connect(gateway.front()).await;
    let answer = raw::get(&client, call("/a.B/C", SHORT)).await;
    assert!(answer.only_head, "{answer:?}");
    assert_eq!(answer.header("grpc-status"), Some(&b"4"[..]));
    assert_eq!(answer.header("grpc-message"), Some(&b"the caller's deadline has passed"[..]));
    let left = told(&mut news).await.expect("it is told");
    assert!(left > Duration::ZERO && left <= Duration::from_millis(400), "{left:?}");
    is_cancelled(&mut news).await;
    gateway.idle().await;
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_requests_total", &[("code", "DEADLINE_EXCEEDED")]), 1.0);
}

/// Each time anew, and where the rest of the head is known by heart too.
#[tokio::test]
async fn every_call_is_told_of_its_own_time() {
    let (tell, mut news) = mpsc::unbounded_channel();
    let address = raw::backend(move |(request, mut respond)| {
        tell.send((left(&request), request.headers().clone())).unwrap();
        async move {
            let mut body = respond.send_response(raw::ok(), false).unwrap();
            body.send_trailers(raw::status(0)).unwrap();
        }
    })
    .await;
    let gateway = Gateway::to(&[address]).await;
    let client = raw::connect(gateway.front()).await;
    for round in 0..8 {
        for (said, most) in [("1H", 3600), ("50S", 50), ("7M", 420)] {
            raw::get(&client, call("/a.B/C", said)).await;
            let (left, headers) = soon("the request", news.recv()).await.unwrap();
            let News::Left(Some(left)) = left else { panic!("{round}: {left:?}") };
            let most = Duration::from_secs(most);
            assert!(left <= most && left > most / 2, "{round}: {left:?} of {said}");
            assert_eq!(headers.get_all("grpc-timeout").iter().count(), 1, "{headers:?}");
            assert_eq!(headers["te"], "trailers");
        }
        raw::get(&client, raw::grpc("/a.B/C")).await;
        assert_eq!(soon("the request", news.recv()).await.unwrap().0, News::Left(None));
    }
}

#[tokio::test]
async fn what_is_malformed_is_refused_and_what_is_over_is_not_sent() {
    let (address, mut news) = endless(0).await;
    let gateway = Gateway::to(&[address]).await;
    let client = raw::connect(gateway.front()).await;
    let malformed = ["1", "S", "1s", "1x", "123456789m", "-1S", "1.5S", "1 S"];
    for said in malformed {
        let answer = raw::get(&client, call("/a.B/C", said)).await;
        assert!(answer.only_head && answer.head.status == 200, "{said}: {answer:?}");
        assert_eq!(answer.header("grpc-status"), Some(&b"13"[..]), "{said}");
        let words = String::from_utf8_lossy(answer.header("grpc-message").unwrap()).into_owned();
        assert!(words.starts_with("grpc-timeout is malformed"), "{said}: {words}");
    }
    for said in ["0n", "0S", "00000000H"] {
        let answer = raw::get(&client, call("/a.B/C", said)).await;
        assert!(answer.only_head, "{said}: {answer:?}");
        assert_eq!(answer.header("grpc-status"), Some(&b"4"[..]), "{said}");
    }
    gateway.idle().await;
    assert!(news.try_recv().is_err(), "the backend has heard of one");
    let page = gateway.metrics().await;
    let rejected =
        |reason| page.value("equipoise_rejected_total", &[("reason", reason), ("service", "echo")]);
    assert_eq!((rejected("malformed"), rejected("deadline")), (malformed.len() as f64, 3.0));
}

#[tokio::test]
async fn streams_end_with_the_time_of_their_caller() {
    let (address, mut news) = endless(3).await;
    let gateway = gateway_to(address, "streams: [ a.B/C ]", "timeout: 1ms, max_timeout: 1ms").await;
    let client = raw::connect(gateway.front()).await;
    let (response, _body) = raw::open(&client, call("/a.B/C", SHORT)).await;
    let answer = Answer::of(response).await;
    assert_eq!(answer.body.len(), 3 * 7);
    assert_eq!(answer.trailer("grpc-status"), Some(&b"4"[..]));
    assert!(told(&mut news).await.is_some());
    is_cancelled(&mut news).await;
}

#[tokio::test]
async fn the_least_of_all_that_is_said_holds() {
    let cases = [
        ("timeout: 400ms", Some("1H")),
        ("timeout: 400ms", None),
        ("max_timeout: 400ms", Some("1H")),
        ("max_timeout: 400ms", None),
        ("timeout: 400ms, max_timeout: 1h", None),
        ("timeout: 1h, max_timeout: 400ms", Some("2H")),
        ("timeout: 1h", Some("400m")),
    ];
    for (route, said) in cases {
        let (address, mut news) = endless(0).await;
        let gateway = gateway_to(address, "", route).await;
        let client = raw::connect(gateway.front()).await;
        let request = said.map_or_else(|| raw::grpc("/a.B/C"), |said| call("/a.B/C", said));
        let answer = raw::get(&client, request).await;
        assert_eq!(answer.header("grpc-status"), Some(&b"4"[..]), "{route} {said:?}");
        let left = told(&mut news).await.expect("it is told");
        assert!(left <= Duration::from_millis(400), "{route} {said:?}: {left:?}");
        is_cancelled(&mut news).await;
    }
}

/// What is said of HTTP is nothing to a gateway, and its route holds.
#[tokio::test]
async fn http_is_told_by_its_status_or_by_a_reset() {
    let (address, mut news) = endless(0).await;
    let gateway = gateway_to(address, "protocol: http2", "timeout: 400ms").await;
    let client = raw::connect(gateway.front()).await;
    let request = Request::get("http://test/a").header("grpc-timeout", "1n").body(()).unwrap();
    let answer = raw::get(&client, request).await;
    assert_eq!(answer.head.status, 504);
    assert_eq!(answer.body, b"the time-out of the route has passed\n");
    assert_eq!(told(&mut news).await, Some(Duration::from_nanos(1)), "it is passed on as it came");
    is_cancelled(&mut news).await;

    let (address, _news) = endless(1).await;
    let gateway = gateway_to(address, "protocol: http2", "timeout: 400ms").await;
    let client = raw::connect(gateway.front()).await;
    let (response, _body) =
        raw::open(&client, Request::get("http://test/a").body(()).unwrap()).await;
    let broken = soon("the reset", Answer::read(response)).await.unwrap_err();
    assert_eq!(broken.reason(), Some(Reason::INTERNAL_ERROR), "{broken:?}");
}

#[tokio::test]
async fn a_connection_of_http1_is_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gateway = gateway_to(address, "protocol: http1", "timeout: 400ms").await;
    let client = raw::connect(gateway.front()).await;
    let asked = tokio::spawn(async move {
        raw::get(&client, Request::get("http://test/a").body(()).unwrap()).await
    });
    let (mut socket, _) = soon("a connection", listener.accept()).await.unwrap();
    let mut came = Vec::new();
    soon("the end", socket.read_to_end(&mut came)).await.unwrap();
    assert!(came.starts_with(b"GET /a HTTP/1.1\r\n"));
    assert_eq!(asked.await.unwrap().head.status, 504);
}

/// The second attempt has what the first has left.
#[tokio::test]
async fn each_attempt_is_told_what_is_left_then() {
    let (tell, mut news) = mpsc::unbounded_channel();
    let refused = Arc::new(AtomicBool::new(false));
    let address = raw::backend(move |(request, mut respond)| {
        tell.send(left(&request)).unwrap();
        let again = refused.swap(true, SeqCst);
        async move {
            if again {
                let mut body = respond.send_response(raw::ok(), false).unwrap();
                body.send_trailers(raw::status(0)).unwrap();
            } else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                respond.send_reset(Reason::REFUSED_STREAM);
            }
        }
    })
    .await;
    let gateway = Gateway::to(&[address]).await;
    let client = raw::connect(gateway.front()).await;
    let answer = raw::get(&client, call("/a.B/C", "1H")).await;
    assert_eq!(answer.trailer("grpc-status"), Some(&b"0"[..]));
    let first = told(&mut news).await.expect("it is told");
    let second = told(&mut news).await.expect("it is told");
    assert!(second + Duration::from_millis(20) <= first, "{first:?}, then {second:?}");
}

/// Who waits for a connection waits no longer than the caller does.
#[tokio::test]
async fn what_waits_for_a_connection_ends_too() {
    // It takes connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::to(&[listener.local_addr().unwrap()]).await;
    let client = raw::connect(gateway.front()).await;
    let answer = raw::get(&client, call("/a.B/C", SHORT)).await;
    assert!(answer.only_head, "{answer:?}");
    assert_eq!(answer.header("grpc-status"), Some(&b"4"[..]));
    gateway.idle().await;
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_rejected_total", &[("reason", "deadline")]), 1.0);
}

#[tokio::test]
async fn a_copy_has_the_time_of_the_original() {
    let (echo, mut originals) = endless(0).await;
    let (shadow, mut copies) = endless(0).await;
    let service = |name, address| {
        format!(
            "  {name}: {{ connect_timeout: 60s, pending_timeout: 60s, endpoints: [ \"{address}\" ] }}\n"
        )
    };
    let services = [service("echo", echo), service("shadow", shadow)].concat();
    let yaml = format!(
        "{PORTS}services:\n{services}routes: [ {{ service: echo, mirror: {{ service: shadow }} }} ]\n"
    );
    let gateway = Gateway::start(&yaml).await;
    let client = raw::connect(gateway.front()).await;
    let (response, _body) = raw::open(&client, call("/a.B/C", SHORT)).await;
    let answer = Answer::of(response).await;
    assert_eq!(answer.header("grpc-status"), Some(&b"4"[..]));
    for news in [&mut originals, &mut copies] {
        let left = told(news).await.expect("it is told");
        assert!(left <= Duration::from_millis(400), "{left:?}");
        is_cancelled(news).await;
    }
}

/// What is not 0 of the counter, by where the time was up.
async fn counted(gateway: &Gateway) -> Vec<(String, f64)> {
    let page = gateway.metrics().await;
    let samples = page.samples("equipoise_deadline_exceeded_total").iter();
    samples.map(|sample| (sample.labels["where"].clone(), sample.value)).collect()
}

#[tokio::test]
async fn what_is_over_is_counted_by_where_it_was() {
    let cases = [
        ("unsent", 0, "timeout: 1h", "0n"),
        ("head", 0, "timeout: 400ms", "1H"),
        ("head", 0, "timeout: 1h", "400m"),
        ("body", 1, "timeout: 400ms", "1H"),
        ("body", 2, "timeout: 1h", "400m"),
        ("stream", 2, "timeout: 400ms", "1H"),
        ("stream", 2, "max_timeout: 400ms", "1H"),
    ];
    for (place, messages, route, said) in cases {
        let (address, _news) = endless(messages).await;
        let gateway = gateway_to(address, "", route).await;
        let client = raw::connect(gateway.front()).await;
        let (response, _body) = raw::open(&client, call("/shop.Orders/Watch", said)).await;
        Answer::of(response).await;
        gateway.idle().await;
        assert_eq!(counted(&gateway).await, [(place.to_owned(), 1.0)], "{messages} {route} {said}");
        let mut control = gateway.control().await.0;
        let request = ListMethodsRequest { service: "echo".into() };
        let methods = control.list_methods(request).await.unwrap().into_inner().methods;
        let cut: Vec<_> = methods.iter().filter(|method| method.cut > 0).collect();
        match place {
            "stream" => assert_eq!((&*cut[0].name, cut[0].cut), ("shop.Orders/Watch", 1)),
            _ => assert!(cut.is_empty(), "{place}: {cut:?}"),
        }
    }
}

/// What one more call that is not answered does to the estimate of its backend.
async fn estimate(request: Request<()>, whole: bool, known: bool, route: &str) -> f64 {
    let address = raw::backend(|(request, mut respond)| async move {
        if request.headers().contains_key("x-hold") {
            let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
        } else {
            let mut body = respond.send_response(raw::ok(), false).unwrap();
            body.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), false).unwrap();
            body.send_trailers(raw::status(0)).unwrap();
        }
    })
    .await;
    // Each is the only sample in time.
    let balancer = "balancer: { policy: p2c_ewma, decay: 1ms, penalty: 1h }";
    let gateway = gateway_to(address, balancer, route).await;
    let client = raw::connect(gateway.front()).await;
    for _ in 0..if known { 110 } else { 0 } {
        raw::get(&client, raw::grpc(request.uri().path())).await;
    }
    let (mut held, (parts, ())) = (Request::new(()), request.into_parts());
    (*held.method_mut(), *held.uri_mut()) = (parts.method, parts.uri);
    *held.headers_mut() = parts.headers;
    held.headers_mut().insert("x-hold", "1".parse().unwrap());
    if whole {
        raw::get(&client, held).await;
    } else {
        let (response, _body) = raw::open(&client, held).await;
        Answer::of(response).await;
    }
    gateway.idle().await;
    gateway.metrics().await.value("equipoise_backend_ewma_seconds", &[])
}

/// The time-out of a route is. So is a caller's where nearly all calls of the method need less, and
/// else it says no more than that the backend was not faster.
#[tokio::test]
async fn a_backend_is_blamed_for_what_is_its_fault() {
    const BLAMED: f64 = 600.0;
    let get = |said| call("/shop.Orders/Get", said);
    assert!(estimate(get("1H"), true, false, "timeout: 400ms").await > BLAMED);
    assert!(estimate(get("400m"), true, true, "timeout: 1h").await > BLAMED);
    let unknown = estimate(get("400m"), true, false, "timeout: 1h").await;
    assert!(unknown < BLAMED && unknown > 0.3, "{unknown}");
    // What the client was yet to send may be what it waited for.
    assert!(estimate(get("1H"), false, false, "timeout: 400ms").await < BLAMED);
    assert!(estimate(get("400m"), false, true, "timeout: 1h").await < BLAMED);
}
