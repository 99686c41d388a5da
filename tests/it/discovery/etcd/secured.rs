//! Users and TLS.

use super::{backends, found_at, has_exactly, key, source};
use crate::support::certificates::Authority;
use crate::support::client::message;
use crate::support::etcd::Etcd;
use crate::support::eventually;
use crate::support::gateway::Gateway;

#[tokio::test]
async fn users_log_in_and_log_in_again() {
    let mut etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let [a, b] = backends().await;
    writer.put(&key("a"), a.address.to_string()).await;
    for command in [
        "user add root:rootpw",
        "user add gateway:p4ssword",
        "role add reader",
        "role grant-permission reader --prefix=true read /services/echo/",
        "user grant-role gateway reader",
        "user grant-role root root",
        "auth enable",
    ] {
        etcd.ctl(&command.split(' ').collect::<Vec<_>>());
    }
    let endpoint = [format!("http://{}", etcd.address)];
    let with = |user: &str| found_at(&endpoint, &format!("{user} timeout: 60s"), "");
    let without = with("").replace("initial_timeout: 60s", "initial_timeout: 10ms");
    let mut gateway = Gateway::start(&without).await;
    let mut control = gateway.control().await;
    for (user, says) in [
        ("", "set `user` and `password`"),
        ("user: gateway, password: wrong,", "invalid user ID or password"),
    ] {
        assert!(gateway.reload(&with(user)).await);
        eventually(says, async || source(&mut control).await.last_error.contains(says)).await;
    }
    assert!(gateway.reload(&with("user: gateway, password: p4ssword,")).await);
    has_exactly(&mut control, &[a.address]).await;
    gateway.client().await.unary(message("x")).await.unwrap();
    let seen = source(&mut control).await;
    assert!(seen.up && !format!("{seen:?}").contains("p4ssword"), "{seen:?}");
    // Its tokens are gone with it.
    etcd.kill();
    etcd.start_again().await;
    let address = b.address.to_string();
    etcd.ctl(&["--user=root:rootpw", "put", &key("b"), &address]);
    has_exactly(&mut control, &[a.address, b.address]).await;
}

#[tokio::test]
async fn members_and_gateways_have_certificates() {
    let authority = Authority::new();
    authority.issue("etcd", "127.0.0.1");
    let identity = authority.issue("gateway", "gateway.internal");
    let etcd = Etcd::with_tls(authority.folder(), "etcd").await;
    let [backend] = backends().await;
    let mut writer = etcd.writer_by_tls(&authority, identity).await;
    writer.put(&key("a"), backend.address.to_string()).await;
    let endpoint = [format!("https://{}", etcd.address)];
    let with = |tls: &str| found_at(&endpoint, &format!("tls: {{ ca: ca.pem{tls} }}"), "");
    let bare = with("").replace("initial_timeout: 60s", "initial_timeout: 10ms");
    let mut gateway = Gateway::start_in(&bare, authority.folder()).await;
    let mut control = gateway.control().await;
    eventually("who has none is refused", async || {
        let source = source(&mut control).await;
        !source.up && !source.last_error.is_empty()
    })
    .await;
    let certified = with(", cert: gateway.pem, key: gateway.key");
    assert!(gateway.reload_in(&certified, authority.folder()).await);
    has_exactly(&mut control, &[backend.address]).await;
    gateway.client().await.unary(message("x")).await.unwrap();
    let misnamed = certified.replace("ca.pem,", "ca.pem, server_name: elsewhere.internal,");
    assert!(gateway.reload_in(&misnamed, authority.folder()).await);
    eventually("the member has another name", async || {
        source(&mut control).await.last_error.contains("certificate")
    })
    .await;
    has_exactly(&mut control, &[backend.address]).await;
}
