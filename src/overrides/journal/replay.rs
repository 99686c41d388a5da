//! Reads a journal: what is good is kept, and what is not is told.

use super::image::Image;
use super::line::{self, Entry, Now};

/// A journal that was read.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) image: Image,
    /// Bytes of the last line, which was not written to its end.
    pub(super) torn: usize,
    /// The numbers of damaged lines before the last good one, counted from 1; the first few.
    pub(super) damaged: Vec<usize>,
    /// How many these are.
    pub(super) damages: usize,
    /// Good lines.
    pub(super) good: usize,
}

/// Damaged lines that are told.
const TOLD: usize = 8;

/// Reads a whole file.
///
/// # Errors
/// A later version of the gateway has written it, with this version of the format.
pub(super) fn replay(content: &[u8], now: Now) -> Result<Replay, u32> {
    let mut replay = Replay::default();
    // Damaged lines since the last good one: torn if no good one comes.
    let (mut bad, mut bad_bytes) = (Vec::new(), 0);
    let mut bads = 0;
    for (number, line) in (1..).zip(content.split_inclusive(|byte| *byte == b'\n')) {
        let whole = line.strip_suffix(b"\n");
        let entry = match whole {
            Some(whole) => line::read(whole, now)?,
            None => None,
        };
        let Some(entry) = entry else {
            bads += 1;
            bad_bytes += line.len();
            if bad.len() < TOLD {
                bad.push(number);
            }
            continue;
        };
        replay.good += 1;
        replay.damages += std::mem::take(&mut bads);
        replay.damaged.append(&mut bad);
        bad_bytes = 0;
        let image = &mut replay.image;
        match entry {
            Entry::Header(retired) => image.retire(retired),
            Entry::State { subject, revision, settings } => {
                image.restore(subject, revision, settings);
            }
            Entry::Record { record, past: true } => image.remember(record),
            Entry::Record { record, past: false } => image.apply(&record),
        }
    }
    replay.damaged.truncate(TOLD);
    // More than one damaged line at the end is no tear of one write, and one that has an end none at all.
    if bads > 1 || (bads == 1 && content.ends_with(b"\n")) {
        replay.damages += bads;
        replay.damaged.append(&mut bad);
        replay.damaged.truncate(TOLD);
    } else {
        replay.torn = bad_bytes;
    }
    Ok(replay)
}
