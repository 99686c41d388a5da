//! What a command works with: the gateway, and a place to print to.

use std::io::Write;

use super::client::Client;
use super::{Error, Output, json};

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has done what was asked.
    Done,
    /// It has looked for something that is not there, and said so.
    Nothing,
}

impl Outcome {
    /// What the process is to exit with.
    pub fn exit_code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::Nothing => 1,
        }
    }
}

/// What is printed to.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Whether what was printed last may be painted over.
    pub redraws: bool,
    /// How many characters fit in a line; asked each time, since windows are resized.
    pub width: fn() -> usize,
}

/// Characters in a line where nobody says how many there are.
const WIDTH: usize = 80;

impl Screen {
    /// The terminal, or what takes its place in a pipe.
    pub fn new(terminal: bool) -> Screen {
        let window = || terminal_size::terminal_size().map_or(WIDTH, |(width, _)| width.0.into());
        Screen { redraws: terminal, width: if terminal { window } else { || WIDTH } }
    }
}

/// What a command works with.
pub(super) struct Session<'a> {
    pub client: Client,
    pub output: Output,
    pub screen: Screen,
    pub out: &'a mut dyn Write,
}

impl Session<'_> {
    /// Prints what is asked for: for people, in lines of so many characters, or for programs.
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

    /// Says at which revision the service is now.
    pub fn changed(&mut self, service: &str, revision: u64) -> Result<(), Error> {
        self.print(
            |_| format!("{service} is now at revision {revision}\n"),
            || json::changed(service, revision),
        )
    }
}
