//! `ctl route`: which route a request would take, and why.

use std::fmt::Write;
use std::time::Duration;

use super::session::{Outcome, Session};
use super::{Error, json, parse};
use crate::control::proto::{
    ExplainRouteRequest, ExplainRouteResponse, HeaderField, Mirror, Route, RouteTarget,
};
use crate::text::units::show_duration;

/// The request that is asked about.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// The host that it is for, with or without port
    #[arg(long, default_value = "")]
    host: String,
    /// Its path, with or without query; for gRPC /pkg.Service/Method
    #[arg(long, default_value = "/")]
    path: String,
    /// Its method [default: GET, and POST for gRPC]
    #[arg(long)]
    method: Option<String>,
    /// A header field, or metadata; may be given more than once
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = parse::header)]
    headers: Vec<HeaderField>,
    /// It is a gRPC request
    #[arg(long)]
    grpc: bool,
}

const HELP: &str = "\
Nothing is sent to a backend: the routes are asked as they would be for such a request. Also shows
routes that match but are less specific, and those that would match but for one thing. Exits with 1
when no route takes the request.

Examples:
  equipoise ctl route --grpc --path /shop.Orders/Get --header x-canary=1
  equipoise ctl route --host www.shop.example --path '/api/orders?page=2' --output json";

impl Args {
    /// Shows the route that the request would take, if any.
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<Outcome, Error> {
        let client = &session.client;
        let explained = client.wait(client.api().explain_route(self.request())).await?;
        session.print(|_| text(&explained), || json::explained(&explained))?;
        Ok(if explained.route.is_some() { Outcome::Done } else { Outcome::Nothing })
    }

    /// The API request.
    fn request(self) -> ExplainRouteRequest {
        let Args { host, path, method, headers, grpc } = self;
        ExplainRouteRequest { host, path, method: method.unwrap_or_default(), headers, grpc }
    }
}

/// The response for people.
fn text(explained: &ExplainRouteResponse) -> String {
    let mut out = String::new();
    match &explained.route {
        Some(route) => write_route(&mut out, route),
        None => out.push_str("no route takes this request\n"),
    }
    if !explained.near_misses.is_empty() {
        out.push_str("not taken:\n");
    }
    for near in &explained.near_misses {
        let shown = near.route.as_ref().map(title).unwrap_or_default();
        line(&mut out, format_args!("  {shown}"));
        line(&mut out, format_args!("    {}", near.reason));
    }
    out
}

fn write_route(out: &mut String, route: &Route) {
    line(out, format_args!("{}", title(route)));
    if !route.redirect.is_empty() {
        line(out, format_args!("  redirects: {}", route.redirect));
    }
    let total: u64 = route.targets.iter().map(|target| u64::from(target.weight)).sum();
    for RouteTarget { service, weight, filters } in &route.targets {
        match route.targets.len() {
            1 => line(out, format_args!("  to {service}")),
            _ => line(out, format_args!("  to {service}: {weight} of {total}")),
        }
        for filter in filters {
            line(out, format_args!("    {filter}"));
        }
    }
    if let Some(timeout) = route.timeout_seconds {
        line(out, format_args!("  within {}, attempts included", duration(timeout)));
    }
    if let Some(timeout) = route.max_timeout_seconds {
        line(out, format_args!("  deadlines of callers: {} at most", duration(timeout)));
    }
    for (what, policy) in [("retried", &route.retry), ("hedged", &route.hedge)] {
        if !policy.is_empty() {
            line(out, format_args!("  {what}: {policy}"));
        }
    }
    if !route.allowed_clients.is_empty() {
        let allowed = route.allowed_clients.join(", ");
        line(out, format_args!("  for clients with a certificate of {allowed}"));
    }
    if !route.split_by.is_empty() {
        line(out, format_args!("  split by header {}", route.split_by));
    }
    if let Some(Mirror { service, percent }) = &route.mirror {
        line(out, format_args!("  copies of {percent} % to {service}"));
    }
}

fn duration(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map(show_duration).unwrap_or_default()
}

fn title(route: &Route) -> String {
    let Route { name, number, line, column, r#match, .. } = route;
    format!("route {name} (number {number}, line {line}, column {column}): {}", r#match)
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}"); // writing to a String cannot fail
}
