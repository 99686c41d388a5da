//! `ctl methods`: statistics of a service's gRPC methods since the start.

use serde::Serialize;

use super::backends::success;
use super::session::Session;
use super::table::{Column, Table, wrap};
use super::{Error, json};
use crate::cli::text::{latency, or_dash};
use crate::control::proto::{ListMethodsRequest, Method};

const COLUMNS: [Column; 7] = [
    Column::left("METHOD", 0),
    Column::right("REQUESTS", 1),
    Column::right("FAILURES", 2),
    Column::right("SUCCESS", 1),
    Column::right("P50", 3),
    Column::right("P99", 1),
    Column::right("STREAMS", 4),
];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service
    service: String,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let mut api = session.client.api();
        let request = ListMethodsRequest { service: self.service.clone() };
        let methods = session.client.wait(api.list_methods(request)).await?.methods;
        session.print(
            |width| text(&self.service, &methods, width),
            || programs(&self.service, &methods),
        )
    }
}

fn text(service: &str, methods: &[Method], width: usize) -> String {
    if methods.is_empty() {
        return format!("No gRPC method of {service} was called yet.\n");
    }
    let mut table = Table::new(COLUMNS);
    for m in methods {
        table.row([
            m.name.clone(),
            m.requests.to_string(),
            m.failures.to_string(),
            or_dash(m.success_ratio, success),
            or_dash(m.p50_seconds, latency),
            or_dash(m.p99_seconds, latency),
            m.streams.to_string(),
        ]);
    }
    let title = wrap(&format!("{service}: methods, since the start"), width, 2);
    format!("{title}{}{}", table.fit(width), hint(service, methods, width).unwrap_or_default())
}

/// A hint if timeouts have cut what are likely streams, and their names are known.
fn hint(service: &str, methods: &[Method], width: usize) -> Option<String> {
    let cut = methods.iter().filter(|method| method.cut > 0 && method.name.contains('/'));
    let (counts, names): (Vec<_>, Vec<_>) =
        cut.map(|method| (format!("{} {}", method.name, method.cut), &*method.name)).unzip();
    if names.is_empty() {
        return None;
    }
    let words = format!(
        "A time-out of the route has cut, after a second message: {}. If they stream, write:",
        counts.join(", ")
    );
    let names = names.join(", ");
    Some(format!("\n{}services:\n  {service}:\n    streams: [ {names} ]\n", wrap(&words, width, 0)))
}

#[derive(Serialize)]
struct Methods<'a> {
    service: &'a str,
    methods: Vec<One<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    name: &'a str,
    requests: u64,
    failures: u64,
    success_ratio: Option<f64>,
    p50_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    streams: u64,
    cut: u64,
    codes: Vec<json::CodeCount<'a>>,
}

fn programs(service: &str, methods: &[Method]) -> String {
    json::pretty(&Methods { service, methods: methods.iter().map(one).collect() })
}

fn one(m: &Method) -> One<'_> {
    One {
        name: &m.name,
        requests: m.requests,
        failures: m.failures,
        success_ratio: m.success_ratio,
        p50_seconds: m.p50_seconds,
        p99_seconds: m.p99_seconds,
        streams: m.streams,
        cut: m.cut,
        codes: m.codes.iter().map(json::code).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_streams_get_a_hint() {
        let method = |name: &str, cut| Method { name: name.into(), cut, ..Method::default() };
        let calls = [method("shop.Orders/Get", 0), method("other", 4)];
        assert_eq!(hint("orders", &calls, 80), None);
        let streams = [method("shop.Orders/Watch", 3), method("shop.Orders/Tail", 1)];
        let expected = "
A time-out of the route has cut, after a second message: shop.Orders/Watch 3,
shop.Orders/Tail 1. If they stream, write:
services:
  orders:
    streams: [ shop.Orders/Watch, shop.Orders/Tail ]
";
        let hint = hint("orders", &[calls, streams].concat(), 80);
        assert_eq!(hint.as_deref(), Some(expected));
    }
}
