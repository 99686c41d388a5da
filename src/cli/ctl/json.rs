//! What `--output json` prints. The names are stable; new ones may be added.
//!
//! - `services`: `{"services": [SUMMARY]}`
//! - `policies`: `{"services": [{"name": NAME, "policy": NAME, "policy_settings": {…}}]}`
//! - `backends`: `{"services": [SERVICE]}`, also when one service was asked for
//! - `watch`: a `SERVICE` a line
//! - `route`: `{"route": ROUTE, "near_misses": [{"route": ROUTE, "reason": TEXT}]}`; `route` is
//!   `null` when none is taken
//! - `split`: `{"splits": [SPLIT]}`, also when one route was asked for
//! - `methods`: `{"service": NAME, "methods": [METHOD]}`
//! - `explain`: `{"service": NAME, "policy": NAME, "policy_settings": {…}, "revision": NUMBER,
//!   "backends": [{…, "terms": {NAME: {"value": NUMBER, "unit": TEXT}}, "why": TEXT}]}`
//! - `log-level`: `{"level": TEXT, "configured": TEXT}`
//! - `drain --wait`: as every change, with `"cut": NUMBER`, the requests that were cut off
//! - `history`, `history-split`: `{"service": NAME, "changes": [CHANGE]}`, or `route` in place of
//!   `service`; the newest first
//! - every change: `{"service": NAME, "revision": NUMBER, "durable": BOOL}`, or `route` in place of
//!   `service`; `durable` is false where it is lost with the process
//! - a change with `--dry-run`: the same, `revision` as it is, with `"preview": {"revision": NUMBER, "old": TEXT,
//!   "new": TEXT, "until": TIME, "warning": TEXT, "shares": [{"name": NAME, "resolved_address": ADDRESS,
//!   "before": STATE, "after": STATE}]}`; a STATE has `weight`, `effective_weight`, `share`, `expected_share`,
//!   `state`, `state_reason`
//! - a failure, on standard error: `{"error": KIND, "exit_code": NUMBER, "code": CODE, "message":
//!   TEXT}`; KIND is `usage`, `not_found`, `refused`, `unreachable` or `output`, `code` the gRPC
//!   code of a gateway that said no
//!
//! A value that there is no data for is `null`.

use serde::Serialize;
use serde_json::Value;

use super::policies::settings;
use super::{overrides, share, state_name};
use crate::control::proto;

#[derive(Serialize)]
struct Services<T> {
    services: Vec<T>,
}

#[derive(Serialize)]
struct Summary<'a> {
    name: &'a str,
    policy: &'a str,
    revision: u64,
    generation: u64,
    backends: u32,
    eligible_backends: u32,
    draining_backends: u32,
    overrides: u32,
    policy_settings: Value,
    /// Over the last 30 s, as are the next two.
    recent_requests: u64,
    recent_rejected: u64,
    success_ratio: Option<f64>,
}

#[derive(Serialize)]
struct Service<'a> {
    name: &'a str,
    policy: &'a str,
    revision: u64,
    generation: u64,
    backends: Vec<Backend<'a>>,
    overrides: Vec<overrides::Json<'a>>,
    policy_settings: Value,
    /// Over the last 30 s, including requests answered by the gateway itself, as are the next two.
    recent_requests: u64,
    recent_rejected: u64,
    success_ratio: Option<f64>,
    rejections: Vec<Rejection<'a>>,
}

/// Requests rejected by the gateway.
#[derive(Serialize)]
struct Rejection<'a> {
    route: &'a str,
    reason: &'a str,
    count: u64,
}

#[derive(Serialize)]
struct Backend<'a> {
    address: &'a str,
    resolved_address: Option<&'a str>,
    state: &'static str,
    state_reason: &'a str,
    state_seconds: Option<f64>,
    state_left_seconds: Option<f64>,
    ramp: Option<f64>,
    weight: u32,
    effective_weight: u32,
    in_flight: u32,
    ewma_seconds: f64,
    requests: u64,
    recent_requests: u64,
    /// Its share of the service's recent requests, 0 to 1.
    recent_share: Option<f64>,
    success_ratio: Option<f64>,
    p50_seconds: Option<f64>,
    p90_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    p999_seconds: Option<f64>,
    open_streams: u32,
    mean_stream_age_seconds: Option<f64>,
    streams_opened_per_second: f64,
    streams_ended_per_second: f64,
    stream_messages_per_second: f64,
    streams_opened: u64,
    since: Option<Since<'a>>,
}

/// Statistics since a revision: the current one, or that of `--since`.
#[derive(Serialize)]
struct Since<'a> {
    revision: u64,
    requests: u64,
    failures: u64,
    codes: Vec<CodeCount<'a>>,
}

#[derive(Serialize)]
pub(super) struct CodeCount<'a> {
    protocol: &'a str,
    code: &'a str,
    count: u64,
}

#[derive(Serialize)]
struct Explained<'a> {
    route: Option<Route<'a>>,
    near_misses: Vec<NearMiss<'a>>,
}

#[derive(Serialize)]
struct NearMiss<'a> {
    route: Option<Route<'a>>,
    reason: &'a str,
}

#[derive(Serialize)]
struct Route<'a> {
    name: &'a str,
    number: u32,
    line: u32,
    column: u32,
    r#match: &'a str,
    targets: Vec<RouteTarget<'a>>,
    split_by: Option<&'a str>,
    mirror: Option<Mirror<'a>>,
    redirect: Option<&'a str>,
    timeout_seconds: Option<f64>,
    max_timeout_seconds: Option<f64>,
    retry: Option<&'a str>,
    hedge: Option<&'a str>,
    allowed_clients: &'a [String],
}

#[derive(Serialize)]
struct RouteTarget<'a> {
    service: &'a str,
    weight: u32,
    filters: &'a [String],
}

#[derive(Serialize)]
struct Mirror<'a> {
    service: &'a str,
    percent: f64,
}

/// One object for each service.
pub(super) fn all(services: Vec<Value>) -> String {
    pretty(&Services { services })
}

pub(super) fn services(services: &[proto::ServiceSummary]) -> String {
    pretty(&Services { services: services.iter().map(summary).collect() })
}

pub(super) fn backends(services: &[proto::Service]) -> String {
    pretty(&Services { services: services.iter().map(service).collect() })
}

pub(super) fn watched(state: &proto::Service) -> String {
    line(serde_json::to_string(&service(state)))
}

pub(super) fn explained(explained: &proto::ExplainRouteResponse) -> String {
    let near = explained.near_misses.iter();
    let near = near.map(|n| NearMiss { route: n.route.as_ref().map(route), reason: &n.reason });
    pretty(&Explained { route: explained.route.as_ref().map(route), near_misses: near.collect() })
}

fn route<'r>(r: &'r proto::Route) -> Route<'r> {
    let given = |text: &'r str| (!text.is_empty()).then_some(text);
    let target = |t: &'r proto::RouteTarget| RouteTarget {
        service: &t.service,
        weight: t.weight,
        filters: &t.filters,
    };
    let mirror = |m: &'r proto::Mirror| Mirror { service: &m.service, percent: m.percent };
    Route {
        name: &r.name,
        number: r.number,
        line: r.line,
        column: r.column,
        r#match: &r.r#match,
        targets: r.targets.iter().map(target).collect(),
        split_by: given(&r.split_by),
        mirror: r.mirror.as_ref().map(mirror),
        redirect: given(&r.redirect),
        timeout_seconds: r.timeout_seconds,
        max_timeout_seconds: r.max_timeout_seconds,
        retry: given(&r.retry),
        hedge: given(&r.hedge),
        allowed_clients: &r.allowed_clients,
    }
}

fn summary(s: &proto::ServiceSummary) -> Summary<'_> {
    Summary {
        name: &s.name,
        policy: &s.policy,
        revision: s.revision,
        generation: s.generation,
        backends: s.backends,
        eligible_backends: s.eligible_backends,
        draining_backends: s.draining_backends,
        overrides: s.overrides,
        policy_settings: settings(s.policy_settings.as_ref()),
        recent_requests: s.recent_requests,
        recent_rejected: s.recent_rejected,
        success_ratio: s.success_ratio,
    }
}

fn service(s: &proto::Service) -> Service<'_> {
    let recent = s.backends.iter().map(|b| b.recent_requests).sum();
    Service {
        name: &s.name,
        policy: &s.policy,
        revision: s.revision,
        generation: s.generation,
        backends: s.backends.iter().map(|b| backend(b, recent)).collect(),
        overrides: s.overrides.iter().map(overrides::json).collect(),
        policy_settings: settings(s.policy_settings.as_ref()),
        recent_requests: s.recent_requests,
        recent_rejected: s.recent_rejected,
        success_ratio: s.success_ratio,
        rejections: s.rejections.iter().map(rejection).collect(),
    }
}

fn rejection(r: &proto::Rejection) -> Rejection<'_> {
    Rejection { route: &r.route, reason: &r.reason, count: r.count }
}

fn backend(b: &proto::Backend, recent: u64) -> Backend<'_> {
    Backend {
        address: &b.address,
        resolved_address: Some(&*b.resolved_address).filter(|it| !it.is_empty()),
        state: state_name(b.state()),
        state_reason: &b.state_reason,
        state_seconds: b.state_seconds,
        state_left_seconds: b.state_left_seconds,
        ramp: b.ramp,
        weight: b.weight,
        effective_weight: b.effective_weight,
        in_flight: b.in_flight,
        ewma_seconds: b.ewma_seconds,
        requests: b.requests,
        recent_requests: b.recent_requests,
        recent_share: share(b.recent_requests, recent),
        success_ratio: b.success_ratio,
        p50_seconds: b.p50_seconds,
        p90_seconds: b.p90_seconds,
        p99_seconds: b.p99_seconds,
        p999_seconds: b.p999_seconds,
        open_streams: b.open_streams,
        mean_stream_age_seconds: b.mean_stream_age_seconds,
        streams_opened_per_second: b.streams_opened_per_second,
        streams_ended_per_second: b.streams_ended_per_second,
        stream_messages_per_second: b.stream_messages_per_second,
        streams_opened: b.streams_opened,
        since: b.since.as_ref().map(since),
    }
}

fn since(s: &proto::Since) -> Since<'_> {
    Since {
        revision: s.revision,
        requests: s.requests,
        failures: s.failures,
        codes: s.codes.iter().map(code).collect(),
    }
}

pub(super) fn code(c: &proto::CodeCount) -> CodeCount<'_> {
    CodeCount { protocol: &c.protocol, code: &c.code, count: c.count }
}

pub(super) fn pretty(value: &impl Serialize) -> String {
    line(serde_json::to_string_pretty(value))
}

pub(super) fn line(json: serde_json::Result<String>) -> String {
    // Serializing structs of numbers and strings cannot fail.
    json.unwrap_or_default() + "\n"
}
