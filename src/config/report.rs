//! Diagnostics: errors and warnings with source location and fix.

mod source;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::path::Path;

use crate::route::SourceLocation;
use crate::text::Secret;
use crate::text::redact::redacted;
use miette::LabeledSpan;

use super::files::Sources;
use super::plan::LogFormat;
use super::salvage;
use source::{Shown, Source};

/// A byte range of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    start: usize,
    len: usize,
    /// The line, from 1; 0 while not computed yet.
    place: SourceLocation,
}

impl Span {
    /// An empty span at a byte offset.
    pub const fn at(start: usize) -> Span {
        Span { start, len: 0, place: SourceLocation { line: 0, column: 0 } }
    }

    /// Line and column.
    pub const fn place(self) -> SourceLocation {
        self.place
    }
}

impl From<&granit_parser::Span> for Span {
    fn from(span: &granit_parser::Span) -> Span {
        let range = span.byte_range().unwrap_or_default();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let place = SourceLocation {
            line: number(span.start.line()),
            column: number(span.start.col() + 1),
        };
        Span { start: range.start, len: range.end.saturating_sub(range.start), place }
    }
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// Valid, but probably a mistake.
    Warning,
}

/// An error or a warning, before it is located.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    span: Span,
    message: String,
    help: String,
    /// The location of the first occurrence, for duplicates.
    earlier: Option<Span>,
    /// The route that it concerns, if any.
    route: Option<String>,
}

impl Problem {
    fn new(span: Span, message: String, help: String) -> Problem {
        Problem { span, message, help, earlier: None, route: None }
    }
}

/// The collector of problems, to which readers add while they carry on.
#[derive(Debug, Default)]
pub struct Problems {
    errors: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    /// The log format that the file asks for, as far as known.
    format: Cell<Option<LogFormat>>,
    /// Values to redact from every message.
    hidden: RefCell<Vec<Secret>>,
}

impl Problems {
    /// Redacts these from all messages from here on.
    pub fn hide(&self, hidden: &[Secret]) {
        let mut known = self.hidden.borrow_mut();
        for hidden in hidden.iter().filter(|hidden| hidden.is_distinct()) {
            if !known.contains(hidden) {
                known.push(hidden.clone());
            }
        }
    }

    fn redact(&self, text: String) -> String {
        redacted(text, &self.hidden.borrow())
    }

    fn note(&self, severity: Severity, problem: Problem) {
        let Problem { message, help, .. } = problem;
        let problem = Problem { message: self.redact(message), help: self.redact(help), ..problem };
        match severity {
            Severity::Error => self.errors.borrow_mut().push(problem),
            Severity::Warning => self.warnings.borrow_mut().push(problem),
        }
    }

    /// Records an error.
    pub fn error(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.note(Severity::Error, Problem::new(span, message.into(), help.into()));
    }

    /// Records a warning.
    pub fn warn(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.note(Severity::Warning, Problem::new(span, message.into(), help.into()));
    }

    /// Records a duplicate.
    pub fn error_again(&self, span: Span, message: impl Into<String>, earlier: Span) {
        self.beside(Severity::Error, span, message, "remove one of the two", earlier);
    }

    /// Records a conflict with something at `earlier`.
    pub fn beside(
        &self,
        severity: Severity,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
        earlier: Span,
    ) {
        let problem = Problem::new(span, message.into(), help.into());
        self.note(severity, Problem { earlier: Some(earlier), ..problem });
    }

    /// Sets the log format that the file asks for.
    pub fn log_as(&self, format: LogFormat) {
        self.format.set(Some(format));
    }

    /// The number of errors so far.
    pub fn count(&self) -> usize {
        self.errors.borrow().len()
    }

    /// Attributes the errors after the first `before` to a route.
    pub fn name_route(&self, before: usize, route: &str) {
        for problem in self.errors.borrow_mut().iter_mut().skip(before) {
            problem.route = Some(self.redact(route.into()));
        }
    }

    /// The warnings, or a report on the file at `path` with this text.
    pub fn finish(self, path: &Path, text: &str) -> Result<Vec<Finding>, Report> {
        let source = Source::new(path, text);
        match self.count() {
            0 => Ok(source.locate_all(self.warnings)),
            _ => Err(self.into_report(path, text)),
        }
    }

    /// The report on a file that is too broken for a plan.
    pub fn into_report(self, path: &Path, text: &str) -> Report {
        let source = Source::new(path, text);
        let format = self.format.get().unwrap_or_else(|| salvage::log_format(text));
        let errors = source.locate_all(self.errors).into();
        let warnings = source.locate_all(self.warnings).into();
        Report { file: source.into(), errors, warnings, sources: Sources::default(), format }
    }
}

/// A located error or warning, counted from 1; [`fmt::Display`] formats it in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// The end column (exclusive) on the same line, if it is a range.
    pub end_column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// How to fix it; empty if the message says so.
    pub help: String,
    labels: Vec<LabeledSpan>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { line, column, message, help, .. } = self;
        write!(f, "{line}:{column}: {message}")?;
        match help.as_str() {
            "" => Ok(()),
            help => write!(f, "; {help}"),
        }
    }
}

/// All errors and warnings of a configuration, with at least one error.
///
/// [`fmt::Display`] has a line for each error, [`Report::pretty`] excerpts of the file.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.lines().join("\n"))]
pub struct Report {
    file: Box<Source>,
    errors: Box<[Finding]>,
    warnings: Box<[Finding]>,
    sources: Sources,
    format: LogFormat,
}

impl Report {
    /// Attaches the sources of the configuration.
    pub(super) fn from(self, sources: Sources) -> Report {
        Report { sources, ..self }
    }

    /// A report of one error at the end of `text`, the readable part of a file.
    pub(super) fn unreadable(path: &Path, text: &str, message: String, help: &str) -> Report {
        let problems = Problems::default();
        problems.error(Span::at(text.len()), message, help);
        problems.into_report(path, text)
    }

    /// The sources, as far as they were read.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The log format that the file asks for, as far as known.
    pub fn log_format(&self) -> LogFormat {
        self.format
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.file.name
    }

    /// The errors, by location.
    pub fn errors(&self) -> &[Finding] {
        &self.errors
    }

    /// The warnings, by location.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// Errors, then warnings, for a terminal: marked excerpts of the file with the fix.
    pub fn pretty(&self) -> String {
        let handler = miette::GraphicalReportHandler::new();
        let mut out = String::new();
        let errors = self.errors.iter().map(|finding| (finding, miette::Severity::Error));
        let warnings = self.warnings.iter().map(|finding| (finding, miette::Severity::Warning));
        for (finding, severity) in errors.chain(warnings) {
            let source = &self.file;
            // Formatting fails only if the source cannot be read, which is in memory.
            let _ = handler.render_report(&mut out, &Shown { finding, source, severity });
            out.push('\n');
        }
        out
    }

    /// One line for each error, with its location.
    pub fn lines(&self) -> Vec<String> {
        let name = &self.file.name;
        self.errors.iter().map(|error| format!("{name}:{error}")).collect()
    }
}
