//! Our server.

use std::collections::BTreeMap;

use equipoise::http::{Connection as _, ErrorCode, Headers, Key};
use fastrand::Rng;
use tokio::io::DuplexStream;

use super::ours::{Ours, Then, Told};
use super::plan::{Plan, Way};

struct Exchange {
    key: Key,
    plan: Plan,
    received: Vec<u8>,
    heard: bool,
    /// What is left of the response, once it has begun.
    body: Option<Vec<u8>>,
}

/// Answers until the client closes, and leaves after some requests.
pub async fn run(io: DuplexStream, mut rng: Rng) {
    let mut ours = Ours::server(io, &mut rng);
    let mut exchanges: BTreeMap<u32, Exchange> = BTreeMap::new();
    let mut left = rng.usize(100..400);
    loop {
        exchanges.retain(|_, exchange| talk(&mut ours, exchange, &mut rng));
        if ours.over {
            break;
        }
        for told in ours.turn(&mut rng).await {
            if matches!(told, Told::Head(..)) {
                left = left.saturating_sub(1);
                match left {
                    20 => ours.conn.announce_leave([9; 8]),
                    0 => ours.conn.leave(),
                    _ => {}
                }
            }
            hear(&mut exchanges, told);
        }
    }
    assert!(exchanges.is_empty(), "the client closed early");
}

fn hear(exchanges: &mut BTreeMap<u32, Exchange>, told: Told) {
    match told {
        Told::Head(key, headers, end) => {
            let exchange = begin(key, &headers, end);
            exchanges.insert(key.id(), exchange);
        }
        Told::Data(key, payload, end) => {
            if let Some(exchange) = exchanges.get_mut(&key.id()) {
                exchange.received.extend(payload);
                exchange.heard |= end;
            }
        }
        Told::Trailers(key, trailers) => {
            if let Some(exchange) = exchanges.get_mut(&key.id()) {
                assert_eq!(
                    (exchange.plan.way, trailers),
                    (Way::Trailers, exchange.plan.trailers())
                );
                exchange.heard = true;
            }
        }
        Told::Reset(key, _) => {
            if let Some(Exchange { plan, .. }) = exchanges.remove(&key.id()) {
                assert!(matches!(plan.way, Way::ClientResets | Way::Early), "{plan:?}");
            }
        }
        Told::GoAway => {}
    }
}

fn begin(key: Key, headers: &Headers, end: bool) -> Exchange {
    let plan = Plan::parse(headers.get_named(b"x-plan").unwrap());
    assert_eq!(headers.get_named(b":method"), Some(plan.method().as_bytes()));
    let fields =
        headers.iter().map(|field| (std::str::from_utf8(field.name).unwrap(), field.value));
    plan.check_fields(fields);
    Exchange { key, plan, received: Vec::new(), heard: end, body: None }
}

/// Goes on with an answer. Whether its exchange goes on.
fn talk(ours: &mut Ours, exchange: &mut Exchange, rng: &mut Rng) -> bool {
    let Exchange { key, plan, received, heard, body } = exchange;
    if !*heard && !matches!(plan.way, Way::Early) {
        return true;
    }
    if *heard {
        assert!(*received == plan.request_body(), "{plan:?}");
    }
    let then = match plan.way {
        Way::ServerResets => Then::Reset(ErrorCode::INTERNAL_ERROR),
        Way::Trailers => Then::Trailers(plan.trailers()),
        _ => Then::End,
    };
    let Some(body) = body else {
        let whole = plan.response_body();
        let end = whole.is_empty() && matches!(then, Then::End);
        if ours.conn.send_head(*key, &plan.response(), end).is_err() {
            return false;
        }
        *body = Some(whole);
        if end {
            ours.conn.discard(*key);
        }
        return !end;
    };
    let said = ours.send(*key, body, then, rng);
    if said {
        ours.conn.discard(*key);
    }
    !said
}
