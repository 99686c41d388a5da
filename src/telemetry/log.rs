//! The log: lines of text or JSON on standard error.
//!
//! A line goes through a bounded queue to a writer thread (`queue`), so that a blocked or closed
//! standard error neither blocks nor ends anything else.

mod filter;
mod panics;
mod queue;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

use thiserror::Error;
use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, reload};

pub use filter::{Filter, REQUEST, level, levels};
pub use panics::panics;
pub use queue::Dropped;
use queue::Queue;

/// The environment variable that overrides the configured filter.
pub const FILTER_VARIABLE: &str = "EQUIPOISE_LOG";

/// Timeout of the flush at exit.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter in the environment is invalid.
    #[error("{FILTER_VARIABLE}={text}: {wrong}")]
    Filter {
        /// The filter's text.
        text: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// Standard error, or a thread, is not available.
    #[error("there is no log: {0}")]
    Io(#[from] io::Error),
    /// A global subscriber is already set.
    #[error("the log is there already: {0}")]
    Taken(#[from] TryInitError),
    /// The filter cannot be changed.
    #[error("the filter of the log cannot be changed: {0}")]
    Reload(#[from] reload::Error),
}

/// The global log of this process.
struct Log {
    queue: Queue,
    configured: Filter,
    now: reload::Handle<Targets, Registry>,
    /// The text of the current filter.
    shown: arc_swap::ArcSwap<Filter>,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// RAII guard: flushes the log on drop, with a timeout.
#[derive(Debug)]
pub struct FlushGuard(());

impl Drop for FlushGuard {
    fn drop(&mut self) {
        if let Some(log) = LOG.get() {
            log.queue.flush(FLUSH_TIMEOUT);
        }
    }
}

/// Starts logging to standard error what passes `filter`; at most `buffer` bytes are queued.
/// Installs a panic hook that logs too.
///
/// # Errors
/// If a global subscriber is already set, or the system denies a resource.
pub fn init(format: Format, filter: &Filter, buffer: usize) -> Result<FlushGuard, LogError> {
    let stderr = io::stderr();
    let colour = stderr.is_terminal();
    // Not through std's handle: its lock would be held while the reader blocks.
    let out = File::from(stderr.as_fd().try_clone_to_owned()?);
    let queue = Queue::start(buffer, out, |lines| {
        tracing::warn!(lines, "lines of the log were dropped before this one");
    })?;
    let (layer, now) = reload::Layer::new(filter.targets());
    subscriber(format, layer, colour, queue.clone()).try_init()?;
    let shown = arc_swap::ArcSwap::from_pointee(filter.clone());
    let _ = LOG.set(Log { queue, configured: filter.clone(), now, shown }); // try_init fails above
    panics::install_hook();
    Ok(FlushGuard(()))
}

/// The filter of [`FILTER_VARIABLE`], refining `configured`. An empty variable counts as unset.
///
/// # Errors
/// If it cannot be parsed.
pub fn from_environment(configured: &Filter) -> Result<Filter, LogError> {
    let Some(text) = std::env::var_os(FILTER_VARIABLE) else { return Ok(configured.clone()) };
    let text = text.to_string_lossy().into_owned();
    configured.refined(&text).map_err(|wrong| LogError::Filter { text, wrong })
}

/// The current and the configured filter, if this process logs.
pub fn filters() -> Option<(Filter, Filter)> {
    LOG.get().map(|log| (Filter::clone(&log.shown.load()), log.configured.clone()))
}

/// Replaces the current filter.
///
/// # Errors
/// If logging was never set up.
pub fn set_filter(filter: &Filter) -> Result<(), LogError> {
    if let Some(log) = LOG.get() {
        log.now.reload(filter.targets())?;
        log.shown.store(std::sync::Arc::new(filter.clone()));
    }
    Ok(())
}

/// Lines dropped so far.
pub fn dropped() -> Dropped {
    LOG.get().map(|log| log.queue.dropped()).unwrap_or_default()
}

fn subscriber<W>(
    format: Format,
    filter: reload::Layer<Targets, Registry>,
    colour: bool,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Formatting errors must not bypass the queue to standard error either.
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false).with_writer(writer);
    let lines = match format {
        Format::Json => lines.json().flatten_event(true).boxed(),
        Format::Text => {
            lines.with_ansi(colour).fmt_fields(debug_fn(write_field).delimited(" ")).boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(lines)
}

/// Escapes a field, so that a peer can neither forge lines nor send control sequences to the
/// terminal.
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
#[expect(clippy::disallowed_types)] // held for one line, by one thread
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    use tracing::level_filters::LevelFilter;

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
        let filter = Filter::from(LevelFilter::INFO).refined(filter).unwrap();
        let (filter, _) = reload::Layer::new(filter.targets());
        let subscriber = subscriber(format, filter, false, move || writer.clone());
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
    fn the_filter_applies_by_target() {
        let log = || {
            tracing::debug!("quiet");
            tracing::info!("loud");
        };
        let text = logged(Format::Text, "info", log);
        assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
        assert!(logged(Format::Text, "debug", log).contains("quiet"));
    }

    #[test]
    fn a_filter_can_be_changed() {
        let lines = Lines::default();
        let writer = lines.clone();
        let info = Filter::from(LevelFilter::INFO);
        let (filter, now) = reload::Layer::new(info.targets());
        let subscriber = subscriber(Format::Text, filter, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("quiet");
            now.reload(info.refined("debug").unwrap().targets()).unwrap();
            tracing::debug!("loud");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
    }
}
