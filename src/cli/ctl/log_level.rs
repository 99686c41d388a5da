//! `ctl log-level`: shows or sets the log filter.

use serde::Serialize;

use super::session::Session;
use super::{Error, json};
use crate::control::proto::{GetLogLevelRequest, LogLevel, SetLogLevelRequest};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// off, error, warn, info or debug, with levels for parts behind commas
    /// (`warn,equipoise::upstream=debug`); `configured` goes back
    level: Option<String>,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let mut api = session.client.api();
        let level = match self.level {
            None => session.client.wait(api.get_log_level(GetLogLevelRequest {})).await?,
            Some(level) => {
                session.client.wait(api.set_log_level(SetLogLevelRequest { level })).await?
            }
        };
        session.print(|_| text(&level), || programs(&level))
    }
}

fn text(LogLevel { level, configured }: &LogLevel) -> String {
    if level == configured {
        format!("{level}\n")
    } else {
        format!("{level}, until the process ends; configured is {configured}\n")
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    level: &'a str,
    configured: &'a str,
}

fn programs(LogLevel { level, configured }: &LogLevel) -> String {
    json::line(serde_json::to_string(&Shown { level, configured }))
}
