//! Reads the health checks of a service.

use std::ops::RangeInclusive;

use http::uri::Authority;
use http::{HeaderName, HeaderValue};

use super::filter;
use super::keys::{HEALTH, HEALTH_GRPC, HEALTH_HTTP, HEALTH_TCP, Initial};
use super::node::{Node, Value};
use super::read::{Fields, scalar, unfit};
use super::report::Problems;
use crate::health::{Check, Probe};
use crate::upstream::{Settings, Version};

/// A range of HTTP statuses.
pub type Statuses = RangeInclusive<u16>;

/// The gRPC health service name that stands for the whole server.
const PROCESS: &str = "";

/// Reads `health` of a service; `upstream` has its connection settings.
pub fn read(node: &Node, upstream: &Settings, problems: &Problems) -> Check {
    let fields = Fields::of(node, &HEALTH, problems);
    let by_tls = fields.value(&HEALTH.tls);
    let headers = fields.get(&HEALTH.headers).map(|node| headers(node, problems));
    let check = Check {
        probe: probe(&fields, node, upstream, problems),
        interval: fields.value(&HEALTH.interval),
        timeout: fields.value(&HEALTH.timeout),
        rise: fields.value(&HEALTH.rise),
        fall: fields.value(&HEALTH.fall),
        port: fields.optional(&HEALTH.port),
        authority: fields.optional(&HEALTH.authority),
        headers: headers.unwrap_or_default(),
        initially_healthy: fields.value(&HEALTH.initial) == Initial::Healthy,
        version: upstream.version,
        tls: upstream.tls.clone().filter(|_| by_tls),
    };
    if check.timeout > check.interval {
        let message = "a check may take longer than the time to the next";
        problems.warn(node.span, message, "lower `timeout` to at most `interval`");
    }
    fields.finish();
    check
}

/// The probe of a check; exactly one must be given.
fn probe(fields: &Fields<'_>, at: &Node, upstream: &Settings, problems: &Problems) -> Probe {
    let grpc = fields.get(&HEALTH.grpc).map(|node| {
        let fields = Fields::of(node, &HEALTH_GRPC, problems);
        let service = fields.optional(&HEALTH_GRPC.service);
        fields.finish();
        if upstream.version == Version::Http1 {
            let help = "ask for a page by `http`, or for a connection by `tcp: {}`";
            problems.error(node.span, "`protocol: http1` carries no gRPC", help);
        }
        Probe::Grpc(service.unwrap_or_else(|| PROCESS.into()))
    });
    let http = fields.get(&HEALTH.http).map(|node| {
        let fields = Fields::of(node, &HEALTH_HTTP, problems);
        let path = fields.optional(&HEALTH_HTTP.path);
        let wanted = fields.optional(&HEALTH_HTTP.status).unwrap_or(200..=299);
        fields.finish();
        Probe::Http(path.unwrap_or_default(), wanted)
    });
    let tcp = fields.get(&HEALTH.tcp).map(|node| {
        Fields::of(node, &HEALTH_TCP, problems).finish();
        Probe::Tcp
    });
    let mut kinds = [grpc, http, tcp].into_iter().flatten();
    match (kinds.next(), kinds.next()) {
        (Some(probe), None) => probe,
        _ => {
            if matches!(at.value, Value::Map(_)) {
                let help = "write `grpc: {}`, or `http: { path: /healthz }`, or `tcp: {}`";
                problems.error(at.span, "a check asks in exactly one way", help);
            }
            Probe::Tcp
        }
    }
}

/// Header fields of HTTP checks.
fn headers(node: &Node, problems: &Problems) -> Vec<(HeaderName, HeaderValue)> {
    let Value::Map(entries) = &node.value else {
        let help = "write { name: value, … }";
        unfit(node, "a mapping from names to values is wanted", help, problems);
        return Vec::new();
    };
    let header = |entry: &super::node::Entry| {
        let value = scalar(&entry.value, problems, |text| {
            let text = filter::value(text)?;
            HeaderValue::from_str(&text).map_err(|error| error.to_string())
        });
        let name = filter::editable(&entry.key).and_then(|name| {
            HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())
        });
        match name {
            Ok(name) => Some((name, value?)),
            Err(message) => {
                problems.error(entry.span, message, "");
                None
            }
        }
    };
    entries.iter().filter_map(header).collect()
}

/// Parses the `:authority` of checks, for virtual hosting.
pub fn authority(text: &str) -> Result<Box<str>, String> {
    let host = match text.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host,
        _ => text,
    };
    let wrong = || format!("`{text}` is no authority: write orders.internal, or one with a port");
    filter::host(host).map_err(|_| wrong())?;
    text.parse::<Authority>().map_err(|_| wrong())?;
    Ok(text.into())
}

fn is_port(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Parses a service name for `grpc.health.v1`.
pub fn grpc_service(text: &str) -> Result<Box<str>, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    match (1..=256).contains(&text.len()) && plain {
        true => Ok(text.into()),
        false => Err(format!("`{text}` is no name of a service: write shop.Orders")),
    }
}

/// Parses a status or a range of statuses.
pub fn statuses(text: &str) -> Result<Statuses, String> {
    let status = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|status| digits && (200..600).contains(status))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(format!("`{text}` is no HTTP status from 200 to 599: write 200, or 200-399")),
    }
}

/// Formats a range of statuses.
pub fn show_statuses(statuses: &Statuses) -> String {
    format!("{}-{}", statuses.start(), statuses.end())
}

/// Parses a percentage such as `50%`.
pub fn percentage(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').filter(|number| number.bytes().all(|b| b.is_ascii_digit()));
    let number = number.and_then(|number| number.parse::<u8>().ok());
    number.filter(|number| *number <= 100).ok_or_else(|| {
        format!("`{text}` is not a part of a hundred: write 0% to 100%, such as 50%")
    })
}
