//! GetLogLevel and SetLogLevel: the log filter at run time.

use tonic::Status;
use tracing::Level;

use super::audit::{self, Call};
use super::proto;
use crate::audit::{Entry, Event};
use crate::overrides::{Author, ChangeRecord};
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

/// Changes the filter, with the audit before and after.
pub(super) async fn change(
    call: &Call,
    proto::SetLogLevelRequest { level: text, dry_run }: &proto::SetLogLevelRequest,
) -> Result<proto::LogLevel, Status> {
    if *dry_run {
        let wanted = wanted(text).map_err(Status::invalid_argument)?;
        return Ok(proto::LogLevel { level: wanted.to_string(), ..get()? });
    }
    let Some(trail) = call.permit.audit() else { return set(&call.by, text) };
    let before = get().map(|level| level.level).unwrap_or_default();
    let (sequence, what) = (ChangeRecord::next_sequence(), "set the level of the log");
    let entry = |event| Entry::by(&call.by, event).about(what, &before, text).numbered(sequence);
    wanted(text).map_err(|error| refused(&call.by, error))?;
    let intent = trail.intend(vec![entry(Event::Intent)]).await;
    intent.map_err(|error| audit::not_kept(&error))?;
    call.permit.told();
    let set = set(&call.by, text);
    let result = match &set {
        Ok(_) => entry(Event::Done),
        Err(error) => entry(Event::Failed).because(error.message()),
    };
    trail.conclude(vec![result]).await;
    set
}

/// The filter of a text.
fn wanted(text: &str) -> Result<Filter, String> {
    let (_, configured) = filters().map_err(|error| error.message().to_owned())?;
    match text.trim() {
        CONFIGURED => Ok(configured),
        "" => Err("no level is given".to_owned()),
        text if text.len() > MAX_LENGTH => Err("this is too long for a level".to_owned()),
        text => configured.refined(text),
    }
}

fn refused(by: &Author, error: String) -> Status {
    let by = by.to_string();
    tracing::warn!(by, error, "change of the log's level refused");
    Status::invalid_argument(error)
}

fn set(by: &Author, text: &str) -> Result<proto::LogLevel, Status> {
    let (before, _) = filters()?;
    let wanted = wanted(text).map_err(|error| refused(by, error))?;
    let by = by.to_string();
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
