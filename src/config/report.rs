//! What is wrong with a configuration, all of it, each with its place and the fix.

mod source;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::path::Path;

use crate::route::Place;
use crate::text::Hidden;
use crate::text::hidden::veiled;
use miette::LabeledSpan;

use super::files::Sources;
use super::plan::LogFormat;
use super::salvage;
use source::{Shown, Source};

/// A range of bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    start: usize,
    len: usize,
    /// Where it starts, counted from 1; 0 where that is yet to be found out.
    place: Place,
}

impl Span {
    /// The point at a byte.
    pub const fn at(start: usize) -> Span {
        Span { start, len: 0, place: Place { line: 0, column: 0 } }
    }

    /// The line and the column.
    pub const fn place(self) -> Place {
        self.place
    }
}

impl From<&granit_parser::Span> for Span {
    fn from(span: &granit_parser::Span) -> Span {
        let range = span.byte_range().unwrap_or_default();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let place = Place { line: number(span.start.line()), column: number(span.start.col() + 1) };
        Span { start: range.start, len: range.end.saturating_sub(range.start), place }
    }
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It works, but is hardly meant.
    Warning,
}

/// One thing that is wrong, or odd.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    span: Span,
    message: String,
    help: String,
    /// Where the same was said before, for what may be said once only.
    earlier: Option<Span>,
    /// The route that it is about, if it is about one.
    route: Option<String>,
}

impl Problem {
    fn new(span: Span, message: String, help: String) -> Problem {
        Problem { span, message, help, earlier: None, route: None }
    }
}

/// Where readers put what they find wrong, while they go on reading.
#[derive(Debug, Default)]
pub struct Problems {
    errors: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    /// How they are to be logged, as far as the file says.
    format: Cell<Option<LogFormat>>,
    /// What no message tells, wherever it stands.
    hidden: RefCell<Vec<Hidden>>,
}

impl Problems {
    /// Has all that is noted from here on not tell these.
    pub fn hide(&self, hidden: &[Hidden]) {
        let mut known = self.hidden.borrow_mut();
        for hidden in hidden.iter().filter(|hidden| hidden.is_distinct()) {
            if !known.contains(hidden) {
                known.push(hidden.clone());
            }
        }
    }

    fn veil(&self, text: String) -> String {
        veiled(text, &self.hidden.borrow())
    }

    fn note(&self, severity: Severity, problem: Problem) {
        let Problem { message, help, .. } = problem;
        let problem = Problem { message: self.veil(message), help: self.veil(help), ..problem };
        match severity {
            Severity::Error => self.errors.borrow_mut().push(problem),
            Severity::Warning => self.warnings.borrow_mut().push(problem),
        }
    }

    /// Notes an error.
    pub fn error(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.note(Severity::Error, Problem::new(span, message.into(), help.into()));
    }

    /// Notes something that works but is hardly meant.
    pub fn warn(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.note(Severity::Warning, Problem::new(span, message.into(), help.into()));
    }

    /// Notes that something stands in the file for a second time.
    pub fn error_again(&self, span: Span, message: impl Into<String>, earlier: Span) {
        self.beside(Severity::Error, span, message, "remove one of the two", earlier);
    }

    /// Notes something that has to do with what stands `earlier` in the file.
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

    /// Notes the form that the file wants for the log.
    pub fn log_as(&self, format: LogFormat) {
        self.format.set(Some(format));
    }

    /// How many errors there are so far.
    pub fn count(&self) -> usize {
        self.errors.borrow().len()
    }

    /// Says of the errors after the first `before` which route they are about.
    pub fn name_route(&self, before: usize, route: &str) {
        for problem in self.errors.borrow_mut().iter_mut().skip(before) {
            problem.route = Some(self.veil(route.into()));
        }
    }

    /// The warnings, or all that is wrong with the file at `path` that reads `text`.
    pub fn finish(self, path: &Path, text: &str) -> Result<Vec<Finding>, Report> {
        let source = Source::new(path, text);
        match self.count() {
            0 => Ok(source.locate_all(self.warnings)),
            _ => Err(self.into_report(path, text)),
        }
    }

    /// The errors of a file that is too broken for a plan.
    pub fn into_report(self, path: &Path, text: &str) -> Report {
        let source = Source::new(path, text);
        let format = self.format.get().unwrap_or_else(|| salvage::log_format(text));
        let errors = source.locate_all(self.errors).into();
        let warnings = source.locate_all(self.warnings).into();
        Report { file: source.into(), errors, warnings, sources: Sources::default(), format }
    }
}

/// An error or a warning and its place, counted from 1; [`fmt::Display`] gives it in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
    /// The character behind its end, in the same line, if it has an end.
    pub end_column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// How to mend it; empty if the message says it.
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

/// Everything that is wrong with a configuration: at least one error.
///
/// [`fmt::Display`] gives one line an error, [`Report::pretty`] shows the lines of the file.
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
    /// The same, about a configuration that was read from `sources`.
    pub(super) fn from(self, sources: Sources) -> Report {
        Report { sources, ..self }
    }

    /// The report of one error behind all of `text`, which is what could be read of the file.
    pub(super) fn unreadable(path: &Path, text: &str, message: String, help: &str) -> Report {
        let problems = Problems::default();
        problems.error(Span::at(text.len()), message, help);
        problems.into_report(path, text)
    }

    /// The files that the configuration was read from, as far as it could be read.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The form that the file wants for the log, as far as it could be read.
    pub fn log_format(&self) -> LogFormat {
        self.format
    }

    /// The name of the file.
    pub fn file(&self) -> &str {
        &self.file.name
    }

    /// The errors, by place.
    pub fn errors(&self) -> &[Finding] {
        &self.errors
    }

    /// What is hardly meant, by place.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// The errors, and then the warnings, for a terminal: the lines they are about, marked, and
    /// the fix.
    pub fn pretty(&self) -> String {
        let handler = miette::GraphicalReportHandler::new();
        let mut out = String::new();
        let errors = self.errors.iter().map(|finding| (finding, miette::Severity::Error));
        let warnings = self.warnings.iter().map(|finding| (finding, miette::Severity::Warning));
        for (finding, severity) in errors.chain(warnings) {
            let source = &self.file;
            // Writing to a string fails only if the source cannot be read, and it can.
            let _ = handler.render_report(&mut out, &Shown { finding, source, severity });
            out.push('\n');
        }
        out
    }

    /// Each error in one line, with its place.
    pub fn lines(&self) -> Vec<String> {
        let name = &self.file.name;
        self.errors.iter().map(|error| format!("{name}:{error}")).collect()
    }
}
