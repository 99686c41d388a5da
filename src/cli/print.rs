//! What commands print. Neither output has to be there: a reader such as `head` leaves when it has
//! enough, and a disk may be full.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// Prints on the standard output. That nobody reads on is no failure; that it cannot be written is.
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

/// Prints on the standard error. Where that cannot be, there is nobody to tell.
pub fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
