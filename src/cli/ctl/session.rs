//! The context of a command: the client and the output.

use std::io::Write;

use serde::Serialize;

use super::change::Expected;
use super::client::Client;
use super::preview::{self, Named};
use super::{Error, Output, json};
use crate::control::proto;

/// How a successful command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// The thing asked for does not exist, which was printed.
    Nothing,
}

impl Outcome {
    /// The exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::Nothing => 1,
        }
    }
}

/// The properties of the output device.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Whether it is a terminal, so that earlier output can be overwritten.
    pub redraws: bool,
    /// Returns the width in characters; called each time, as windows are resized.
    pub width: fn() -> usize,
}

/// The default width.
const WIDTH: usize = 80;

impl Screen {
    /// Standard output, a terminal or not.
    pub fn new(terminal: bool) -> Screen {
        let window = || terminal_size::terminal_size().map_or(WIDTH, |(width, _)| width.0.into());
        Screen { redraws: terminal, width: if terminal { window } else { || WIDTH } }
    }
}

/// What became of a change: the revision, whether it outlives the process, and, if nothing else was
/// asked for, what would be.
pub(super) type Made = (u64, bool, Option<proto::Preview>);

/// The context of a command.
pub(super) struct Session<'a> {
    pub client: Client,
    pub output: Output,
    pub screen: Screen,
    pub out: &'a mut dyn Write,
}

impl Session<'_> {
    /// Prints a result: as text of this width, or as JSON.
    pub fn print(
        &mut self,
        people: impl FnOnce(usize) -> String,
        programs: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let text = match self.output {
            Output::Table => people((self.screen.width)()),
            Output::Json => programs(),
        };
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(Error::Output)
    }

    /// Prints the service's new revision, or what would be.
    pub fn changed(&mut self, service: &str, made: Made, expected: &Expected) -> Result<(), Error> {
        self.changed_with(service, made, expected, None)
    }

    /// As `changed`, with a warning if there is one.
    pub fn changed_with(
        &mut self,
        service: &str,
        (revision, durable, preview): Made,
        expected: &Expected,
        warning: Option<&str>,
    ) -> Result<(), Error> {
        if let Some(preview) = preview {
            let named = Named { service: Some(service), route: None };
            return preview::print(self, named, (revision, durable), &preview);
        }
        let told = warning.map(|warning| format!("warning: {warning}\n")).unwrap_or_default();
        self.print(
            |_| format!("{}{told}", expected.told(service, revision, durable)),
            || changed_json(service, revision, durable, warning),
        )
    }
}

#[derive(Serialize)]
struct Changed<'a> {
    service: &'a str,
    revision: u64,
    durable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'a str>,
}

fn changed_json(service: &str, revision: u64, durable: bool, warning: Option<&str>) -> String {
    json::line(serde_json::to_string(&Changed { service, revision, durable, warning }))
}
