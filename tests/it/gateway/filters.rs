//! What routes do to requests and responses on the way.

use std::fmt::Write as _;
use std::net::SocketAddr;

use http::Request;

use crate::support::gateway::{Gateway, PORTS};
use crate::support::raw::{self, Answer};

/// A backend that answers with the request's head: the path and authority as header fields, each
/// field as `was-` with its values.
async fn mirroring() -> SocketAddr {
    raw::backend(|(request, mut respond)| async move {
        let mut head = raw::ok();
        let uri = request.uri();
        let target = uri.path_and_query().unwrap().as_str();
        let headers = head.headers_mut();
        headers.insert("x-path", target.parse().unwrap());
        headers.insert("x-authority", uri.authority().unwrap().as_str().parse().unwrap());
        for (name, value) in request.headers() {
            let name = format!("was-{name}").parse::<http::HeaderName>().unwrap();
            headers.append(name, value.clone());
        }
        headers.insert("server", "backend".parse().unwrap());
        headers.extend(raw::status(0));
        respond.send_response(head, true).unwrap();
    })
    .await
}

/// A gateway to such a backend, with these routes.
async fn filtered(routes: &str) -> Gateway {
    let backend = mirroring().await;
    let mut yaml =
        format!("{PORTS}services:\n  a: {{ endpoints: [ {{ address: {backend} }} ] }}\n");
    let _ = write!(yaml, "routes:\n{routes}");
    Gateway::start(&yaml).await
}

async fn ask(gateway: &Gateway, request: http::request::Builder) -> Answer {
    let client = raw::connect(gateway.front()).await;
    raw::get(&client, request.body(()).unwrap()).await
}

fn values(answer: &Answer, name: &str) -> Vec<String> {
    let values = answer.head.headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn path_and_host_are_rewritten() {
    let gateway = filtered(
        "  - match: { path_prefix: /api/v1 }\n    service: a\n    \
             rewrite: { prefix: /, host: backend.internal }\n  \
           - match: { path: /old }\n    service: a\n    rewrite: { path: /new/place }\n  \
           - match: { grpc: shop.Orders/Get }\n    service: a\n    \
             rewrite: { path: /shop.v2.Orders/Get }\n  - service: a\n",
    )
    .await;
    let get = |path: &str| Request::get(format!("http://front.example{path}"));
    for (path, target, authority) in [
        ("/api/v1/orders?page=2", "/orders?page=2", "backend.internal"),
        ("/api/v1", "/", "backend.internal"),
        ("/old?x", "/new/place?x", "front.example"),
        ("/other", "/other", "front.example"),
    ] {
        let answer = ask(&gateway, get(path)).await;
        assert_eq!(values(&answer, "x-path"), [target]);
        assert_eq!(values(&answer, "x-authority"), [authority], "{path}");
    }
    let call = Request::post("http://front.example/shop.Orders/Get");
    let answer = ask(&gateway, call.header("content-type", "application/grpc")).await;
    assert_eq!(values(&answer, "x-path"), ["/shop.v2.Orders/Get"]);
    assert_eq!(values(&answer, "grpc-status"), ["0"]);
}

#[tokio::test]
async fn headers_are_set_added_and_removed() {
    let gateway = filtered(
        "  - match: { path: /plain }\n    service: a\n  \
           - service: a\n    \
             request_headers: { set: { x-set: new, x-fresh: \"1\" }, add: { x-add: more }, \
             remove: [ X-Gone ] }\n    \
             response_headers: { set: { x-path: hidden }, add: { x-add: edge }, remove: [ server ] }\n",
    )
    .await;
    let get = |path: &str| {
        let request = Request::get(format!("http://front.example{path}"));
        let request = request.header("x-set", "old").header("x-set", "older");
        request.header("x-add", "first").header("x-gone", "1").header("x-stays", "1")
    };
    let answer = ask(&gateway, get("/")).await;
    assert_eq!(values(&answer, "was-x-set"), ["new"]);
    assert_eq!(values(&answer, "was-x-fresh"), ["1"]);
    assert_eq!(values(&answer, "was-x-add"), ["first", "more"]);
    assert_eq!(values(&answer, "was-x-gone"), [""; 0]);
    assert_eq!(values(&answer, "was-x-stays"), ["1"]);
    assert_eq!(values(&answer, "x-path"), ["hidden"]);
    assert_eq!(values(&answer, "x-add"), ["edge"]);
    assert_eq!(values(&answer, "server"), [""; 0]);
    let plain = ask(&gateway, get("/plain")).await;
    assert_eq!(values(&plain, "was-x-set"), ["old", "older"]);
    assert_eq!(values(&plain, "was-x-gone"), ["1"]);
    assert_eq!(values(&plain, "server"), ["backend"]);
}

#[tokio::test]
async fn a_share_of_a_split_has_filters_of_its_own() {
    let gateway = filtered(
        "  - request_headers: { set: { x-route: \"1\" } }\n    split:\n      \
             - { service: a, weight: 0 }\n      \
             - { service: a, weight: 1, request_headers: { set: { x-share: two } } }\n",
    )
    .await;
    let answer = ask(&gateway, Request::get("http://front.example/")).await;
    assert_eq!(values(&answer, "was-x-route"), ["1"]);
    assert_eq!(values(&answer, "was-x-share"), ["two"]);
}

#[tokio::test]
async fn a_redirect_is_answered_by_the_gateway() {
    let gateway = filtered(
        "  - match: { host: old.example }\n    \
             redirect: { scheme: https, host: new.example, status: 301 }\n  \
           - match: { path_prefix: /docs }\n    redirect: { prefix: /manual, port: 8443, status: 308 }\n  \
           - service: a\n",
    )
    .await;
    for (method, uri, status, location) in [
        ("GET", "http://old.example:80/a?b", 301, "https://new.example/a?b"),
        ("HEAD", "http://old.example/a", 301, "https://new.example/a"),
        ("POST", "http://any.example/docs/x?y", 308, "http://any.example:8443/manual/x?y"),
    ] {
        let answer = ask(&gateway, Request::builder().method(method).uri(uri)).await;
        assert_eq!(answer.head.status, status);
        assert_eq!(values(&answer, "location"), [location]);
        assert!(answer.only_head, "{answer:?}");
    }
    let call = Request::post("http://old.example/a.B/C");
    let answer = ask(&gateway, call.header("content-type", "application/grpc")).await;
    assert_eq!(values(&answer, "grpc-status"), ["12"]);
    assert_eq!(
        values(&answer, "grpc-message"),
        ["this route redirects, and gRPC follows no redirect"]
    );
    assert_eq!(values(&answer, "location"), [""; 0]);
}

/// A body that is still under way does no harm to the connection.
#[tokio::test]
async fn a_redirect_does_not_wait_for_the_body() {
    let gateway =
        filtered("  - match: { path: /up }\n    redirect: { path: /down }\n  - service: a\n").await;
    let client = raw::connect(gateway.front()).await;
    let upload = Request::post("http://front.example/up").body(()).unwrap();
    let (response, mut body) = raw::open(&client, upload).await;
    body.send_data(vec![7; 1000].into(), false).unwrap();
    let answer = Answer::of(response).await;
    assert_eq!(values(&answer, "location"), ["http://front.example/down"]);
    let next = Request::get("http://front.example/x").body(()).unwrap();
    assert_eq!(values(&raw::get(&client, next).await, "x-path"), ["/x"]);
}
