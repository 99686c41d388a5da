//! Requests go where the routes say, and what has no backend is answered by the gateway itself.

use std::fmt::Write as _;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;

use crate::support::frames::{END_STREAM, Frames, HEADERS};
use crate::support::gateway::{Gateway, PORTS, one_service};
use crate::support::raw::{self, Answer};

/// A backend that says which one it is.
async fn named(name: &'static str) -> SocketAddr {
    raw::backend(move |(_, mut respond)| async move {
        let mut head = raw::ok();
        head.headers_mut().insert("x-backend", name.parse().unwrap());
        head.headers_mut().extend(raw::status(0));
        respond.send_response(head, true).unwrap();
    })
    .await
}

/// A gateway with the services `a`, `b` and `c`, each with one backend, and these routes.
async fn routed(routes: &str) -> Gateway {
    let mut yaml = format!("{PORTS}services:\n");
    for name in ["a", "b", "c"] {
        let address = named(name).await;
        let _ = writeln!(yaml, "  {name}: {{ endpoints: [ {{ address: {address} }} ] }}");
    }
    Gateway::start(&format!("{yaml}routes:\n{routes}")).await
}

/// Which backend answers a request, or the status of the gateway's own answer.
async fn asks(client: &SendRequest<Bytes>, grpc: bool, host: &str, path: &str) -> String {
    let mut request = Request::post(format!("http://{host}{path}"));
    if grpc {
        request = request.header("content-type", "application/grpc");
    }
    let answer = raw::get(client, request.body(()).unwrap()).await;
    let said = match answer.header("x-backend") {
        None if grpc => answer.header("grpc-status").unwrap(),
        None => answer.head.status.as_str().as_bytes(),
        Some(name) => name,
    };
    String::from_utf8(said.to_vec()).unwrap()
}

#[tokio::test]
async fn the_most_specific_route_wins() {
    let gateway = routed(
        "  - match: { grpc: shop.Orders }\n    service: a\n  \
           - match: { grpc: shop.Orders/Get }\n    service: b\n  \
           - match: { path: /exact }\n    service: b\n  \
           - match: { path_prefix: /api }\n    service: a\n  \
           - match: { path_prefix: /api/v2 }\n    service: c\n  \
           - match: { host: shop.example }\n    service: c\n  \
           - match: { host: \"*.example\", path_prefix: /api }\n    service: b\n",
    )
    .await;
    let client = raw::connect(gateway.front()).await;
    for (grpc, host, path, expected) in [
        (true, "any", "/shop.Orders/Get", "b"),
        (true, "any", "/shop.Orders/Put", "a"),
        (true, "any", "/shop.OrdersX/Put", "12"),
        (false, "any", "/exact", "b"),
        (false, "any", "/exact?with=query", "b"),
        (false, "any", "/exact/more", "404"),
        (false, "any", "/api", "a"),
        (false, "any", "/api/v1", "a"),
        (false, "any", "/api/v2/x", "c"),
        (false, "any", "/apix", "404"),
        (false, "shop.example", "/x", "c"),
        (false, "shop.example:8080", "/x", "c"),
        (false, "SHOP.example", "/x", "c"),
        (false, "a.b.example", "/api/v2", "b"),
    ] {
        assert_eq!(asks(&client, grpc, host, path).await, expected, "{host}{path}");
    }
}

#[tokio::test]
async fn a_split_shares_by_weight() {
    let gateway = routed(
        "  - split:\n      - { service: a, weight: 80 }\n      - { service: b, weight: 20 }\n      \
         - { service: c, weight: 0 }\n",
    )
    .await;
    let client = raw::connect(gateway.front()).await;
    let mut to_a = 0;
    for _ in 0..4000 {
        match &*asks(&client, true, "any", "/x.Y/Z").await {
            "a" => to_a += 1,
            "b" => {}
            other => panic!("{other}"),
        }
    }
    // Six standard deviations either side.
    assert!((3048..=3352).contains(&to_a), "{to_a}");
}

fn assert_grpc(answer: &Answer, status: &[u8]) {
    assert!(answer.only_head, "{answer:?}");
    assert_eq!(answer.head.status, 200);
    assert_eq!(answer.header("content-type"), Some(&b"application/grpc"[..]));
    assert_eq!(answer.header("grpc-status"), Some(status));
    assert!(!answer.header("grpc-message").unwrap().is_empty());
}

fn assert_http(answer: &Answer, status: u16) {
    assert_eq!(answer.head.status, status);
    assert!(answer.header("content-type").unwrap().starts_with(b"text/plain"));
    assert!(!answer.body.is_empty() && answer.body.len() < 200);
    assert!(answer.header("grpc-status").is_none() && answer.trailers.is_none());
}

#[tokio::test]
async fn what_has_no_route_or_backend_is_told_in_its_own_protocol() {
    let yaml = format!(
        "{PORTS}services:\n  none: {{ endpoints: [ {{ address: 127.0.0.1:1, weight: 0 }} ] }}\n  \
         dead: {{ endpoints: [ {{ address: 127.0.0.1:1 }} ] }}\nroutes:\n  \
         - match: {{ path_prefix: /none }}\n    service: none\n  \
         - match: {{ path_prefix: /dead }}\n    service: dead\n"
    );
    let gateway = Gateway::start(&yaml).await;
    let client = raw::connect(gateway.front()).await;
    let cases = [
        ("/lost", 404, "12", "no_route"),
        ("/none", 503, "14", "no_backend"),
        ("/dead", 503, "14", "connect"),
    ];
    for (path, http, grpc, _) in cases {
        let answer = raw::get(&client, raw::grpc(path)).await;
        assert_grpc(&answer, grpc.as_bytes());
        let request = Request::get(format!("http://test{path}")).body(()).unwrap();
        assert_http(&raw::get(&client, request).await, http);
    }
    let page = gateway.metrics().await;
    for (path, _, _, reason) in cases {
        let value = page.value("equipoise_rejected_total", &[("reason", reason)]);
        assert_eq!(value, 2.0, "{path}");
    }
}

#[tokio::test]
async fn connect_is_refused() {
    let gateway = Gateway::to(&[named("a").await]).await;
    let client = raw::connect(gateway.front()).await;
    let request = Request::connect("test:443").body(()).unwrap();
    let (response, _body) = raw::open(&client, request).await;
    let answer = Answer::of(response).await;
    assert_http(&answer, 405);
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_rejected_total", &[("reason", "connect_method")]), 1.0);
}

#[tokio::test]
async fn more_headers_than_are_allowed_are_answered() {
    let limits = "limits: { header_size: 8KiB, header_count: 50 }";
    let yaml = one_service(&[named("a").await], "")
        .replace("127.0.0.1:0 } ]", &format!("127.0.0.1:0, {limits} }} ]"));
    let gateway = Gateway::start(&yaml).await;
    let client = raw::connect(gateway.front()).await;
    let mut large = raw::grpc("/x.Y/Z");
    large.headers_mut().insert("x-large", "v".repeat(9000).parse().unwrap());
    assert_grpc(&raw::get(&client, large).await, b"8");
    let mut many = raw::grpc("/x.Y/Z");
    for _ in 0..60 {
        many.headers_mut().append("x", "v".parse().unwrap());
    }
    assert_grpc(&raw::get(&client, many).await, b"8");
    let large = Request::get("http://test/").header("x-large", "v".repeat(9000));
    assert_http(&raw::get(&client, large.body(()).unwrap()).await, 431);
    assert_eq!(asks(&client, true, "any", "/x.Y/Z").await, "a", "the connection lives on");
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_rejected_total", &[("reason", "too_large")]), 3.0);
}

/// A backend may take fewer header fields than the gateway, and so may a client.
#[tokio::test]
async fn peers_that_take_less_than_the_gateway_are_respected() {
    const MAX_HEADER_LIST_SIZE: u16 = 6;
    let small = crate::support::backend::Options::default();
    let backend = crate::support::backend::Backend::with(small).await;
    let gateway = Gateway::to(&[backend.address]).await;
    let mut client = Frames::connect(gateway.front(), &[(MAX_HEADER_LIST_SIZE, 1000)]).await;
    let large = "v".repeat(2000);
    client.grpc(1, 0, "/echo.Echo/Unary", &[("x-large", &large)]).await;
    let body = crate::support::frames::message(b"");
    client.send(crate::support::frames::DATA, END_STREAM, 1, &body).await;
    let answer = client.stream(1).await;
    // The answer would bear the request's metadata: instead it is a status and nothing more.
    assert!(answer.iter().any(|frame| frame.is(HEADERS, END_STREAM)), "{answer:?}");
    assert!(answer.iter().all(|frame| frame.payload.len() < 1000), "{answer:?}");
    gateway.idle().await;
    let page = gateway.metrics().await;
    let labels = [("code", "RESOURCE_EXHAUSTED")];
    assert_eq!(page.value("equipoise_requests_total", &labels), 1.0);
}
