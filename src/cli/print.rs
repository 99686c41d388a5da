//! Output of commands. Readers such as `head` may close it early, and disks may be full.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// Prints to standard output. A closed pipe is not a failure; other write errors are.
pub fn show(text: &str) -> ExitCode {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("error: cannot write: {error}\n"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Prints to standard error. If that fails, nothing is left to report to.
pub fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
