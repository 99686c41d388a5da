//! `equipoise check`: is this configuration right, and what does it say?

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use super::ConfigFile;
use super::print::{complain, show};
use crate::config::{self, Plan, Report};
use crate::net::ListenerSpec;

/// Which configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
}

const HELP: &str = "\
Reads the configuration as `serve` would, with the certificates that it names, and starts nothing.
Exits with 0 if it is right, and with 1 after having shown every error, its line and column, and
how to mend it. Warnings leave the exit code at 0.

Examples:
  equipoise check --config gateway.yaml
  equipoise check --config gateway.yaml && systemctl restart equipoise";

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match config::load(&args.file.config) {
        Ok(plan) => show(&summary(&args.file.config, &plan)),
        Err(report) => {
            complain(&format!("{}{}", report.pretty(), verdict(&args.file.config, &report)));
            ExitCode::FAILURE
        }
    }
}

fn verdict(path: &Path, report: &Report) -> String {
    let errors = counted(report.errors().len(), "error");
    format!("{} has {errors}\n", path.display())
}

/// What the gateway would do, in a few lines.
fn summary(path: &Path, plan: &Plan) -> String {
    let mut out = String::new();
    let listeners: Vec<String> = plan.listeners.iter().map(listener).collect();
    let endpoints = plan.services.iter().map(|service| service.endpoints.len()).sum();
    let services = counted(plan.services.len(), "service");
    let lines = [
        ("listens on", listeners.join(", ")),
        ("control", plan.control.address.to_string()),
        ("metrics", plan.metrics.address.to_string()),
        ("services", format!("{services}, {}", counted(endpoints, "endpoint"))),
        ("routes", counted(plan.routes.len(), "route")),
        ("workers", plan.workers.to_string()),
    ];
    // Writing to a string does not fail.
    let _ = writeln!(out, "{} is right", path.display());
    for (what, value) in lines {
        let _ = writeln!(out, "  {what:<10}  {value}");
    }
    for warning in &plan.warnings {
        let _ = writeln!(out, "warning: {}:{warning}", path.display());
    }
    out
}

fn listener(plan: &ListenerSpec) -> String {
    let how = if plan.tls.is_some() { "TLS" } else { "clear text" };
    format!("{} ({how})", plan.address)
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
