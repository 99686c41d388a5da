//! Backends from a watched file.

use std::net::SocketAddr;
use std::path::Path;

use equipoise::control::proto::BackendState;
use equipoise::control::proto::{ListSourcesRequest, Source};
use tempfile::TempDir;

use super::{discovered, list};
use crate::support::backend::Backend;
use crate::support::client::{self, held, message};
use crate::support::eventually;
use crate::support::gateway::{Control, Gateway};

const SETTINGS: &str = "balancer: round_robin";

/// Renamed into its place, as careful writers do.
fn write(folder: &TempDir, text: &str) {
    let new = folder.path().join("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, folder.path().join("backends.yaml")).unwrap();
}

async fn gateway(folder: &Path, keys: &str) -> Gateway {
    let source = format!("{{ file: {}, {keys} }}", folder.join("backends.yaml").display());
    Gateway::start(&discovered(&source, SETTINGS)).await
}

async fn members(control: &mut Control) -> Vec<String> {
    control.backends().await.into_iter().map(|backend| backend.address).collect()
}

async fn source(control: &mut Control) -> Source {
    let request = ListSourcesRequest { service: "echo".into() };
    control.0.list_sources(request).await.unwrap().into_inner().sources.remove(0)
}

fn texts(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn backends_come_and_go_with_the_file_and_requests_in_flight_finish() {
    let [a, b, c] = [Backend::start().await, Backend::start().await, Backend::start().await];
    let folder = tempfile::tempdir().unwrap();
    write(&folder, &list(&[a.address, b.address]));
    let gateway = gateway(folder.path(), "").await;
    let mut client = gateway.client().await;
    for _ in 0..10 {
        client.unary(message("x")).await.unwrap();
    }
    assert!(a.seen.requests() > 0 && b.seen.requests() > 0, "the start waits for the first set");
    let mut control = gateway.control().await;
    let mut waiting = client.clone();
    let held = tokio::spawn(async move { waiting.unary(held()).await });
    eventually("one waits", async || a.seen.active() + b.seen.active() == 1).await;
    let (busy, idle) = if a.seen.active() == 1 { (&a, &b) } else { (&b, &a) };
    write(&folder, &list(&[idle.address, c.address]));
    let expected = texts(&[idle.address, c.address]);
    eventually("it follows", async || members(&mut control).await == expected).await;
    for _ in 0..20 {
        let answer = client.unary(message("x")).await.unwrap();
        assert_ne!(client::backend(&answer), busy.address);
    }
    busy.release();
    assert_eq!(client::backend(&held.await.unwrap().unwrap()), busy.address);
    let page = gateway.metrics().await;
    let labels = [("service", "echo"), ("source", "file")];
    assert_eq!(page.value("equipoise_discovery_up", &labels), 1.0);
    assert_eq!(page.value("equipoise_discovery_endpoints", &labels), 2.0);
    assert_eq!(page.value("equipoise_discovery_updates_total", &labels), 2.0);
    gateway.idle().await;
}

#[tokio::test]
async fn weights_zones_and_drains_are_taken_from_it() {
    let backends = [Backend::start().await, Backend::start().await];
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = [backends[0].address, backends[1].address];
    let entries = |draining: bool| {
        format!(
            "- {{ address: '{a}', weight: 3, zone: east, instance: x1, team: shop }}\n- {{ address: '{b}', draining: {draining} }}\n"
        )
    };
    write(&folder, &entries(true));
    let gateway = gateway(folder.path(), "").await;
    let mut control = gateway.control().await;
    let [first, second] = &control.backends().await[..] else { panic!("two") };
    assert_eq!((first.weight, &*first.zone, &*first.instance), (3, "east", "x1"));
    assert_eq!(first.metadata["team"], "shop");
    assert_eq!((second.state(), second.effective_weight), (BackendState::Draining, 0));
    assert!(second.state_reason.starts_with("terminating"), "{}", second.state_reason);
    let mut client = gateway.client().await;
    for _ in 0..10 {
        let answer = client.unary(message("x")).await.unwrap();
        assert_eq!(client::backend(&answer), a);
    }
    write(&folder, &entries(false));
    eventually("it serves", async || control.backends().await[1].effective_weight == 1).await;
    control.set_weights(&[(b, 7)]).await;
    assert_eq!(control.backends().await[1].weight, 7, "operators have the last word");
}

#[tokio::test]
async fn a_file_that_is_gone_bad_or_empty_removes_nobody() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().unwrap();
    write(&folder, &list(&[backend.address]));
    let gateway = gateway(folder.path(), "").await;
    let mut control = gateway.control().await;
    let mut client = gateway.client().await;
    for (text, says) in [
        (Some("{ a: 1 }"), "a list of backends"),
        (Some("[ 'x', '0.0.0.0:1' ]"), "the address of no single backend"),
        (Some("[ "), "neither YAML nor JSON"),
        (None, "reading"),
    ] {
        match text {
            Some(text) => write(&folder, text),
            None => std::fs::remove_file(folder.path().join("backends.yaml")).unwrap(),
        }
        eventually(says, async || source(&mut control).await.last_error.contains(says)).await;
        client.unary(message("x")).await.unwrap();
        assert_eq!(members(&mut control).await, texts(&[backend.address]));
    }
    assert!(!source(&mut control).await.up);
    write(&folder, "[]");
    eventually("it is held", async || source(&mut control).await.held_backends == 1).await;
    client.unary(message("x")).await.unwrap();
    write(&folder, &list(&[backend.address]));
    eventually("it is back", async || source(&mut control).await.held_backends == 0).await;
}

#[tokio::test]
async fn who_is_lost_may_be_taken_out_at_once() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().unwrap();
    write(&folder, &list(&[backend.address]));
    let gateway = gateway(folder.path(), "allow_empty: true").await;
    let mut control = gateway.control().await;
    write(&folder, "[]");
    eventually("none are left", async || members(&mut control).await.is_empty()).await;
    let mut client = gateway.client().await;
    assert_eq!(client.unary(message("x")).await.unwrap_err().code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn the_start_does_not_wait_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path(), "initial_timeout: 10ms").await;
    let backend = Backend::start().await;
    write(&folder, &list(&[backend.address]));
    let mut client = gateway.client().await;
    eventually("it is found", async || client.unary(message("x")).await.is_ok()).await;
}

#[tokio::test]
async fn a_reload_changes_the_source_and_unites_it_with_endpoints() {
    let [a, b] = [Backend::start().await, Backend::start().await];
    let folder = tempfile::tempdir().unwrap();
    write(&folder, &list(&[a.address]));
    let source = format!("{{ file: {} }}", folder.path().join("backends.yaml").display());
    let mut gateway = Gateway::start(&discovered(&source, SETTINGS)).await;
    let mut control = gateway.control().await;
    let both = format!("{SETTINGS}\nendpoints: [ '{}' ]", b.address);
    assert!(gateway.reload(&discovered(&source, &both)).await);
    assert_eq!(members(&mut control).await, texts(&[b.address, a.address]));
    let mut client = gateway.client().await;
    for _ in 0..10 {
        client.unary(message("x")).await.unwrap();
    }
    assert!(a.seen.requests() > 0 && b.seen.requests() > 0);
    // Another source that has forgotten all removes nobody at once.
    std::fs::write(folder.path().join("other.yaml"), "[]").unwrap();
    let other = source.replace("backends.yaml", "other.yaml");
    assert!(gateway.reload(&discovered(&other, &both)).await);
    let held = async || self::source(&mut gateway.control().await).await.held_backends == 1;
    eventually("what was there is kept", held).await;
    assert_eq!(members(&mut control).await, texts(&[b.address, a.address]));
    let own = crate::support::gateway::one_service(&[b.address], "");
    assert!(gateway.reload(&own).await);
    assert_eq!(members(&mut control).await, texts(&[b.address]));
    assert!(gateway.metrics().await.samples("equipoise_discovery_up").is_empty());
}
