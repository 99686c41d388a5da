//! GetLogLevel and SetLogLevel: the log filter at run time.

use tonic::Status;
use tracing::Level;

use super::proto;
use crate::overrides::Author;
use crate::telemetry::log::{self, Filter};

/// The keyword that restores the configured filter.
const CONFIGURED: &str = "configured";

/// Maximum length of a filter.
const MAX_LENGTH: usize = 1024;

fn filters() -> Result<(Filter, Filter), Status> {
    log::filters().ok_or_else(|| Status::failed_precondition("this process has no log"))
}

pub(super) fn get() -> Result<proto::LogLevel, Status> {
    let (now, configured) = filters()?;
    Ok(proto::LogLevel { level: now.to_string(), configured: configured.to_string() })
}

pub(super) fn set(by: &Author, text: &str) -> Result<proto::LogLevel, Status> {
    let (before, configured) = filters()?;
    let by = by.to_string();
    let wanted = match text.trim() {
        CONFIGURED => Ok(configured),
        "" => Err("no level is given".to_owned()),
        text if text.len() > MAX_LENGTH => Err("this is too long for a level".to_owned()),
        text => configured.refined(text),
    };
    let wanted = wanted.map_err(|error| {
        tracing::warn!(by, error, "change of the log's level refused");
        Status::invalid_argument(error)
    })?;
    let audit = || tracing::info!(by, %before, now = %wanted, "the level of the log is changed");
    for doubt in wanted.unknown_targets() {
        tracing::warn!(by, %doubt, "the level of the log");
    }
    // Logged while the filter lets it through: before it gets stricter, or after it got looser.
    let shown = tracing::enabled!(Level::INFO);
    if shown {
        audit();
    }
    log::set_filter(&wanted).map_err(|error| Status::internal(error.to_string()))?;
    if !shown {
        audit();
    }
    get()
}
