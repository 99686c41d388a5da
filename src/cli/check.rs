//! `equipoise check`: validates a configuration and summarizes it.

mod json;

use std::fmt::Write;
use std::io::stdin;
use std::path::Path;
use std::process::ExitCode;

use super::ConfigFile;
use super::print::{complain, show};
use crate::config::{self, ControlPlan, ControlSocket, Plan, Report};
use crate::net::ListenerSpec;
use crate::telemetry::log::{Filter, from_environment};

/// The configuration to check, and the output format.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// How to say what was found
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How to say what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For editors and CI: one JSON document on the standard output
    Json,
}

const HELP: &str = "\
Reads the configuration as `serve` would, with the certificates that it names and the variables of
the environment, and starts nothing. `-` is the standard input; files that it names are then looked
for in the working directory.

Exit codes:
  0  it is right; there may be warnings
  1  it is wrong, or cannot be read: every error is shown, its line and column, and how to mend it
  2  the command line is wrong

Examples:
  equipoise check gateway.yaml
  equipoise check --config gateway.yaml && systemctl restart equipoise
  helm template . | equipoise check -
  equipoise check --output json gateway.yaml | jq -r '.findings[].message'";

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let input = args.file.is_input();
    let name = if input { Path::new("<stdin>") } else { args.file.path() };
    let loaded = match input {
        true => config::load_from(stdin().lock(), name, Path::new("")),
        false => config::load(name),
    };
    // Like `serve`, fail if the environment's log filter is invalid; the JSON document covers the
    // file only.
    let filter = loaded.as_ref().ok().map(|plan| from_environment(&Filter::from(plan.log.level)));
    let wrong = filter.and_then(Result::err);
    if let Some(error) = &wrong {
        complain(&format!("error: {error}\n"));
    }
    if args.output == Output::Json {
        let shown = show(&json::document(name, &loaded));
        return if loaded.is_ok() && wrong.is_none() { shown } else { ExitCode::FAILURE };
    }
    match loaded {
        Ok(_) if wrong.is_some() => ExitCode::FAILURE,
        Ok(plan) => show(&summary(name, &plan)),
        Err(report) => {
            complain(&format!("{}{}", report.pretty(), verdict(name, &report)));
            ExitCode::FAILURE
        }
    }
}

fn verdict(path: &Path, report: &Report) -> String {
    let errors = pluralized(report.errors().len(), "error");
    let warnings = match report.warnings().len() {
        0 => String::new(),
        number => format!(" and {}", pluralized(number, "warning")),
    };
    format!("{} has {errors}{warnings}\n", path.display())
}

/// A short summary of what the gateway would do.
fn summary(path: &Path, plan: &Plan) -> String {
    let mut out = String::new();
    let listeners: Vec<String> = plan.listeners.iter().map(listener).collect();
    let endpoints = plan.services.iter().map(|service| service.members.len()).sum();
    let services = pluralized(plan.services.len(), "service");
    let lines = [
        ("listens on", listeners.join(", ")),
        ("control", control(&plan.control)),
        ("metrics", metrics(plan)),
        ("services", format!("{services}, {}", pluralized(endpoints, "endpoint"))),
        ("routes", pluralized(plan.routes.len(), "route")),
        ("workers", plan.workers.to_string()),
    ];
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{} is right", path.display());
    for (what, value) in lines {
        let _ = writeln!(out, "  {what:<10}  {value}");
    }
    for warning in &plan.warnings {
        let _ = writeln!(out, "warning: {}:{warning}", path.display());
    }
    out
}

fn control(plan: &ControlPlan) -> String {
    let how = match (&plan.tls, plan.access.open_loopback) {
        (Some(_), _) => "TLS",
        (None, true) => "clear text, open to every user of this machine",
        (None, false) => "clear text",
    };
    let tcp = plan.places.address.map(|address| format!("{address} ({how})"));
    let socket = match &plan.places.socket {
        ControlSocket::Usual => Some("a Unix socket".to_owned()),
        ControlSocket::At(path) => Some(format!("unix:{path}")),
        ControlSocket::Off => None,
    };
    tcp.into_iter().chain(socket).collect::<Vec<_>>().join(", ")
}

fn metrics(plan: &Plan) -> String {
    let how = if plan.entrance.tls.is_some() { "TLS" } else { "clear text" };
    let needs = match (&plan.entrance.access, plan.entrance.asks_clients) {
        (Some(_), true) => ", for a token or a client certificate",
        (Some(_), false) => ", for a token",
        (None, true) => ", for a client certificate",
        (None, false) => "",
    };
    format!("{} ({how}{needs})", plan.metrics.address)
}

fn listener(plan: &ListenerSpec) -> String {
    let how = if plan.tls.is_some() { "TLS" } else { "clear text" };
    format!("{} ({how})", plan.address)
}

fn pluralized(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
