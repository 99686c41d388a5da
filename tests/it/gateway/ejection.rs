//! Ejection: who answers with faults gets nothing for a while, and then one request at a time.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use equipoise::control::proto::BackendState::Ejected;
use equipoise::control::proto::EjectBackendRequest;

use crate::support::backend::Backend;
use crate::support::client::{self, Client, message, with};
use crate::support::eventually;
use crate::support::gateway::{Control, Gateway, one_service};

/// Longer than any test.
const LONG: &str = "time: 1h, max_time: 1h";

async fn three() -> [Backend; 3] {
    [Backend::start().await, Backend::start().await, Backend::start().await]
}

async fn gateway(backends: &[Backend], ejection: &str, balancer: &str) -> Gateway {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    let more = format!("ejection: {ejection}\nbalancer: {balancer}");
    Gateway::start(&one_service(&addresses, &more)).await
}

/// Calls until one is ejected; how many have failed by then.
async fn ejected(client: &mut Client, control: &mut Control, backend: &Backend) -> usize {
    let mut failed = 0;
    for _ in 0..1000 {
        failed += usize::from(client.unary(message("x")).await.is_err());
        let all = control.backends().await;
        if all.iter().any(|it| it.state() == Ejected && *it.address == backend.address.to_string())
        {
            return failed;
        }
    }
    panic!("nobody is ejected");
}

/// Who answers each of so many calls; all do.
async fn answers(client: &mut Client, calls: usize) -> BTreeMap<SocketAddr, usize> {
    let mut by_backend = BTreeMap::new();
    for _ in 0..calls {
        let answer = client.unary(message("x")).await.unwrap();
        *by_backend.entry(client::backend(&answer)).or_default() += 1;
    }
    by_backend
}

#[tokio::test]
async fn five_faults_in_a_row_eject_whatever_the_policy() {
    let key = "key: source_address";
    let policies = [
        "round_robin".to_owned(),
        "weighted_random".to_owned(),
        format!("{{ policy: maglev, {key} }}"),
        format!("{{ policy: consistent_hash, {key} }}"),
    ];
    for policy in policies {
        let backends = three().await;
        let gateway = gateway(&backends, &format!("{{ {LONG} }}"), &policy).await;
        let (mut control, mut client) = (gateway.control().await, gateway.client().await);
        let at = client::backend(&client.unary(message("x")).await.unwrap());
        let ill = backends.iter().find(|backend| backend.address == at).unwrap();
        ill.fail(true);
        let failed = ejected(&mut client, &mut control, ill).await;
        assert!(failed >= 5, "{policy}: {failed}");
        let seen = ill.seen.requests();
        let by_backend = answers(&mut client, 60).await;
        assert!(!by_backend.contains_key(&at), "{policy}: {by_backend:?}");
        assert_eq!(ill.seen.requests(), seen, "{policy}");
        let all = control.backends().await;
        let told = all.iter().find(|backend| *backend.address == at.to_string()).unwrap();
        assert!(told.state_reason.ends_with(" faults in a row"), "{}", told.state_reason);
        assert_eq!((told.weight, told.effective_weight), (1, 0));
        assert!(told.state_seconds.is_some() && told.state_left_seconds > Some(1000.0));
        let page = gateway.metrics().await;
        let counted = page.samples("equipoise_ejections_total");
        assert_eq!(counted.len(), 1, "{counted:?}");
    }
}

#[tokio::test]
async fn who_still_fails_gets_trials_alone_and_who_is_well_is_back() {
    let backends = three().await;
    let gateway = gateway(&backends, "{ time: 50ms, max_time: 100ms }", "round_robin").await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    backends[1].fail(true);
    ejected(&mut client, &mut control, &backends[1]).await;
    let relapses = async |control: &mut Control| {
        control.backends().await[1].state_reason.contains("a fault on trial")
    };
    while !relapses(&mut control).await {
        let _ = client.unary(message("x")).await;
    }
    backends[1].fail(false);
    eventually("it is back", async || {
        let _ = client.unary(message("x")).await;
        control.backends().await[1].state() != Ejected
    })
    .await;
    assert_eq!(answers(&mut client, 30).await.len(), 3);
}

#[tokio::test]
async fn who_fails_much_more_often_than_the_others_is_ejected_for_its_success_ratio() {
    let backends = three().await;
    let settings = format!("{{ consecutive: 1000, {LONG} }}");
    let gateway = gateway(&backends, &settings, "round_robin").await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    backends[2].fail_one_in(2);
    eventually("it is ejected", async || {
        let _ = client.unary(message("x")).await;
        control.backends().await[2].state() == Ejected
    })
    .await;
    let told = control.backends().await.remove(2).state_reason;
    assert!(told.starts_with("succeeded ") && told.ends_with(", the others 100 %"), "{told}");
    assert!(!answers(&mut client, 30).await.contains_key(&backends[2].address));
    let counted = gateway.metrics().await.samples("equipoise_ejections_total").len();
    assert_eq!(counted, 1);
}

#[tokio::test]
async fn an_ejection_by_hand_whose_time_is_over_is_followed_by_a_trial() {
    let backends = three().await;
    let gateway = gateway(&backends, "true", "round_robin").await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    let request = EjectBackendRequest {
        service: "echo".into(),
        backend: backends[0].address.to_string(),
        time: Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 }),
        expected_revision: None,
        dry_run: false,
    };
    control.0.eject_backend(request).await.unwrap();
    eventually("it is on trial", async || {
        control.backends().await[0].state_reason == "on trial after an operator's ejection"
    })
    .await;
    assert_eq!(answers(&mut client, 30).await.len(), 3);
    eventually("it is back", async || control.backends().await[0].state() != Ejected).await;
}

#[tokio::test]
async fn no_more_than_half_of_them_are_ejected_and_a_single_one_never() {
    for (count, most) in [(1, 0), (2, 1), (3, 1)] {
        let mut backends = Vec::new();
        for _ in 0..count {
            backends.push(Backend::start().await);
        }
        let gateway = gateway(&backends, &format!("{{ {LONG} }}"), "round_robin").await;
        let (mut control, mut client) = (gateway.control().await, gateway.client().await);
        backends.iter().for_each(|backend| backend.fail(true));
        for _ in 0..60 {
            assert!(client.unary(message("x")).await.is_err());
        }
        let all = control.backends().await;
        let ejected = all.iter().filter(|backend| backend.state() == Ejected).count();
        assert_eq!(ejected, most, "of {count}");
    }
}

#[tokio::test]
async fn what_a_caller_brings_about_ejects_nobody_and_nothing_does_where_it_is_off() {
    let backends = three().await;
    let on = gateway(&backends, "{ consecutive: 1, time: 1h, max_time: 1h }", "round_robin").await;
    let (mut control, mut client) = (on.control().await, on.client().await);
    for code in ["12", "13", "2", "4"] {
        for _ in 0..6 {
            assert!(client.unary(with("x", "x-status", code)).await.is_err(), "{code}");
        }
    }
    assert!(control.backends().await.iter().all(|backend| backend.state() != Ejected));

    let off = gateway(&backends, "false", "round_robin").await;
    let (mut control, mut client) = (off.control().await, off.client().await);
    backends[0].fail(true);
    for _ in 0..60 {
        let _ = client.unary(message("x")).await;
    }
    assert!(control.backends().await.iter().all(|backend| backend.state() != Ejected));
}
