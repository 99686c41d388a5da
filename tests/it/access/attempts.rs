//! Attempts of whoever has no right to be there, against every method.

use std::time::Duration;

use equipoise::access::METHODS;
use rcgen::date_time_ymd;

use super::rotation::watch;
use super::*;
use crate::support::soon;

/// Asserts that no method answers, but with this code.
async fn none_answers(
    who: &Who,
    gateway: SocketAddr,
    authority: &Authority,
    code: Code,
    what: &str,
) {
    let channel = who.connect(gateway, authority).await.unwrap();
    for method in methods() {
        let found = who.code(&channel, &method, "orders").await;
        assert_eq!(found, code, "{what}: {}", method.path);
    }
}

/// Asserts that the connection ends before any method is reached.
async fn cannot_connect(who: &Who, gateway: SocketAddr, authority: &Authority, what: &str) {
    // With TLS 1.3 a client may hear of it with its first call only.
    let Ok(channel) = who.connect(gateway, authority).await else { return };
    let method = &methods()[0];
    let refused = who.call(&channel, method, "orders").await.unwrap_err();
    assert!(!matches!(refused.code(), Code::Ok | Code::NotFound), "{what}: {refused:?}");
    assert!(std::error::Error::source(&refused).is_some(), "{what}: {refused:?}");
}

#[test]
fn every_method_has_a_row_and_every_row_a_method() {
    let methods = methods();
    for method in &methods {
        method.rule();
    }
    for rule in METHODS {
        let path = format!("/{}/{}", rule.service, rule.name);
        assert!(methods.iter().any(|method| method.path == path), "{path} is no method");
    }
}

#[tokio::test]
async fn no_wrong_expired_and_revoked_tokens_reach_no_method() {
    let authority = Authority::new();
    authority.issue("server", NAME);
    let folder = authority.folder();
    let write = |text: String| std::fs::write(folder.join("tokens.txt"), text).unwrap();
    let keeps = line("ci", "admin", "good", "never");
    write(
        keeps.clone()
            + &line("old", "admin", "old", "2020-01-01T00:00:00Z")
            + &line("left", "admin", "left", "never"),
    );
    let control =
        "{ address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key }, tokens: tokens.txt }";
    let mut gateway = start(control, folder).await;
    let at = tcp(&gateway);
    let left = Who::token("left");
    let channel = left.connect(at, &authority).await.unwrap();
    let list = methods().into_iter().find(|it| it.path.ends_with("/ListServices")).unwrap();
    assert_eq!(left.code(&channel, &list, "").await, Code::Ok);
    write(keeps);
    reload(&mut gateway, control, folder).await;
    let refused = left.call(&channel, &list, "").await.unwrap_err();
    assert!(refused.message().contains("has been revoked"), "{refused:?}");

    for (who, what) in [
        (Who::default(), "no token"),
        (Who::token("bad"), "a wrong token"),
        (Who::token("goo"), "a part of a token"),
        (Who::token("old"), "an expired token"),
        (left, "a revoked token"),
    ] {
        none_answers(&who, at, &authority, Code::Unauthenticated, what).await;
    }
    assert_eq!(Who::token("good").code(&channel, &list, "").await, Code::Ok);
    // In clear text nobody gets anywhere.
    let clear = Channel::from_shared(format!("http://{at}")).unwrap().connect().await;
    if let Ok(clear) = clear {
        let refused = Who::token("good").call(&clear, &list, "").await.unwrap_err();
        assert!(std::error::Error::source(&refused).is_some(), "{refused:?}");
    }
    gateway.shutdown().await;
}

/// The `denied` lines of an audit: who, by which method, and why.
fn denied(folder: &std::path::Path) -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let text =
        |line: &serde_json::Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let denied = lines.filter(|line| line["event"] == "denied");
    denied.map(|it| (text(&it, "who"), text(&it, "method"), text(&it, "error"))).collect()
}

#[tokio::test]
async fn every_attempt_has_a_line_in_the_audit() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("server", NAME);
    let folder = authority.folder();
    let tokens = line("ann", "read:none", "ann", "never")
        + &line("old", "admin", "old", "2020-01-01T00:00:00Z");
    std::fs::write(folder.join("tokens.txt"), tokens).unwrap();
    let tls = "{ cert: server.pem, key: server.key, client_ca: ca.pem }";
    let control =
        format!("{{ address: 127.0.0.1:0, tls: {tls}, tokens: tokens.txt }}\naudit: audit.jsonl");
    let gateway = start(&control, folder).await;
    let at = tcp(&gateway);
    let foreign = Who::certificate(issue(&stranger, "ann", &["spiffe://prod/ops/ann"], &[]));
    cannot_connect(&foreign, at, &authority, "a foreign certificate").await;
    let own = issue(&authority, "web", &["spiffe://prod/web/ann"], &[]);
    let mut expected = 0;
    for (token, code, names) in [
        (None, Code::PermissionDenied, "spiffe://prod/web/ann"),
        (Some("bad"), Code::Unauthenticated, ""),
        (Some("old"), Code::Unauthenticated, ""),
        (Some("ann"), Code::PermissionDenied, "token:ann"),
    ] {
        let who = Who { identity: Some(own.clone()), token: token.map(str::to_owned) };
        let channel = who.connect(at, &authority).await.unwrap();
        for method in methods() {
            if who.code(&channel, &method, "orders").await != code {
                continue;
            }
            expected += 1;
            let name = method.rule().name;
            crate::support::eventually("it has a line", async || {
                let told = denied(folder);
                told.iter().any(|(who, by, _)| who == names && by == name)
            })
            .await;
        }
    }
    assert!(expected > 100, "{expected}");
    let told = denied(folder);
    assert!(
        told.iter().any(|(_, _, error)| error.contains("the TLS handshake failed")),
        "{told:?}"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_flood_of_wrong_tokens_has_few_lines_and_is_counted() {
    let authority = Authority::new();
    authority.issue("server", NAME);
    let folder = authority.folder();
    std::fs::write(folder.join("tokens.txt"), line("ann", "read", "ann", "never")).unwrap();
    let control = "{ address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key }, tokens: \
                   tokens.txt }\naudit: audit.jsonl";
    let gateway = start(control, folder).await;
    let channel = Who::default().connect(tcp(&gateway), &authority).await.unwrap();
    let list = methods().into_iter().find(|it| it.path.ends_with("/ListServices")).unwrap();
    for _ in 0..600 {
        assert_eq!(Who::token("bad").code(&channel, &list, "").await, Code::Unauthenticated);
    }
    let metrics = gateway.metrics().ip().unwrap();
    let page = crate::support::gateway::scrape(metrics).await;
    let suppressed = page.value("equipoise_audit_failures_total", &[("reason", "suppressed")]);
    assert!(suppressed > 100.0, "{suppressed}");
    // Who may come in has a line for what it may not do.
    let (ann, weights) = (Who::token("ann"), methods());
    let weights = weights.iter().find(|it| it.path.ends_with("/SetWeights")).unwrap();
    assert_eq!(ann.code(&channel, weights, "orders").await, Code::PermissionDenied);
    crate::support::eventually("it has a line", async || {
        denied(folder).iter().any(|(who, _, _)| who == "token:ann")
    })
    .await;
    let strangers = denied(folder).iter().filter(|(who, _, _)| who.is_empty()).count();
    assert!((200..500).contains(&strangers), "{strangers}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn no_foreign_expired_and_nameless_certificates_reach_no_method() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("server", NAME);
    let folder = authority.folder();
    let control = "{ address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key, client_ca: \
                   ca.pem }, roles: [ { who: 'spiffe://prod/ops/*', role: admin } ] }";
    let gateway = start(control, folder).await;
    let at = tcp(&gateway);
    let ops = "spiffe://prod/ops/ann";
    let mut over = CertificateParams::default();
    over.subject_alt_names = vec![SanType::URI(ops.try_into().unwrap())];
    over.not_before = date_time_ymd(2020, 1, 1);
    over.not_after = date_time_ymd(2021, 1, 1);
    for (who, what) in [
        (Who::default(), "no certificate"),
        (Who::certificate(issue(&stranger, "ann", &[ops], &[])), "a foreign certificate"),
        (
            Who::certificate(authority.issue_by("over", over, &KeyPair::generate().unwrap())),
            "an expired certificate",
        ),
    ] {
        cannot_connect(&who, at, &authority, what).await;
    }
    let other = "spiffe://prod/ops/bob";
    for (uris, dns, code, what) in [
        (&[ops, other][..], &[][..], Code::Unauthenticated, "two URIs"),
        (&["https://prod/ops/ann"], &[], Code::Unauthenticated, "no SPIFFE ID"),
        (&[], &["a.example", "b.example"], Code::Unauthenticated, "two names"),
    ] {
        let who = Who::certificate(issue(&authority, "odd", uris, dns));
        none_answers(&who, at, &authority, code, what).await;
    }
    // It is known, and may do nothing but ask who it is.
    let nobody = issue(&authority, "web", &["spiffe://prod/web/ann"], &[]);
    let nobody = Who::certificate(nobody);
    let channel = nobody.connect(at, &authority).await.unwrap();
    for method in methods() {
        let found = nobody.code(&channel, &method, "orders").await;
        let may = method.path.ends_with("/WhoAmI");
        let code = if may { Code::Ok } else { Code::PermissionDenied };
        assert_eq!(found, code, "no role: {}", method.path);
    }
    let ann = Who::certificate(issue(&authority, "ann", &[ops], &[]));
    let channel = ann.connect(at, &authority).await.unwrap();
    let list = methods().into_iter().find(|it| it.path.ends_with("/ListServices")).unwrap();
    assert_eq!(ann.code(&channel, &list, "").await, Code::Ok);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_revoked_certificate_reaches_no_method() {
    let authority = Authority::new();
    authority.issue("server", NAME);
    let folder = authority.folder();
    let revoke = |names: &[&str]| authority.revoke("ops.crl", names, 2050);
    revoke(&["bob"]);
    let control = "{ address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key, client_ca: ca.pem, \
                   client_crls: [ ops.crl ] }, roles: [ { who: 'spiffe://prod/ops/*', role: admin } ] }";
    let mut gateway = start(control, folder).await;
    let at = tcp(&gateway);
    let who = |name: &str| {
        Who::certificate(authority.issue_as(name, &[&format!("spiffe://prod/ops/{name}")]))
    };
    let (ann, bob) = (who("ann"), who("bob"));
    cannot_connect(&bob, at, &authority, "a revoked certificate").await;
    let list = methods().into_iter().find(|it| it.path.ends_with("/ListServices")).unwrap();
    let channel = ann.connect(at, &authority).await.unwrap();
    assert_eq!(ann.code(&channel, &list, "").await, Code::Ok);
    let mut stream = watch(&ann, &channel, "orders").await;
    soon("it goes on", stream.message()).await.unwrap().unwrap();
    revoke(&["bob", "ann"]);
    reload(&mut gateway, control, folder).await;
    cannot_connect(&ann, at, &authority, "a certificate that was revoked since").await;
    // Nor over the connection that it has had since before.
    for method in methods() {
        let refused = ann.call(&channel, &method, "orders").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{}", method.path);
        assert!(refused.message().contains("has been revoked"), "{refused:?}");
    }
    let why = loop {
        if let Err(status) = soon("the stream ends", stream.message()).await.transpose().unwrap() {
            break status;
        }
    };
    assert_eq!(why.code(), Code::Unauthenticated, "{why:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_crowd_of_silent_handshakes_keeps_nobody_out() {
    let authority = Authority::new();
    authority.issue("server", NAME);
    let folder = authority.folder();
    std::fs::write(folder.join("tokens.txt"), line("ci", "read", "good", "never")).unwrap();
    let control =
        "{ address: 127.0.0.1:0, tls: { cert: server.pem, key: server.key }, tokens: tokens.txt }";
    let gateway = start(control, folder).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(tokio::net::TcpStream::connect(tcp(&gateway)).await.unwrap());
    }
    let who = Who::token("good");
    let connected =
        tokio::time::timeout(Duration::from_secs(60), who.connect(tcp(&gateway), &authority));
    let channel = connected.await.unwrap().unwrap();
    let list = methods().into_iter().find(|it| it.path.ends_with("/ListServices")).unwrap();
    assert_eq!(who.code(&channel, &list, "").await, Code::Ok);
    gateway.shutdown().await;
}
