//! Our client.

use std::collections::{BTreeMap, VecDeque};

use equipoise::http::{Connection as _, ErrorCode, Headers, Key};
use fastrand::Rng;
use tokio::io::DuplexStream;

use super::ours::{Ours, Then, Told};
use super::plan::{Plan, Way};

struct Exchange {
    key: Key,
    plan: Plan,
    body: Vec<u8>,
    said: bool,
    received: Vec<u8>,
    head: bool,
}

/// Has exchanges until there are no more or the server leaves. What it never looked at is put
/// back.
pub async fn run(io: DuplexStream, queue: &mut VecDeque<Plan>, rng: &mut Rng) {
    let mut ours = Ours::client(io, rng);
    let mut exchanges = BTreeMap::new();
    loop {
        while ours.conn.available() > 0
            && exchanges.len() < 20
            && let Some(plan) = queue.pop_front()
        {
            let (key, exchange) = open(&mut ours, plan);
            exchanges.insert(key.id(), exchange);
        }
        exchanges.retain(|_, exchange| talk(&mut ours, exchange, rng));
        if exchanges.is_empty() && (queue.is_empty() || ours.conn.is_leaving()) {
            break;
        }
        for told in ours.turn(rng).await {
            hear(&mut ours, &mut exchanges, queue, told);
        }
        assert!(!ours.over, "the server closed with {} exchanges open", exchanges.len());
    }
    assert_eq!(ours.conn.open_streams(), 0);
    ours.close().await;
}

fn open(ours: &mut Ours, plan: Plan) -> (Key, Exchange) {
    let body = plan.request_body();
    let end = body.is_empty() && plan.way != Way::Trailers && plan.way != Way::ClientResets;
    let key = ours.conn.open(&plan.request(), end, 0).unwrap();
    let exchange = Exchange { key, plan, body, said: end, received: Vec::new(), head: false };
    (key, exchange)
}

/// Goes on with a request. Whether its exchange goes on.
fn talk(ours: &mut Ours, exchange: &mut Exchange, rng: &mut Rng) -> bool {
    let Exchange { key, plan, body, said, .. } = exchange;
    let then = match plan.way {
        Way::ClientResets => Then::Reset(ErrorCode::CANCEL),
        Way::Trailers => Then::Trailers(plan.trailers()),
        _ => Then::End,
    };
    *said = *said || ours.send(*key, body, then, rng);
    !(*said && plan.way == Way::ClientResets)
}

fn hear(
    ours: &mut Ours,
    exchanges: &mut BTreeMap<u32, Exchange>,
    queue: &mut VecDeque<Plan>,
    told: Told,
) {
    let id = match &told {
        Told::Head(key, ..)
        | Told::Data(key, ..)
        | Told::Trailers(key, _)
        | Told::Reset(key, _) => key.id(),
        Told::GoAway => return,
    };
    let Some(exchange) = exchanges.get_mut(&id) else {
        // The rest of one that had its answer before its request was out.
        return assert!(matches!(told, Told::Reset(..)));
    };
    let plan = exchange.plan;
    let over = match told {
        Told::Head(_, headers, end) => {
            check_head(plan, &headers);
            exchange.head = true;
            end
        }
        Told::Data(_, payload, end) => {
            exchange.received.extend(payload);
            end
        }
        Told::Trailers(_, trailers) => {
            assert_eq!((plan.way, trailers), (Way::Trailers, plan.trailers()));
            true
        }
        Told::Reset(_, ErrorCode::REFUSED_STREAM) => {
            queue.push_back(plan);
            exchanges.remove(&id);
            return;
        }
        Told::Reset(_, code) => {
            assert_eq!((plan.way, code), (Way::ServerResets, ErrorCode::INTERNAL_ERROR));
            assert!(plan.response_body().starts_with(&exchange.received));
            exchanges.remove(&id);
            return;
        }
        Told::GoAway => false,
    };
    if over {
        assert_ne!(plan.way, Way::ServerResets);
        assert!(exchange.head && exchange.received == plan.response_body(), "{plan:?}");
        assert!(exchange.said || plan.way == Way::Early);
        // What waits of the request may go on or be reset; nobody looks any more.
        ours.conn.discard(exchange.key);
        exchanges.remove(&id);
    }
}

fn check_head(plan: Plan, headers: &Headers) {
    assert_eq!(headers.get_named(b":status"), Some(plan.status().as_bytes()));
    let fields =
        headers.iter().map(|field| (std::str::from_utf8(field.name).unwrap(), field.value));
    plan.check_fields(fields);
}
