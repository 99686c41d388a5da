//! Adaptive write coalescing for bulk streams, like interrupt moderation in network cards: a worker
//! that writes only bulk data pauses briefly before it polls its sockets again, as each poll costs
//! much more than forwarding one piece of DATA, and then reads and writes more at a time.
//!
//! A turn that writes anything else is followed by no pause, and halves the next one: HEADERS,
//! trailers, END_STREAM, DATA to a peer that has sent something since the last write, or much
//! output. Each pause made doubles the next. So unary calls are delayed only where they share a
//! worker with a bulk stream or have large bodies themselves, and then by one pause a turn.

use std::cell::Cell;
use std::time::Duration;

/// The shortest pause that is requested; the kernel adds some 50 us.
const MIN_PAUSE: Duration = Duration::from_micros(10);

/// Minimum output of a turn that counts as a bulk stream.
const MIN_BULK: usize = 2 << 10;

/// Output of a turn above which a pause gains nothing, as the worker is busy enough.
const MAX_BULK: usize = 64 << 10;

thread_local! {
    static DUE: Cell<bool> = const { Cell::new(false) };
    static NEXT: Cell<Duration> = const { Cell::new(MIN_PAUSE) };
}

/// The output of one turn of the worker.
#[derive(Debug, Default)]
pub struct TurnOutput {
    bytes: usize,
    other: bool,
}

impl TurnOutput {
    /// Records the flush of a connection: that many bytes of bulk data, or anything else.
    pub fn note(&mut self, bulk: Option<usize>) {
        match bulk {
            Some(bytes) => self.bytes += bytes,
            None => self.other = true,
        }
    }

    /// Ends the turn: a pause follows if it wrote only bulk data, and little of it.
    pub fn end(self) {
        DUE.set(!self.other && (MIN_BULK..MAX_BULK).contains(&self.bytes));
        if self.other {
            NEXT.set((NEXT.get() / 2).max(MIN_PAUSE));
        }
    }
}

/// Pauses if that is due, for at most `max_delay`; never if that is zero. To be called by a worker
/// that is about to block on its sockets.
#[expect(clippy::disallowed_methods, reason = "all that is on this thread waits anyhow")]
pub fn pause(max_delay: Duration) {
    if DUE.take() && !max_delay.is_zero() {
        let pause = NEXT.get().min(max_delay);
        std::thread::sleep(pause);
        NEXT.set((pause * 2).min(max_delay));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_DELAY: Duration = Duration::from_micros(100);

    fn is_due_after(writes: &[Option<usize>]) -> bool {
        let mut turn = TurnOutput::default();
        writes.iter().for_each(|bulk| turn.note(*bulk));
        turn.end();
        DUE.get()
    }

    #[test]
    fn only_little_bulk_output_makes_a_pause() {
        assert!(is_due_after(&[Some(MIN_BULK - 1), Some(1)]));
        assert!(!is_due_after(&[Some(MIN_BULK - 1)]));
        assert!(!is_due_after(&[Some(5_000), None]));
        assert!(!is_due_after(&[Some(MAX_BULK - 1), Some(1)]));
        assert!(!is_due_after(&[]));
    }

    #[test]
    fn a_pause_is_made_once() {
        assert!(is_due_after(&[Some(5_000)]));
        pause(MAX_DELAY);
        assert!(!DUE.get());
    }

    #[test]
    fn pauses_get_longer_until_a_turn_writes_something_else() {
        for _ in 0..10 {
            assert!(is_due_after(&[Some(5_000)]));
            pause(MAX_DELAY);
        }
        assert_eq!(NEXT.get(), MAX_DELAY);
        assert!(!is_due_after(&[Some(1)]));
        assert_eq!(NEXT.get(), MAX_DELAY, "a turn that writes little says nothing");
        assert!(!is_due_after(&[Some(5_000), None]));
        assert_eq!(NEXT.get(), MAX_DELAY / 2);
    }
}
