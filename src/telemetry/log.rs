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
    let parsed = EnvFilter::try_new(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(writer);
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
            let mut rest = piece.chars();
            match rest.next_back() {
                Some(last) if last.is_control() => {
                    write!(self.0, "{}{}", rest.as_str(), last.escape_default())?;
                }
                _ => self.0.write_str(piece)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_types)] // the lock is held for one line, by one thread
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    const HOSTILE: &str = "a\r\nERROR forged\x1b[2J\u{9b}31m \"é\"";

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, filter: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, filter, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    fn log_hostile() {
        let span = tracing::info_span!("connection", peer = %HOSTILE);
        span.in_scope(|| tracing::warn!(path = %HOSTILE, debug = ?HOSTILE, "refused {HOSTILE}"));
    }

    #[test]
    fn text_is_one_line_without_control_characters() {
        let line = logged(Format::Text, "info", log_hostile);
        let line = line.strip_suffix('\n').unwrap();
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.contains("WARN"), "{line}");
        assert!(line.contains("refused a\\r\\nERROR forged\\u{1b}[2J\\u{9b}31m \"é\""), "{line}");
        assert!(line.contains("path=a\\r\\n") && line.contains("peer=a\\r\\n"), "{line}");
    }

    #[test]
    fn json_keeps_every_character() {
        let line = logged(Format::Json, "info", log_hostile);
        assert_eq!(line.matches('\n').count(), 1);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["path"], HOSTILE);
        assert_eq!(json["message"], format!("refused {HOSTILE}"));
        assert_eq!(json["span"]["peer"], HOSTILE);
    }

    #[test]
    fn the_filter_holds_back_what_it_should() {
        let log = || {
            tracing::debug!("quiet");
            tracing::info!("loud");
        };
        let text = logged(Format::Text, "info", log);
        assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
        assert!(logged(Format::Text, "debug", log).contains("quiet"));
    }

    #[test]
    fn a_wrong_filter_is_named() {
        let error = subscriber(Format::Text, "info,proxy=loud", false, io::stderr).err().unwrap();
        assert!(error.to_string().contains("`info,proxy=loud`"), "{error}");
    }
}
