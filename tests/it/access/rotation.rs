//! Certificates, authorities, tokens and roles of the control API change while a stream goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use equipoise::control::proto::control_client::ControlClient;
use equipoise::control::proto::{Service, WatchServiceRequest};
use tonic::Streaming;

use super::*;
use crate::support::{eventually, soon};

pub async fn watch(who: &Who, channel: &Channel, service: &str) -> Streaming<Service> {
    let request = WatchServiceRequest {
        service: service.into(),
        interval: Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 }),
        since_revision: None,
    };
    ControlClient::new(channel.clone()).watch_service(who.sign(request)).await.unwrap().into_inner()
}

async fn goes_on(stream: &mut Streaming<Service>) {
    for _ in 0..15 {
        soon("the stream goes on", stream.message()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_watch_goes_on_while_certificates_and_authorities_are_rotated() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = old.folder();
    let copy = |from: &Authority, name: &str, to: &str| {
        std::fs::copy(from.folder().join(name), folder.join(to)).unwrap();
    };
    old.issue("server", NAME);
    copy(&old, "ca.pem", "clients.pem");
    let control = "{ address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key, client_ca: \
                   clients.pem }, roles: [ { who: 'spiffe://prod/*', role: read } ] }";
    let mut gateway = start(control, folder).await;
    let at = tcp(&gateway);
    let before = Who::certificate(issue(&old, "ann", &["spiffe://prod/ann"], &[]));
    let after = Who::certificate(issue(&new, "ann", &["spiffe://prod/ann"], &[]));
    let channel = before.connect(at, &old).await.unwrap();
    let mut stream = watch(&before, &channel, "orders").await;
    goes_on(&mut stream).await;

    // Both authorities, then the new one alone, with the gateway's certificate of the new one.
    let both = [&old, &new].map(|it| std::fs::read(it.folder().join("ca.pem")).unwrap()).concat();
    std::fs::write(folder.join("clients.pem"), both).unwrap();
    reload(&mut gateway, control, folder).await;
    goes_on(&mut stream).await;
    new.issue("server", NAME);
    copy(&new, "server.pem", "server.pem");
    copy(&new, "server.key", "server.key");
    copy(&new, "ca.pem", "clients.pem");
    reload(&mut gateway, control, folder).await;
    goes_on(&mut stream).await;

    let channel = after.connect(at, &new).await.unwrap();
    goes_on(&mut watch(&after, &channel, "orders").await).await;
    assert!(after.connect(at, &old).await.is_err(), "the gateway shows its new certificate");
    if let Ok(channel) = before.connect(at, &new).await {
        let list = methods().into_iter().find(|it| it.path.ends_with("/ListServices")).unwrap();
        assert_ne!(before.code(&channel, &list, "").await, Code::Ok);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_watch_goes_on_while_tokens_are_rotated_and_ends_once_they_are_revoked() {
    let authority = Authority::new();
    authority.issue("server", NAME);
    let folder = authority.folder();
    let write = |text: &str| std::fs::write(folder.join("tokens.txt"), text).unwrap();
    let (first, second) = (line("ci", "read", "one", "never"), line("ci", "read", "two", "never"));
    write(&first);
    let control =
        "{ address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key }, tokens: tokens.txt }";
    let mut gateway = start(control, folder).await;
    let who = Who::token("one");
    let channel = who.connect(tcp(&gateway), &authority).await.unwrap();
    let mut stream = watch(&who, &channel, "orders").await;
    goes_on(&mut stream).await;
    for tokens in [first + &second, second] {
        write(&tokens);
        reload(&mut gateway, control, folder).await;
        goes_on(&mut stream).await;
    }
    write(&line("ci", "read:carts", "two", "never"));
    reload(&mut gateway, control, folder).await;
    let why = loop {
        if let Err(status) = soon("the stream ends", stream.message()).await.transpose().unwrap() {
            break status;
        }
    };
    assert_eq!(why.code(), Code::PermissionDenied, "{why:?}");
    assert!(why.message().contains("no longer: `token:ci` may not do this"), "{why:?}");
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_tokens_and_certificates_are_rotated() {
    let authority = Authority::new();
    authority.issue("server", NAME);
    let folder = authority.folder().to_owned();
    let write = |names: &[&str]| {
        let lines: String = names.iter().map(|name| line("ci", "read", name, "never")).collect();
        std::fs::write(folder.join("tokens.txt"), lines).unwrap();
    };
    write(&["a"]);
    let control =
        "{ address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key }, tokens: tokens.txt }";
    let mut gateway = start(control, &folder).await;
    let (at, token) = (tcp(&gateway), Arc::new(ArcSwap::from_pointee(String::from("a"))));
    let failed = Arc::<AtomicUsize>::default();
    let good = [(); 3].map(|()| Arc::<AtomicUsize>::default());
    let list = methods().into_iter().find(|it| it.path.ends_with("/ListServices")).unwrap();
    let authority = Arc::new(authority);
    let mut running = tokio::task::JoinSet::new();
    for (anew, good) in [false, false, true].into_iter().zip(&good) {
        let [good, failed] = [good, &failed].map(Arc::clone);
        let (authority, token, list) = (Arc::clone(&authority), Arc::clone(&token), list.clone());
        running.spawn(async move {
            let mut channel = Who::default().connect(at, &authority).await.unwrap();
            loop {
                let who = Who::token(&token.load());
                if anew {
                    channel = who.connect(at, &authority).await.unwrap();
                }
                match who.call(&channel, &list, "").await {
                    Ok(()) => good.fetch_add(1, Relaxed),
                    Err(status) => {
                        eprintln!("a call failed: {status:?}");
                        failed.fetch_add(1, Relaxed)
                    }
                };
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    let pass = async || {
        for one in &good {
            let before = one.load(Relaxed);
            eventually("calls pass", async || one.load(Relaxed) >= before + 20).await;
        }
    };
    for pair in [["a", "b"], ["b", "c"], ["c", "d"]] {
        pass().await;
        write(&pair);
        authority.issue("server", NAME);
        reload(&mut gateway, control, &folder).await;
        token.store(Arc::new(pair[1].into()));
        pass().await; // nobody has the first one in hand any more
        write(&pair[1..]);
        reload(&mut gateway, control, &folder).await;
    }
    pass().await;
    running.abort_all();
    assert_eq!(failed.load(Relaxed), 0);
    gateway.shutdown().await;
}
