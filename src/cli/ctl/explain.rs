//! `ctl explain`: what each backend of a service costs now, and why it gets the share it gets.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::policies::{in_words, settings};
use super::session::Session;
use super::table::{Column, Table, wrap};
use super::{Error, json, shown_state, state_name};
use crate::cli::text::{latency, or_dash};
use crate::control::proto::{
    BackendExplanation, CostTerm, ExplainServiceRequest, ExplainServiceResponse, Policy,
    RouteRetries,
};

/// Ranked so that the columns that explain most are dropped last.
const COLUMNS: [Column; 8] = [
    Column::left("BACKEND", 0),
    Column::left("STATE", 5),
    Column::right("WEIGHT", 4),
    Column::right("BY WEIGHT", 3),
    Column::right("EXPECTED", 1),
    Column::right("LAST 30 S", 2),
    Column::right("LATENCY", 6),
    Column::right("IN FLIGHT", 7),
];

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// The service
    service: String,
}

const HELP: &str = "\
BY WEIGHT is a backend's share by its weight alone, EXPECTED its share of the next calls if all stayed
as it is now: an estimate from 10,000 picks or more, of which none is sent. LATENCY is the moving
average that p2c_ewma balances by, failures counted as its `penalty`. Policies that go by weight or
key alone have no such terms.

Examples:
  equipoise ctl explain orders
  equipoise ctl explain orders --output json";

impl Args {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let mut api = session.client.api();
        let request = ExplainServiceRequest { service: self.service };
        let explained = session.client.wait(api.explain_service(request)).await?;
        session.print(|width| text(&explained, width), || programs(&explained))
    }
}

fn text(explained: &ExplainServiceResponse, width: usize) -> String {
    let ExplainServiceResponse { service, policy, policy_settings, revision, backends, .. } =
        explained;
    let policy = Policy { name: policy.clone(), settings: policy_settings.clone() };
    let title = format!("{service}: {}, revision {revision}; shares of calls", in_words(&policy));
    let mut table = Table::new(COLUMNS);
    backends.iter().for_each(|backend| table.row(row(backend)));
    let why = backends.iter().map(|it| wrap(&format!("{}: {}", it.address, it.why), width, 2));
    let why: String = why.collect();
    let retries = retries(explained, width);
    format!("{}{}\n{why}{retries}", wrap(&title, width, 2), table.fit(width))
}

/// What is retried and hedged, by route.
fn retries(explained: &ExplainServiceResponse, width: usize) -> String {
    if explained.retries.is_empty() {
        return String::new();
    }
    let mut lines = vec![format!("retries and hedges left: {}", explained.retry_budget_left)];
    for RouteRetries { route, retry, hedge } in &explained.retries {
        for (what, policy) in [("retried", retry), ("hedged", hedge)] {
            if !policy.is_empty() {
                lines.push(format!("route {route}: {what}: {policy}"));
            }
        }
    }
    let lines: String = lines.iter().map(|line| wrap(line, width, 2)).collect();
    format!("\n{lines}")
}

fn row(backend: &BackendExplanation) -> [String; COLUMNS.len()] {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let term = |name: &str| backend.terms.iter().find(|it| it.name == name).map(|it| it.value);
    [
        backend.address.clone(),
        shown_state(backend.state(), backend.ramp).into(),
        backend.effective_weight.to_string(),
        percent(backend.weight_share),
        percent(backend.expected_share),
        or_dash(backend.recent_share, percent),
        or_dash(term("latency"), latency),
        or_dash(term("in_flight"), |calls| calls.to_string()),
    ]
}

#[derive(Serialize)]
struct Explained<'a> {
    service: &'a str,
    policy: &'a str,
    policy_settings: Value,
    revision: u64,
    backends: Vec<Backend<'a>>,
    retries: Vec<Retries<'a>>,
    retry_budget_left: u64,
}

#[derive(Serialize)]
struct Retries<'a> {
    route: &'a str,
    retry: &'a str,
    hedge: &'a str,
}

#[derive(Serialize)]
struct Backend<'a> {
    address: &'a str,
    state: &'a str,
    state_reason: &'a str,
    ramp: Option<f64>,
    weight: u32,
    effective_weight: u32,
    weight_share: f64,
    expected_share: f64,
    recent_share: Option<f64>,
    terms: BTreeMap<&'a str, Term<'a>>,
    why: &'a str,
}

#[derive(Serialize)]
struct Term<'a> {
    value: f64,
    unit: &'a str,
}

fn programs(explained: &ExplainServiceResponse) -> String {
    json::pretty(&Explained {
        service: &explained.service,
        policy: &explained.policy,
        policy_settings: settings(explained.policy_settings.as_ref()),
        revision: explained.revision,
        backends: explained.backends.iter().map(backend).collect(),
        retries: explained.retries.iter().map(retries_of).collect(),
        retry_budget_left: explained.retry_budget_left,
    })
}

fn retries_of(RouteRetries { route, retry, hedge }: &RouteRetries) -> Retries<'_> {
    Retries { route, retry, hedge }
}

fn backend(explained: &BackendExplanation) -> Backend<'_> {
    let terms = explained.terms.iter().map(|CostTerm { name, value, unit }| {
        let value = Term { value: *value, unit };
        (&**name, value)
    });
    Backend {
        address: &explained.address,
        state: state_name(explained.state()),
        state_reason: &explained.state_reason,
        ramp: explained.ramp,
        weight: explained.weight,
        effective_weight: explained.effective_weight,
        weight_share: explained.weight_share,
        expected_share: explained.expected_share,
        recent_share: explained.recent_share,
        terms: terms.collect(),
        why: &explained.why,
    }
}
