//! Where the hashing policies take their key from, and what becomes of requests without.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tonic::transport::{ClientTlsConfig, Endpoint};

use crate::support::backend::Backend;
use crate::support::certificates::Authority;
use crate::support::client::{connect_to, message, with};
use crate::support::gateway::{Gateway, one_service};
use crate::support::raw::{self, Answer};
use crate::support::{eventually, soon};

const BACKENDS: usize = 4;

/// Backends that answer with a head alone, which says who they are.
async fn backends() -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for number in 0..BACKENDS {
        let serve = move |(_, mut respond): raw::Exchange| async move {
            let mut head = raw::ok();
            head.headers_mut().insert("x-backend", number.into());
            head.headers_mut().extend(raw::status(0));
            respond.send_response(head, true).unwrap();
        };
        addresses.push(raw::backend(serve).await);
    }
    addresses
}

async fn balanced(endpoints: &[SocketAddr], balancer: &str) -> Gateway {
    Gateway::start(&one_service(endpoints, &format!("balancer: {{ {balancer} }}"))).await
}

fn home(answer: &Answer) -> usize {
    std::str::from_utf8(answer.header("x-backend").unwrap()).unwrap().parse().unwrap()
}

async fn ask(client: &SendRequest<Bytes>, fields: &[(&str, &str)]) -> Answer {
    ask_for(client, "/x.Y/Z", fields).await
}

async fn ask_for(client: &SendRequest<Bytes>, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = raw::grpc(path);
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    raw::get(client, request).await
}

fn token(payload: &str) -> String {
    let [head, payload] = [r#"{"alg":"none"}"#, payload].map(|p| BASE64_URL_SAFE_NO_PAD.encode(p));
    format!("Bearer {head}.{payload}.")
}

/// A request that carries this key.
fn carrying(source: &str, key: usize) -> Request<()> {
    let mut request = match source {
        "query" => raw::grpc(&format!("/x.Y/Z?page=1&user=u{key}")),
        _ => raw::grpc("/x.Y/Z"),
    };
    let headers = request.headers_mut();
    let field = match source {
        "header" => ("x-user-id", format!("u{key}")),
        // In crumbs, as HTTP/2 allows, and not alone.
        "cookie" => ("cookie", format!("sid=u{key}")),
        "jwt_claim" => {
            let claims = format!(r#"{{"iat":{},"user":{{"id":{key}}}}}"#, 1_000 + key);
            ("authorization", token(&claims))
        }
        _ => return request,
    };
    headers.append("cookie", "theme=dark".parse().unwrap());
    headers.append(field.0, field.1.parse().unwrap());
    request
}

#[tokio::test]
async fn the_same_key_finds_the_same_backend_wherever_it_stands() {
    let backends = backends().await;
    for policy in ["consistent_hash", "maglev"] {
        for (source, key) in [
            ("header", "{ header: X-User-Id }"),
            ("cookie", "{ cookie: sid }"),
            ("query", "{ query: user }"),
            ("jwt_claim", "{ jwt_claim: user.id }"),
        ] {
            let gateway = balanced(&backends, &format!("policy: {policy}, key: {key}")).await;
            let mut homes = BTreeMap::new();
            // Two connections: two workers.
            for _ in 0..2 {
                let client = raw::connect(gateway.front()).await;
                for key in 0..60 {
                    let answer = raw::get(&client, carrying(source, key)).await;
                    let home = home(&answer);
                    assert_eq!(*homes.entry(key).or_insert(home), home, "{policy} {source}");
                    assert_eq!(answer.header("set-cookie"), None);
                }
            }
            let used: BTreeSet<_> = homes.into_values().collect();
            assert_eq!(used.len(), BACKENDS, "sixty keys find every backend");
        }
    }
}

/// A client at another address of this machine.
async fn client_at(last: u8, gateway: &Gateway) -> SendRequest<Bytes> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    let socket = socket.connect(gateway.front()).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn an_address_finds_the_same_backend_as_key_and_as_fallback() {
    let backends = backends().await;
    for key in ["key: source_address", "key: { header: x-user-id }, fallback: source_address"] {
        let gateway = balanced(&backends, &format!("policy: maglev, {key}")).await;
        let mut used = BTreeSet::new();
        for last in 1..=100 {
            let mut homes = BTreeSet::new();
            for _ in 0..2 {
                let client = client_at(last, &gateway).await;
                homes.insert(home(&ask(&client, &[]).await));
            }
            assert_eq!(homes.len(), 1, "{homes:?}");
            used.extend(homes);
        }
        assert_eq!(used.len(), BACKENDS);
    }
}

#[tokio::test]
async fn without_the_key_requests_spread() {
    let backends = backends().await;
    let gateway = balanced(&backends, "policy: maglev, key: { jwt_claim: sub }").await;
    let client = raw::connect(gateway.front()).await;
    for fields in [&[][..], &[("authorization", "Bearer what")], &[("authorization", "")]] {
        let mut counts = [0; BACKENDS];
        for _ in 0..200 {
            counts[home(&ask(&client, fields).await)] += 1;
        }
        // More than six standard deviations below 50.
        assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    }
}

fn set_cookie(answer: &Answer) -> &str {
    std::str::from_utf8(answer.header("set-cookie").unwrap()).unwrap()
}

#[tokio::test]
async fn a_client_is_given_a_cookie_that_keeps_it_at_its_backend() {
    let backends = backends().await;
    let key = "key: { cookie: sid, set: true, ttl: 2h, path: /x.Y }";
    let gateway = balanced(&backends, &format!("policy: consistent_hash, {key}")).await;
    let mut used = BTreeSet::new();
    let mut values = BTreeSet::new();
    for _ in 0..80 {
        let client = raw::connect(gateway.front()).await;
        let first = ask(&client, &[("cookie", "theme=dark")]).await;
        let (pair, attributes) = set_cookie(&first).split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/x.Y; HttpOnly; SameSite=Lax; Max-Age=7200");
        let value = pair.strip_prefix("sid=").unwrap();
        assert!(value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()), "{value}");
        for _ in 0..5 {
            let again = ask(&client, &[("cookie", "theme=dark"), ("cookie", pair)]).await;
            assert_eq!(home(&again), home(&first));
            assert_eq!(again.header("set-cookie"), None, "it has one");
        }
        used.insert(home(&first));
        values.insert(value.to_owned());
    }
    assert_eq!((used.len(), values.len()), (BACKENDS, 80));
}

#[tokio::test]
async fn a_cookie_given_on_the_way_past_a_dead_backend_holds() {
    let dead = TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap(); // and nobody listens
    let mut backends = backends().await;
    backends[0] = dead.local_addr().unwrap();
    let gateway = balanced(&backends, "policy: maglev, key: { cookie: sid, set: true }").await;
    let client = raw::connect(gateway.front()).await;
    for _ in 0..30 {
        let first = ask(&client, &[]).await;
        let (pair, _) = set_cookie(&first).split_once(';').unwrap();
        assert_eq!(home(&ask(&client, &[("cookie", pair)]).await), home(&first));
        assert_ne!(home(&first), 0);
    }
}

#[tokio::test]
async fn a_cookie_given_under_tls_is_kept_to_tls() {
    let authority = Authority::new();
    authority.issue("server", "gateway.test");
    let backend = Backend::start().await;
    let balancer = "balancer: { policy: maglev, key: { cookie: sid, set: true } }";
    let tls = "address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key } } ]";
    let yaml = one_service(&[backend.address], balancer);
    let yaml = yaml.replacen("address: 127.0.0.1:0 } ]", tls, 1);
    let gateway = Gateway::start_in(&yaml, authority.folder()).await;
    let endpoint = Endpoint::from_shared(format!("https://{}", gateway.front())).unwrap();
    let tls = ClientTlsConfig::new().ca_certificate(authority.certificate());
    let mut client =
        connect_to(endpoint.tls_config(tls.domain_name("gateway.test")).unwrap()).await;
    let answer = client.unary(message("x")).await.unwrap();
    let cookie = answer.metadata().get("set-cookie").unwrap().to_str().unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
}

#[tokio::test]
async fn a_hot_key_overloads_no_backend() {
    let backends = [Backend::start().await, Backend::start().await, Backend::start().await];
    let addresses = backends.each_ref().map(|backend| backend.address);
    let balancer = "policy: consistent_hash, key: { header: x-user-id }, bounded_load: 1.5";
    let gateway = balanced(&addresses, balancer).await;
    let active = || backends.each_ref().map(|backend| backend.seen.active());
    let mut calls = JoinSet::new();
    let client = gateway.client().await;
    for running in 1..=30 {
        let mut client = client.clone();
        calls.spawn(async move {
            let mut request = with("held", "x-hold", "1");
            request.metadata_mut().insert("x-user-id", "hot".parse().unwrap());
            client.unary(request).await.map(|_| ())
        });
        let all = || active().iter().sum::<usize>() == running;
        eventually("the call is there", async || all()).await;
        let most = (1.5 * running as f64 / 3.0).ceil() as usize;
        assert!(active().iter().all(|active| *active <= most), "{:?} of {most}", active());
    }
    assert!(active().contains(&15), "{:?}: it stays at home as far as may be", active());
    backends.iter().for_each(Backend::release);
    while let Some(call) = soon("held calls end", calls.join_next()).await {
        call.unwrap().unwrap();
    }
}
