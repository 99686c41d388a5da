//! Who is let in by which certificate, and what backends are told of it.

use tonic::Code;
use tonic::transport::{ClientTlsConfig, Endpoint, Identity};

use super::{is_answered, s_client, yaml};
use crate::support::backend::{Backend, Options};
use crate::support::certificates::Authority;
use crate::support::client::{Client, message};
use crate::support::gateway::{Gateway, PORTS};
use crate::support::http1::Recorder;

const SERVER: &str = "cert: server.pem, key: server.key, client_ca: ca.pem";

/// The arguments of a client with the certificate NAME.
fn with(name: &str) -> String {
    format!("-cert {name}.pem -key {name}.key")
}

#[tokio::test]
async fn clients_are_chosen_by_their_certificates() {
    let authority = Authority::new();
    authority.issue("server", "gateway.test");
    authority.issue_as("web", &["spiffe://shop/web", "web.test"]);
    authority.issue_as("two", &["spiffe://shop/web", "spiffe://shop/two"]);
    let stranger = Authority::new();
    stranger.issue_as("stranger", &["spiffe://shop/web"]);
    for ending in ["pem", "key"] {
        let file = format!("stranger.{ending}");
        std::fs::copy(stranger.folder().join(&file), authority.folder().join(&file)).unwrap();
    }
    let (web, two, strange) = (with("web"), with("two"), with("stranger"));
    for (rest, let_in) in [
        ("", [false, true, true, false]),
        (", client_auth: optional", [true, true, true, false]),
        (", allowed_clients: [ \"spiffe://shop/*\" ]", [false, true, false, false]),
        (", allowed_clients: [ \"spiffe://shop/two\", \"*.test\" ]", [false, true, false, false]),
        (", client_auth: optional, allowed_clients: [ other.test ]", [true, false, false, false]),
    ] {
        let gateway =
            Gateway::start_in(&yaml(&format!("{SERVER}{rest}"), ""), authority.folder()).await;
        for version in ["-tls1_3", "-tls1_2"] {
            for (arguments, let_in) in ["", &web, &two, &strange].into_iter().zip(let_in) {
                let arguments = format!("{version} {arguments}");
                let said = s_client(gateway.front(), &authority, &arguments).await;
                assert_eq!(is_answered(&said), let_in, "{rest} {arguments}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn who_is_revoked_does_not_come_in_by_an_older_ticket() {
    let authority = Authority::new();
    let folder = authority.folder();
    authority.issue("server", "gateway.test");
    authority.issue("good", "good.test");
    authority.issue("bad", "bad.test");
    authority.revoke("none.crl", &[], 2050);
    authority.revoke("bad.der", &["bad"], 2050);
    authority.revoke("old.crl", &["bad"], 2025);
    let by = |list: &str| yaml(&format!("{SERVER}, client_crls: [ {list} ]"), "");
    for version in ["-tls1_3", "-tls1_2"] {
        let mut gateway = Gateway::start_in(&by("none.crl"), folder).await;
        for (name, how) in [("good", "New"), ("bad", "New"), ("good", "Reused"), ("bad", "Reused")]
        {
            let session = if how == "New" { "out" } else { "in" };
            let arguments = format!("{version} {} -sess_{session} {name}.session", with(name));
            let said = s_client(gateway.front(), &authority, &arguments).await;
            assert!(
                is_answered(&said) && said.contains(&format!("{how}, TLSv1.")),
                "{name} {said}"
            );
        }
        let again = async |gateway: &Gateway, name: &str| {
            let arguments = format!("{version} {} -sess_in {name}.session", with(name));
            let said = s_client(gateway.front(), &authority, &arguments).await;
            assert!(!said.contains("Reused, "), "{name}: {said}");
            is_answered(&said)
        };
        assert!(gateway.reload_in(&by("bad.der"), folder).await);
        assert!(again(&gateway, "good").await);
        assert!(!again(&gateway, "bad").await);
        // A list that has expired: nobody is let in, unless it is to hold on.
        assert!(gateway.reload_in(&by("old.crl"), folder).await);
        assert!(!again(&gateway, "good").await);
        let apply = yaml(&format!("{SERVER}, client_crls: [ old.crl ], expired_crls: apply"), "");
        assert!(gateway.reload_in(&apply, folder).await);
        assert!(again(&gateway, "good").await);
        assert!(!again(&gateway, "bad").await);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn whom_an_authority_without_a_list_has_certified_is_refused() {
    let [authority, other] = [Authority::new(), Authority::new()];
    let folder = authority.folder();
    authority.issue("server", "gateway.test");
    authority.issue("good", "good.test");
    other.issue("other", "other.test");
    authority.revoke("none.crl", &[], 2050);
    other.revoke("other.crl", &[], 2050);
    let beside = |name: &str| std::fs::read(other.folder().join(name)).unwrap();
    for name in ["other.pem", "other.key", "other.crl"] {
        std::fs::write(folder.join(name), beside(name)).unwrap();
    }
    let both = [std::fs::read(folder.join("ca.pem")).unwrap(), beside("ca.pem")].concat();
    std::fs::write(folder.join("both.pem"), both).unwrap();
    let server = SERVER.replace("ca.pem", "both.pem");
    let mut gateway = None;
    for (rest, let_in) in [
        ("", [true, true]),
        ("client_crls: [ none.crl ]", [true, false]),
        ("client_crls: [ none.crl ], missing_crls: accept", [true, true]),
        ("client_crls: [ none.crl, other.crl ]", [true, true]),
    ] {
        let yaml = yaml(&format!("{server}, {rest}"), "");
        match &mut gateway {
            None => gateway = Some(Gateway::start_in(&yaml, folder).await),
            Some(gateway) => assert!(gateway.reload_in(&yaml, folder).await),
        }
        for (name, let_in) in ["good", "other"].into_iter().zip(let_in) {
            let to = gateway.as_ref().unwrap().front();
            let said = s_client(to, &authority, &with(name)).await;
            assert_eq!(is_answered(&said), let_in, "{rest} {name}: {said}");
        }
    }
}

/// A client of the gateway's listener `at`, by HTTP/2.
async fn grpc(
    gateway: &Gateway,
    at: usize,
    authority: &Authority,
    who: Option<Identity>,
) -> Client {
    let address = gateway.fronts()[at];
    let tls = ClientTlsConfig::new().ca_certificate(authority.certificate());
    let tls = tls.domain_name("gateway.test");
    let tls = who.into_iter().fold(tls, ClientTlsConfig::identity);
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    Client::new(endpoint.tls_config(tls).unwrap().connect().await.unwrap())
}

#[tokio::test]
async fn a_route_is_for_the_clients_it_names() {
    let authority = Authority::new();
    authority.issue("server", "gateway.test");
    let web = authority.issue_as("web", &["spiffe://shop/web"]);
    let other = authority.issue_as("other", &["spiffe://shop/other"]);
    let backend = Backend::with(Options::default()).await;
    let listeners = format!(
        "listeners: [ {{ address: 127.0.0.1:0, tls: {{ {SERVER}, client_auth: optional }} }}, \
         {{ address: 127.0.0.1:0 }} ]"
    );
    let yaml = format!(
        "{}services: {{ echo: {{ endpoints: [ {{ address: {} }} ] }} }}\n\
         routes: [ {{ service: echo, allowed_clients: [ \"spiffe://shop/web\" ] }} ]\n",
        PORTS.replace("listeners: [ { address: 127.0.0.1:0 } ]", &listeners),
        backend.address
    );
    let gateway = Gateway::start_in(&yaml, authority.folder()).await;
    for who in [None, Some(other)] {
        let mut client = grpc(&gateway, 0, &authority, who).await;
        let refused = client.unary(message("x")).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
        assert_eq!(refused.message(), "this route is for clients with other certificates");
    }
    let mut clear = crate::support::client::connect(gateway.fronts()[1]).await;
    assert_eq!(clear.unary(message("x")).await.unwrap_err().code(), Code::PermissionDenied);
    let said = s_client(gateway.front(), &authority, "").await;
    assert!(said.contains("HTTP/1.1 403 ") && said.contains("other certificates"), "{said}");
    assert_eq!(backend.seen.requests(), 0);
    let mut client = grpc(&gateway, 0, &authority, Some(web)).await;
    client.unary(message("x")).await.unwrap();
    assert_eq!(backend.seen.requests(), 1);
    let page = gateway.metrics().await;
    assert_eq!(page.value("equipoise_rejected_total", &[("reason", "forbidden")]), 4.0);
}

/// The lines about certificates that a backend is told.
async fn told(tls: &str, forwarded: &str, client: &str) -> Vec<String> {
    let authority = Authority::new();
    authority.issue_as("server", &["gateway.test", "spiffe://shop/gateway"]);
    authority.issue_as("web", &["spiffe://shop/web", "web.test"]);
    let backend = Recorder::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let yaml = yaml(tls, forwarded)
        .replace("match: { path: /none }, ", "")
        .replace("127.0.0.1:1 }", &format!("{} }}", backend.address))
        .replace("echo: {", "echo: { protocol: http1,");
    let gateway = Gateway::start_in(&yaml, authority.folder()).await;
    let said = s_client(gateway.front(), &authority, client).await;
    assert!(said.contains("HTTP/1.1 200 "), "{said}");
    let seen = backend.seen();
    let about = seen.lines().filter(|line| line.starts_with("x-forwarded-client-cert"));
    about.map(str::to_owned).collect()
}

#[tokio::test]
async fn backends_are_told_of_a_certificate() {
    let optional = format!("{SERVER}, client_auth: optional");
    let all = ", forwarded: { client_cert: [ hash, subject, uri, dns ] }";
    let web = with("web");
    assert!(told(&optional, "", &web).await.is_empty());
    assert!(told(&optional, all, "").await.is_empty());
    for version in ["-tls1_3", "-tls1_2"] {
        let about = told(&optional, all, &format!("{web} {version}")).await;
        let [line] = &about[..] else { panic!("{about:?}") };
        let (begin, rest) = line.split_once("Hash=").unwrap();
        assert_eq!(begin, "x-forwarded-client-cert: By=spiffe://shop/gateway;");
        let (hash, rest) = rest.split_once(';').unwrap();
        assert_eq!(hash.len(), 64);
        assert_eq!(rest, "Subject=\"CN=web\";URI=spiffe://shop/web;DNS=web.test");
    }
}
