//! Locates findings in the source text, and renders excerpts (miette).

use std::cell::RefCell;
use std::fmt;
use std::path::Path;

use miette::{
    Diagnostic, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents,
};

use super::{Finding, Problem, Span};

/// A finding for miette.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// The source text.
    pub source: &'a Source,
    /// Its severity.
    pub severity: miette::Severity,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.finding.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        let help = &self.finding.help;
        (!help.is_empty()).then(|| Box::new(help) as Box<dyn fmt::Display + '_>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.finding.labels.iter().cloned()))
    }
}

/// The source text with a line index, so that thousands of errors render quickly.
#[derive(Debug)]
pub struct Source {
    /// The file's name.
    pub name: String,
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// The file at `path` with this text.
    pub fn new(path: &Path, text: &str) -> Source {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        Source {
            name: path.display().to_string(),
            text: text.into(),
            line_starts: std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect(),
        }
    }

    /// Sorted and deduplicated: an aliased node may be read several times.
    pub fn locate_all(&self, problems: RefCell<Vec<Problem>>) -> Vec<Finding> {
        let mut problems = problems.into_inner();
        problems.sort();
        problems.dedup_by(|a, b| (a.span, &a.message, &a.help) == (b.span, &b.message, &b.help));
        problems.into_iter().map(|problem| self.locate(problem)).collect()
    }

    fn locate(&self, problem: Problem) -> Finding {
        let span = self.clamp(problem.span);
        let line = self.line_of(span.offset());
        let mut message = match problem.route {
            Some(route) => format!("route {route}: {}", problem.message),
            None => problem.message,
        };
        let mut labels = vec![LabeledSpan::new_primary_with_span(Some("here".into()), span)];
        if let Some(earlier) = problem.earlier.map(|earlier| self.clamp(earlier)) {
            let first = self.line_of(earlier.offset()) + 1;
            message = format!("{message}, first in line {first}");
            labels.push(LabeledSpan::new_with_span(Some("first here".into()), earlier));
        }
        Finding {
            line: line + 1,
            column: self.column_of(span.offset()) + 1,
            end_column: (!span.is_empty()).then(|| self.column_of(span.offset() + span.len()) + 1),
            message,
            help: problem.help,
            labels,
        }
    }

    /// Clamps the span to the file, its first line, and character boundaries.
    fn clamp(&self, span: Span) -> SourceSpan {
        let start = self.text.floor_char_boundary(span.start.min(self.text.len()));
        let end = start.saturating_add(span.len).min(self.text.len());
        let end = self.text.ceil_char_boundary(end);
        let first_line = self.text.get(start..end).unwrap_or_default();
        let len = first_line.lines().next().unwrap_or_default().len();
        (start, len).into()
    }

    fn line_of(&self, offset: usize) -> usize {
        let after = self.line_starts.partition_point(|start| *start <= offset);
        after.saturating_sub(1)
    }

    fn column_of(&self, offset: usize) -> usize {
        let start = self.line_starts.get(self.line_of(offset)).copied().unwrap_or(0);
        self.text.get(start..offset).unwrap_or_default().chars().count()
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let line = self.line_of(span.offset());
        let first = line.saturating_sub(before);
        let next = self.line_of(span.offset() + span.len()) + after + 1;
        let start = self.line_starts.get(first).copied().unwrap_or(0);
        let end = self.line_starts.get(next).copied().unwrap_or(self.text.len());
        let shown = self.text.get(start..end).ok_or(MietteError::OutOfBounds)?;
        let column = if before == 0 { self.column_of(span.offset()) } else { 0 };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            shown.as_bytes(),
            (start, end - start).into(),
            first,
            column,
            next - first,
        )))
    }
}
