//! Splits of routes, listed and changed at run time.

use std::path::Path;

use serde_json::json;

use super::ctl::run;
use super::*;

const SHARES: &str = "[ { service: orders, weight: 90 }, { service: carts, weight: 10 } ]";

fn yaml(routes: &str) -> String {
    format!(
        "listeners: [ {{ address: 127.0.0.1:0 }} ]\nservices:\n  orders: {{ endpoints: [ {{ address: \
         a:1 }} ] }}\n  carts: {{ endpoints: [ {{ address: b:1 }} ] }}\nroutes:\n{routes}"
    )
}

fn checkout(shares: &str) -> String {
    format!("  - {{ name: checkout, match: {{ path_prefix: /shop }}, split: {shares} }}\n")
}

const OTHERS: &str = "  - { name: old, match: { path: /old }, redirect: { path: /new } }\n  \
                      - { name: plain, service: orders }\n";

struct Split {
    gateway: Gateway,
    carts: Arc<Service>,
}

impl Split {
    async fn start(routes: &str) -> Split {
        let split =
            Split { gateway: Gateway::start().await, carts: service("carts", &[("c:1", 1)]) };
        split.reload(routes).await;
        split
    }

    async fn reload(&self, routes: &str) {
        let plan = equipoise::config::parse(&yaml(routes), Path::new("")).unwrap();
        let services = [&self.gateway.orders, &self.carts].map(|it| Arc::clone(it).into());
        self.gateway.registry.publish(plan.routes, services.into()).await;
    }

    async fn ctl(&self, line: &str) -> String {
        run(&self.gateway, line).await.unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    async fn refused(&self, line: &str) -> (u8, String) {
        let error = run(&self.gateway, line).await.unwrap_err();
        (error.exit_code(), error.to_string())
    }

    /// Revision, and for each share its name, weight and configured weight.
    async fn seen(&self, route: &str) -> (u64, Vec<(String, u64, u64)>) {
        let text = self.ctl(&format!("split {route} --output json")).await;
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let split = &json["splits"][0];
        let shares = split["shares"].as_array().unwrap().iter().map(|share| {
            let number = |key| share[key].as_u64().unwrap();
            let name = share["name"].as_str().unwrap().to_owned();
            (name, number("weight"), number("configured_weight"))
        });
        (split["revision"].as_u64().unwrap(), shares.collect())
    }

    /// The services that the data path picks.
    fn weights(&self, path: &str) -> Vec<u32> {
        let routing = self.gateway.registry.routing();
        let query = equipoise::route::RouteQuery {
            authority: b"",
            path: path.as_bytes(),
            method: b"GET",
            grpc: false,
            fields: &Vec::<(String, String)>::new(),
        };
        match routing.routes.find(&query) {
            Some(equipoise::route::Route::Forward(forward)) => {
                forward.split.shares().iter().map(|share| share.weight).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn shares(shares: &[(&str, u64, u64)]) -> Vec<(String, u64, u64)> {
    shares.iter().map(|(name, now, configured)| ((*name).into(), *now, *configured)).collect()
}

#[tokio::test]
async fn a_split_is_shown_and_changed_at_once() {
    let split = Split::start(&(checkout(SHARES) + OTHERS)).await;
    let expected = "\
checkout: { path_prefix: /shop }, by chance, revision 1
SERVICE  WEIGHT   SHARE  CONFIGURED
orders       90  90.0 %          90
carts        10  10.0 %          10
";
    assert_eq!(split.ctl("split").await, expected);
    let answer = split.ctl("set-split checkout carts=30 --expected-revision 1").await;
    assert_eq!(
        answer,
        "the split of checkout is now at revision 2; it is lost when the gateway ends\n"
    );
    assert_eq!(split.weights("/shop"), [90, 30]);
    let shown = split.ctl("split checkout").await;
    assert!(shown.contains("carts        30  25.0 %          10"), "{shown}");
    assert!(shown.contains("carts weight 30, configured 10; by 127.0.0.1:"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let answer = split.ctl("set-split checkout orders=0 carts=1 --output json").await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer, json!({ "route": "checkout", "revision": 3, "durable": false }));
    assert_eq!(split.weights("/shop"), [0, 1]);
    let explained = split.ctl("route --path /shop").await;
    assert!(explained.contains("to carts: 1 of 1"), "{explained}");
    split.ctl("reset-split checkout --expected-revision 3").await;
    assert_eq!(split.seen("checkout").await, (4, shares(&[("orders", 90, 90), ("carts", 10, 10)])));
    assert_eq!(split.weights("/shop"), [90, 10]);
}

#[tokio::test]
async fn refused_changes_change_nothing() {
    let split = Split::start(&(checkout(SHARES) + OTHERS)).await;
    let cases = [
        ("set-split chekout carts=1", 3, "did you mean `checkout`?"),
        ("split nothing", 3, "no route `nothing`"),
        ("set-split checkout carts=1 --expected-revision 2", 4, "at revision 1"),
        ("set-split checkout carts=0 orders=0", 4, "all weights are 0"),
        ("set-split checkout users=1", 4, "has no share for `users`; it has `carts`, `orders`"),
        ("set-split checkout carts=1000001", 4, "weights are 0 to 1000000"),
        ("set-split old carts=1", 4, "redirects"),
        ("set-split plain orders=0", 4, "all weights are 0"),
        ("set-split checkout carts=1 carts=2", 2, "twice"),
        ("reset-split checkout --expected-revision 7", 4, "at revision 1"),
    ];
    for (line, code, part) in cases {
        let (exit, error) = split.refused(line).await;
        assert_eq!(exit, code, "{line}: {error}");
        assert!(error.contains(part), "{line}: {error}");
        assert_eq!(split.weights("/shop"), [90, 10], "{line}");
        assert_eq!(split.seen("checkout").await.0, 1, "{line}");
    }
}

#[tokio::test]
async fn a_split_override_survives_reloads_while_the_share_exists() {
    let split = Split::start(&checkout(SHARES)).await;
    split.ctl("set-split checkout carts=50").await;
    split.reload(&(checkout(SHARES) + OTHERS)).await;
    assert_eq!(split.seen("checkout").await, (2, shares(&[("orders", 90, 90), ("carts", 50, 10)])));
    assert_eq!(split.weights("/shop"), [90, 50]);
    split
        .reload(&checkout("[ { service: carts, weight: 7 }, { service: orders, weight: 8 } ]"))
        .await;
    assert_eq!(split.seen("checkout").await, (2, shares(&[("carts", 50, 7), ("orders", 8, 8)])));
    assert_eq!(split.weights("/shop"), [50, 8]);
    // A removed share comes back with its configured weight.
    split.reload(&checkout("[ { service: orders, weight: 8 } ]")).await;
    split.reload(&checkout(SHARES)).await;
    assert_eq!(split.seen("checkout").await, (2, shares(&[("orders", 90, 90), ("carts", 10, 10)])));
    // An override that leaves no share with weight is dropped in favour of the configuration.
    split.ctl("set-split checkout orders=0").await;
    split.reload(&checkout("[ { service: orders, weight: 1 } ]")).await;
    assert_eq!(split.weights("/shop"), [1]);
}

#[tokio::test]
async fn a_route_that_comes_back_repeats_no_revision() {
    let split = Split::start(&checkout(SHARES)).await;
    split.ctl("set-split checkout carts=50").await;
    split.ctl("set-split checkout carts=60").await;
    split.reload(OTHERS).await;
    split.reload(&checkout(SHARES)).await;
    // The time without the route took the fourth revision.
    assert_eq!(split.seen("checkout").await, (5, shares(&[("orders", 90, 90), ("carts", 10, 10)])));
}

#[tokio::test]
async fn shares_of_the_same_service_have_distinct_keys() {
    let twice = "[ { service: orders, weight: 1 }, { service: orders, weight: 2, request_headers: { \
                 set: { x-beta: 1 } } } ]";
    let split = Split::start(&checkout(twice)).await;
    split.ctl("set-split checkout orders#2=9").await;
    assert_eq!(split.seen("checkout").await.1, shares(&[("orders", 1, 1), ("orders#2", 9, 2)]));
    assert_eq!(split.weights("/shop"), [1, 9]);
}

#[tokio::test]
async fn changes_of_several_routes_do_not_get_into_each_others_way() {
    let routes =
        checkout(SHARES) + &checkout(SHARES).replace("checkout", "c2").replace("/shop", "/x");
    let split = Split::start(&routes).await;
    split.ctl("set-split checkout carts=1 --expected-revision 1").await;
    split.ctl("set-split c2 carts=2 --expected-revision 1").await;
    assert_eq!((split.weights("/shop"), split.weights("/x")), (vec![90, 1], vec![90, 2]));
    let expected = split.ctl("split").await;
    assert_eq!(expected.matches("revision 2").count(), 2, "{expected}");
}
