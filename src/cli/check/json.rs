//! The JSON output of `check`.
//!
//! `{"file", "valid", "errors", "warnings", "findings": [FINDING]}`, errors before warnings, each
//! sorted by position. Lines and columns count from 1, columns in characters; the end is exclusive,
//! and null for a finding without a range or a message without a help.

use std::path::Path;

use serde::Serialize;

use crate::config::{Finding, Plan, Report};

#[derive(Serialize)]
struct Document<'a> {
    file: &'a str,
    valid: bool,
    errors: usize,
    warnings: usize,
    findings: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    severity: &'static str,
    file: &'a str,
    line: usize,
    column: usize,
    end_line: Option<usize>,
    end_column: Option<usize>,
    message: &'a str,
    help: Option<&'a str>,
}

/// The document for the configuration named `name`.
pub(super) fn document(name: &Path, loaded: &Result<Plan, Report>) -> String {
    let (errors, warnings) = match loaded {
        Ok(plan) => (&[][..], &*plan.warnings),
        Err(report) => (report.errors(), report.warnings()),
    };
    let file = &*name.to_string_lossy();
    let row = |severity: &'static str, finding| row(severity, file, finding);
    let document = Document {
        file,
        valid: loaded.is_ok(),
        errors: errors.len(),
        warnings: warnings.len(),
        findings: errors
            .iter()
            .map(|finding| row("error", finding))
            .chain(warnings.iter().map(|finding| row("warning", finding)))
            .collect(),
    };
    // Serializing strings and numbers cannot fail.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn row<'a>(severity: &'static str, file: &'a str, finding: &'a Finding) -> Row<'a> {
    let Finding { line, column, end_column, message, help, .. } = finding;
    Row {
        severity,
        file,
        line: *line,
        column: *column,
        end_line: end_column.map(|_| *line),
        end_column: *end_column,
        message,
        help: (!help.is_empty()).then_some(help),
    }
}
