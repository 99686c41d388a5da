//! Reads files of tokens.

use super::files::Files;
use super::report::{Problems, Span};
use crate::access::{MAX_TOKEN_FILE, Tokens};

/// Errors of a token file that are shown.
const MAX_SHOWN: usize = 20;

/// Reads the file of tokens that is named there.
pub fn read(name: &str, span: Span, files: &Files, problems: &Problems) -> Tokens {
    let path = files.locate(name);
    let read = files.read(&path, MAX_TOKEN_FILE).map_err(|error| error.to_string());
    let text = read
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()));
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            let help = "`equipoise ctl token new NAME --role read` prints a line for it";
            problems.error(span, message, help);
            return Tokens::default();
        }
    };
    Tokens::parse(&text).unwrap_or_else(|errors| {
        for error in errors.iter().take(MAX_SHOWN) {
            let message = format!("{}: {error}", path.display());
            let help = "`equipoise ctl token new NAME --role read` prints such a line";
            problems.error(span, message, help);
        }
        Tokens::default()
    })
}
