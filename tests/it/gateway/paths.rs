//! Paths and field names that a router and a backend may read differently, against routes of every
//! kind, with both protocols in front and behind.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;

use crate::support::gateway::{Gateway, PORTS};
use crate::support::http1;
use crate::support::raw;

/// A backend of HTTP/2 that says which one it is, and the path and fields that it got.
async fn http2(name: &'static str) -> SocketAddr {
    raw::backend(move |(request, mut respond)| async move {
        let mut head = raw::ok();
        let path = request.uri().path_and_query().unwrap().as_str();
        let names = request.headers().keys().map(|name| name.as_str());
        let doubtful: Vec<_> = names.filter(|name| name.contains('_')).collect();
        let seen = format!("{name} {path} {}", doubtful.join(","));
        head.headers_mut().insert("x-seen", seen.parse().unwrap());
        head.headers_mut().extend(raw::status(0));
        respond.send_response(head, true).unwrap();
    })
    .await
}

/// The same of HTTP/1.1.
async fn http11(name: &'static str) -> SocketAddr {
    http1::backend(move |mut talk| async move {
        while let Some(head) = talk.head().await {
            let path = head.split(' ').nth(1).unwrap();
            let names = head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0));
            let doubtful: Vec<_> = names.filter(|name| name.contains('_')).collect();
            let seen = format!("{name} {path} {}", doubtful.join(","));
            talk.send(format!("HTTP/1.1 200 OK\r\nx-seen: {seen}\r\ncontent-length: 0\r\n\r\n"))
                .await;
        }
    })
    .await
}

/// Guarded paths by matches of every kind, and a route for the rest; `setting` is the listener's.
async fn guarded(setting: &str, is_http1: bool) -> Gateway {
    let mut yaml =
        PORTS.replace("address: 127.0.0.1:0 } ]", &format!("address: 127.0.0.1:0, {setting} }} ]"));
    yaml += "services:\n";
    for name in ["guarded", "public"] {
        let (address, protocol) = match is_http1 {
            true => (http11(name).await, "http1"),
            false => (http2(name).await, "http2"),
        };
        yaml += &format!(
            "  {name}: {{ protocol: {protocol}, endpoints: [ {{ address: {address} }} ] }}\n"
        );
    }
    yaml += "routes:\n  \
        - { match: { path: /exact/secret }, service: guarded }\n  \
        - { match: { path_prefix: /admin }, service: guarded }\n  \
        - { match: { path_regex: '/r/[0-9]+' }, service: guarded }\n  \
        - { match: { grpc: shop.Admin }, service: guarded }\n  \
        - { match: { grpc: shop.Open/Wipe }, service: guarded }\n  \
        - { service: public }\n";
    Gateway::start(&yaml).await
}

/// What the backend saw, or the status of a refusal.
async fn by_http2(client: &SendRequest<Bytes>, path: &str, fields: &[(&str, &str)]) -> String {
    let mut request = Request::get(format!("http://test{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let answer = raw::get(client, request.body(()).unwrap()).await;
    let status = || match answer.header("grpc-status") {
        Some(status) => status.to_vec(),
        None => answer.head.status.as_str().into(),
    };
    let seen = answer.header("x-seen").map_or_else(status, <[u8]>::to_vec);
    String::from_utf8(seen).unwrap().trim_end().to_owned()
}

async fn by_http1(front: SocketAddr, path: &str, fields: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n{fields}connection: close\r\n\r\n");
    let answer = http1::exchange(front, request.as_bytes()).await;
    let seen = answer.lines().find_map(|line| line.strip_prefix("x-seen: "));
    seen.unwrap_or_else(|| answer.split(' ').nth(1).unwrap()).trim_end().to_owned()
}

/// What comes, and which service has it with which path; `400` where it is refused.
const TRICKS: [(&str, &str); 26] = [
    ("/exact/secret", "guarded /exact/secret"),
    ("/exact/./secret", "guarded /exact/secret"),
    ("/x/../exact/secret", "guarded /exact/secret"),
    ("/x/%2e%2E/exact/secret", "guarded /exact/secret"),
    ("//exact//secret", "guarded /exact/secret"),
    ("/exact\\secret", "guarded /exact/secret"),
    ("/exact/s%65cret", "guarded /exact/secret"),
    ("/public/../admin/x", "guarded /admin/x"),
    ("/public/.%2e/admin/x?q=/../%2f;", "guarded /admin/x?q=/../%2f;"),
    ("/%61dmin", "guarded /admin"),
    ("/.//admin/", "guarded /admin/"),
    ("/admin/../public", "public /public"),
    ("/r/./7", "guarded /r/7"),
    ("/r//7", "guarded /r/7"),
    ("/r/%37", "guarded /r/7"),
    ("/r/7/..", "public /r/"),
    ("/a%20b/%C3%A4", "public /a%20b/%C3%A4"),
    ("/admin%2fx", "400"),
    ("/public%2F..%2Fadmin", "400"),
    ("/public%5c..%5cadmin", "400"),
    ("/public/..;/admin", "400"),
    ("/admin;x=1/y", "400"),
    ("/../admin", "400"),
    ("/admin%00", "400"),
    ("/admin%", "400"),
    ("/%c0%ae%c0%ae/admin", "400"),
];

#[tokio::test]
async fn what_is_routed_is_what_is_forwarded() {
    for is_http1 in [false, true] {
        let gateway = guarded("profile: edge", is_http1).await;
        let client = raw::connect(gateway.front()).await;
        for (path, expected) in TRICKS {
            let seen = by_http2(&client, path, &[]).await;
            assert_eq!(seen, expected, "{path} by HTTP/2, behind HTTP/1.1: {is_http1}");
            let seen = by_http1(gateway.front(), path, "").await;
            assert_eq!(seen, expected, "{path} by HTTP/1.1, behind HTTP/1.1: {is_http1}");
        }
        let absolute = by_http1(gateway.front(), "http://test/x/../admin", "").await;
        assert_eq!(absolute, "guarded /admin");
        let fragment = by_http1(gateway.front(), "/admin#x", "").await;
        assert_eq!(fragment, "400");
        let page = gateway.metrics().await;
        let refused = page.find("equipoise_rejected_total", &[("reason", "path")]);
        assert_eq!(refused, Some(2.0 * 9.0), "each is counted");
    }
}

#[tokio::test]
async fn where_only_normal_paths_are_taken_the_rest_is_refused() {
    let gateway = guarded("paths: strict", false).await;
    let client = raw::connect(gateway.front()).await;
    for (path, expected) in TRICKS {
        let is_normal = expected.split_once(' ').is_some_and(|(_, seen)| seen == path);
        let expected = if is_normal { expected } else { "400" };
        assert_eq!(by_http2(&client, path, &[]).await, expected, "{path}");
        assert_eq!(by_http1(gateway.front(), path, "").await, expected, "{path}");
    }
}

#[tokio::test]
async fn by_default_trusted_clients_are_taken_at_their_word() {
    for is_http1 in [false, true] {
        let gateway = guarded("profile: internal", is_http1).await;
        let client = raw::connect(gateway.front()).await;
        for (path, _) in TRICKS {
            let seen = by_http2(&client, path, &[]).await;
            assert_eq!(seen.split_once(' ').map(|(_, path)| path), Some(path));
            assert_eq!(by_http1(gateway.front(), path, "").await, seen);
        }
    }
}

#[tokio::test]
async fn methods_cannot_be_hidden_either() {
    let gateway = guarded("profile: edge", false).await;
    let client = raw::connect(gateway.front()).await;
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    for (path, expected) in [
        ("/shop.Admin/Any", "guarded /shop.Admin/Any"),
        ("/shop.Open/Wipe", "guarded /shop.Open/Wipe"),
        ("/shop.Open/Get", "public /shop.Open/Get"),
        ("/./shop.Admin/Any", "guarded /shop.Admin/Any"),
        ("//shop.Admin/Any", "guarded /shop.Admin/Any"),
        ("/shop%2eAdmin/Any", "guarded /shop.Admin/Any"),
        ("/shop.Open/../shop.Admin/Any", "guarded /shop.Admin/Any"),
        ("/shop.Open/%57ipe", "guarded /shop.Open/Wipe"),
        ("/shop.Open//Wipe", "guarded /shop.Open/Wipe"),
        ("/shop.Open%2fWipe", "12"),
        ("/shop.Open/Wipe;x", "12"),
    ] {
        assert_eq!(by_http2(&client, path, &grpc).await, expected, "{path}");
    }
}

#[tokio::test]
async fn fields_with_underscores_pass_go_or_end_the_request() {
    let sent = [("x_forwarded_for", "10.0.0.1"), ("tenant_id", "a")];
    let text = "X_Forwarded_For: 10.0.0.1\r\nTenant_Id: a\r\n";
    let grpc = ("content-type", "application/grpc");
    for (setting, http, called) in [
        ("profile: internal", "public / x_forwarded_for,tenant_id", "x_forwarded_for,tenant_id"),
        ("underscores: drop", "public /", "tenant_id"),
        ("profile: edge", "400", ""),
    ] {
        let gateway = guarded(setting, false).await;
        let client = raw::connect(gateway.front()).await;
        assert_eq!(by_http2(&client, "/", &sent).await, http, "{setting}");
        assert_eq!(by_http1(gateway.front(), "/", text).await, http, "{setting}");
        let both = [sent[0], sent[1], grpc];
        let expected = match called {
            "" => "13".to_owned(),
            names => format!("public /shop.Open/Get {names}"),
        };
        assert_eq!(by_http2(&client, "/shop.Open/Get", &both).await, expected, "{setting}");
        let own = by_http2(&client, "/shop.Open/Get", &[sent[1], grpc]).await;
        assert_eq!(own, "public /shop.Open/Get tenant_id", "{setting}: gRPC may have its own");
    }
}
