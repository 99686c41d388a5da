//! Names in a sentence.

use std::fmt::Write as _;

/// How many names a message lists: errors travel in a header, and lines of a log are read.
pub const LISTED: usize = 8;

/// `a`, `b` and 3 more
pub fn listed(mut names: Vec<String>) -> String {
    names.sort_unstable();
    let mut text = String::new();
    for (i, name) in names.iter().take(LISTED).enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}`{name}`"); // a string takes everything
    }
    if names.len() > LISTED {
        let _ = write!(text, " and {} more", names.len() - LISTED);
    }
    text
}
