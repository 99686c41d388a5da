//! Keys of services: endpoints, protocol, TLS, balancer.

use std::sync::Arc;
use std::time::Duration;

use super::retry::RETRY_BUDGET;
use super::texts::{ENDPOINT_ADDRESS, METHOD, PERCENTAGE, ZONE};
use super::{
    CLIENT_TLS, CONCURRENCY, DAY, DISCOVER, EJECTION, HEALTH, HOUR, KEEPALIVE, LIMITS, MINUTE, MS,
};
use crate::balance::{POLICIES, Policy};
use crate::config::health::percentage;
use crate::config::service::{method, zone};
use crate::model::Address;
use crate::service::{
    Balancer, ENDPOINT_DRAIN_TIMEOUT, MAX_BACKENDS, MAX_WEIGHT, PANIC, PRECONNECT, SLOW_START,
    UpstreamProtocol,
};
use crate::text::keys::{
    Absent, Form, Key, List, Many, Part, Setting, Shape, Short, Word, boolean, duration, number,
    section, text, word, words,
};

impl Word for UpstreamProtocol {
    const WORDS: &'static [(&'static str, UpstreamProtocol)] = &[
        ("grpc", UpstreamProtocol::Grpc),
        ("http2", UpstreamProtocol::Http2),
        ("http1", UpstreamProtocol::Http1),
    ];
}

const fn wait() -> Form<Duration> {
    duration(MS..=Duration::from_secs(10 * MINUTE.as_secs()))
}

section! {
    /// A service.
    pub static SERVICE: Service = "services.*";

    protocol: Setting<UpstreamProtocol> = word(), UpstreamProtocol::Grpc,
        "what the endpoints speak; gRPC cannot go to `http1`";
    balancer: Part = Shape::Mapping(&BALANCER), Absent::Nothing, "how requests are spread";
    endpoints: Part = Shape::Mappings(&ENDPOINT, Many::UpTo(MAX_BACKENDS)), Absent::Nothing,
        "the backends. A service has these, `discover`, or both";
    discover: Part = Shape::Mapping(&DISCOVER), Absent::Nothing,
        "a [source](discovery.md) that tells which backends there are, beside `endpoints`";
    streams: List<String> = text(&METHOD, method, Clone::clone), Many::Any, Absent::Nothing,
        "`shop.Orders/Watch`: what is known to stream. Of the other methods it is learnt, by what \
         backends send";
    tls: Part = Shape::Mapping(&CLIENT_TLS), Absent::Nothing,
        "TLS to the endpoints; clear text without";
    connect_timeout: Key<Duration> = wait(), Absent::value("1s"),
        "to look up the name and connect, with TLS and the first SETTINGS; then another endpoint is \
         tried. Of a name whose addresses are not known yet the next one is tried beside the one before after \
         250 ms, or a quarter of this if that is less, and the first that is ready is taken";
    max_connections: Key<usize> = number(1..=10_000), Absent::value("8"),
        "from one worker to one endpoint, and as many again that \
         [rest](operating.md#cancellations); with `protocol: http1` the default is 1024, as each \
         carries one request";
    max_pending: Key<usize> = number(0..=1_000_000), Absent::value("1024"),
        "requests of one worker that may wait for a stream to one endpoint; more are sent elsewhere \
         or answered UNAVAILABLE, 503";
    pending_timeout: Key<Duration> = wait(), Absent::value("1s"),
        "how long they may wait; then the same. And for how long requests wait for the first backend \
         that is back, when all are [down](operating.md#backends-that-are-down)";
    preconnect: Setting<usize> = number(0..=MAX_BACKENDS as u64), PRECONNECT,
        "of so many endpoints, the first that are not drained, one worker keeps a connection that no \
         request has asked for, and makes it again when it is gone: see \
         [states](operating.md#states); of `http1` it is ended as soon as it is made. All services \
         together have a quarter of the descriptors for this";
    endpoint_drain_timeout: Setting<Duration> = duration(Duration::ZERO..=DAY), ENDPOINT_DRAIN_TIMEOUT,
        "how long requests in flight may take at a backend that a reload, `ctl remove` or `ctl reset` \
         has taken away; what is left then ends with UNAVAILABLE, 503. 0s is never. `ctl drain` has \
         its own limit, and who is UNHEALTHY or EJECTED keeps what is open";
    health: Part = Shape::Mapping(&HEALTH), Absent::Nothing,
        "how backends are checked: those that cannot answer get no new requests, and are UNHEALTHY. \
         Services that check an address in the same way share the check";
    ejection: Part = Shape::Mapping(&EJECTION), Absent::Words("as the table below has it"),
        "when backends are ejected for what they answer, and for how long; `false` for never";
    panic: Setting<u8> = text(&PERCENTAGE, percentage, |part| format!("{part}%")), PANIC,
        "when less than this part of the weights is left of those that are not drained, those get \
         requests too that are UNHEALTHY or EJECTED, but those that say NOT_SERVING themselves; `0%` for never";
    retry_budget: Part = Shape::Mapping(&RETRY_BUDGET), Absent::Words("as the table below has it"),
        "how many retries and hedges there may be, of all workers together";
    concurrency: Part = Shape::Mapping(&CONCURRENCY), Absent::Words("`observe`"),
        "how many requests may be in flight, and what becomes of [those beyond](operating.md#overload)";
    slow_start: Setting<Duration> = duration(Duration::ZERO..=HOUR), SLOW_START,
        "how long backends that are added, or back after an ejection or after 10 s without requests, \
         take to get their whole share: [slow start](operating.md#slow-start). 0s is at once";
    prefer_zone: Setting<bool> = boolean(), false,
        "requests go to the backends in the gateway's own `zone` alone while these are well and cost callers no \
         more than the others: [zones](operating.md#zones)";
    keepalive: Part = Shape::Mapping(&KEEPALIVE), Absent::Words("as the table below has it"),
        "when backends that are silent are asked whether they are alive, over HTTP/2";
    limits: Part = Shape::Mapping(&LIMITS), Absent::Nothing,
        "what backends may use of us, in the [table above](#listenerslimits-serviceslimits)";
}

section! {
    /// A backend.
    pub static ENDPOINT: Endpoint = "services.*.endpoints[]", short Short::Key("address");

    address: Key<Address> = text(&ENDPOINT_ADDRESS, Address::parse, ToString::to_string),
        Absent::Required("add `address: 127.0.0.1:50051`"),
        "IPv4, [IPv6] or DNS name, and port; a [name](discovery.md#names) is a backend for each of its addresses. \
         `unix:/run/orders.sock` is a Unix socket: its path begins with `/` and has 107 bytes at \
         most, and for TLS to it `server_name` is needed. Backends there get the authority that the \
         client sent";
    weight: Setting<u32> = number(0..=MAX_WEIGHT as u64), 1,
        "its part of the requests; 0 takes none";
    zone: Key<Option<Arc<str>>> = text(&ZONE, zone, |zone| zone.as_deref().unwrap_or_default().into()),
        Absent::Nothing,
        "the zone that it is in, for `prefer_zone`; goes before what a registry says";
}

fn policies() -> Vec<&'static str> {
    POLICIES.iter().map(|policy| policy.name()).collect()
}

section! {
    /// The balancing policy; its settings are further keys.
    pub static BALANCER: BalancerKeys = "services.*.balancer", short Short::Key("policy");

    policy: Key<&'static dyn Policy> = words(policies, Balancer::policy, |policy| policy.name().into()),
        Absent::value("p2c_ewma"),
        "how a backend is picked; the other keys are the policy's settings";
}
