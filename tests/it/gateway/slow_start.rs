//! Slow start: a newcomer gets a part of its share, and all who ask are told.

use equipoise::control::proto::{self, BackendState};
use serde_json::Value;

use super::draining::{ctl, over};
use crate::support::backend::Backend;
use crate::support::client::message;
use crate::support::gateway::{Gateway, one_service};

/// It has a tenth of its share for longer than any test takes.
const SETTINGS: &str = "slow_start: 1h\nbalancer: round_robin";

#[tokio::test]
async fn a_newcomer_gets_a_part_of_its_share_and_all_who_ask_are_told() {
    let backends = [Backend::start().await, Backend::start().await, Backend::start().await];
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    let yaml = one_service(&addresses[..2], SETTINGS).replace("workers: 2", "workers: 1");
    let gateway = Gateway::start(&yaml).await;
    let (mut control, mut client) = (gateway.control().await, gateway.client().await);
    for backend in control.backends().await {
        assert_eq!(backend.ramp, None, "who is there from the start has its share");
    }
    let address = addresses[2].to_string();
    control.add_at(&address).await;
    for _ in 0..400 {
        client.unary(message("x")).await.unwrap();
    }
    let seen = backends[2].seen.requests();
    assert!((12..=15).contains(&seen), "{seen}: a tenth of a third");

    let ready = |all: &[proto::Backend]| all[2].state() == BackendState::Ready;
    let told = control.backends_once("it is connected", ready).await[2].clone();
    assert_eq!((told.weight, told.effective_weight, told.ramp), (1, 1, Some(0.1)));
    assert_eq!(told.state_reason, "starting: 10 % of its share");
    let page = gateway.metrics().await;
    let weight = |address: &str| page.value("equipoise_backend_weight", &[("backend", address)]);
    assert_eq!((weight(&address), weight(&addresses[0].to_string())), (0.1, 1.0));
    let backend = [("backend", &*address), ("state", "READY")];
    assert_eq!(page.value("equipoise_backend_state", &backend), 1.0);

    let table = over(ctl(&gateway, "backends")).await.0;
    let row = table.lines().find(|line| line.starts_with(&address)).unwrap();
    assert!(row.contains(" STARTING "), "{table}");
    let json: Value =
        serde_json::from_str(&over(ctl(&gateway, "backends --output json")).await.0).unwrap();
    let [first, .., last] = &json["services"][0]["backends"].as_array().unwrap()[..] else {
        panic!("{json}");
    };
    assert_eq!((&last["state"], &last["ramp"]), (&"READY".into(), &0.1.into()));
    assert_eq!((&first["state"], &first["ramp"]), (&"READY".into(), &Value::Null));
    let service = json["services"][0]["name"].as_str().unwrap();
    let explained = over(ctl(&gateway, &format!("explain {service} --output json"))).await.0;
    let explained: Value = serde_json::from_str(&explained).unwrap();
    let it = &explained["backends"][2];
    assert_eq!((&it["why"], &it["ramp"]), (&"starting: 10 % of its share".into(), &0.1.into()));
    let expected = it["expected_share"].as_f64().unwrap();
    assert!((0.02..0.05).contains(&expected), "{explained}");
}
