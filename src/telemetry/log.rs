//! The log: lines of text or JSON on standard error.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The environment variable that, if set, is taken instead of the configured filter.
pub const FILTER_VARIABLE: &str = "EQUIPOISE_LOG";

/// How the lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error(
        "`{filter}` is not a log filter ({source}): write a level, such as info, or info,equipoise::proxy=debug"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Something else logs in this process.
    #[error("the log is there already: {0}")]
    Taken(#[from] TryInitError),
}

/// Starts to log on standard error what passes `filter`, or [`FILTER_VARIABLE`] if it is set.
///
/// # Errors
/// If the filter is wrong or the process has a log.
pub fn init(format: Format, filter: &str) -> Result<(), LogError> {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| filter.to_owned());
    subscriber(format, &filter, io::stderr().is_terminal(), io::stderr)?.try_init()?;
    Ok(())
}

fn subscriber<W>(
    format: Format,
    filter: &str,
    colour: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let parsed = EnvFilter::try_new(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(writer);
    Ok(match format {
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
        Format::Text => {
            let fields = debug_fn(write_field).delimited(" ");
            Box::new(builder.with_ansi(colour).fmt_fields(fields).finish())
        }
    })
}

/// Writes a field so that what a peer sent can neither end the line nor command the terminal.
fn write_field(
    writer: &mut Writer<'_>,
    field: &Field,
    value: &dyn std::fmt::Debug,
) -> std::fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(Escaping(writer), "{value:?}")
}

struct Escaping<'a, W>(&'a mut W);

impl<W: std::fmt::Write> std::fmt::Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for piece in text.split_inclusive(char::is_control) {
            match piece.chars().next_back().filter(|c| c.is_control()) {
                None => self.0.write_str(piece)?,
                Some(control) => {
                    self.0
                        .write_str(&piece[..piece.len() - control.len_utf8()])?;
                    write!(self.0, "{}", control.escape_default())?;
                }
            }
        }
        Ok(())
    }
}
