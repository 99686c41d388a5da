//! Enumerating names in a sentence.

use std::fmt::Write as _;

/// How many names a message lists; errors travel in a header, and log lines should stay readable.
pub const LISTED: usize = 8;

/// Formats as: `a`, `b` and 3 more
pub fn listed(mut names: Vec<String>) -> String {
    names.sort_unstable();
    let mut text = String::new();
    for (i, name) in names.iter().take(LISTED).enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}`{name}`"); // writing to a String cannot fail
    }
    if names.len() > LISTED {
        let _ = write!(text, " and {} more", names.len() - LISTED);
    }
    text
}
