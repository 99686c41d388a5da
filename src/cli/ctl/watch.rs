//! `ctl watch`: prints a service's backends repeatedly.

use std::time::Duration;

use super::session::Session;
use super::{Error, backends, json};
use crate::text::units;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service
    service: String,
    /// How often, beside every change
    #[arg(long, default_value = "1s", value_parser = units::parse_duration)]
    interval: Duration,
}

/// ANSI escape sequence: cursor to the top left, clear the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

impl Args {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let clear = if session.screen.redraws { CLEAR } else { "" };
        let mut states = session.client.watch(self.service, self.interval).await?;
        while let Some(service) = states.next().await? {
            session.print(
                |width| format!("{clear}{}", backends::text(std::slice::from_ref(&service), width)),
                || json::watched(&service),
            )?;
        }
        Ok(())
    }
}
