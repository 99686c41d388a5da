//! Pauses of a worker that carries nothing but flows: bodies that go on and on to readers that say
//! nothing. Each time that it looks at its sockets costs much more than what one piece of a flow
//! does, so it looks a little less often, and finds and writes more at a time.
//!
//! A turn that writes anything else makes no pause: a head, trailers, the end of a body, a piece to
//! one who has spoken since the last one, or much of anything. It also makes the next pause shorter,
//! as each one that is made does the next one longer: as with the moderation of interrupts by network
//! cards, a call meets a long pause only where hardly any have come. So calls are delayed only where
//! they meet a flow on their worker, or have large bodies themselves, and then by one pause a turn.

use std::cell::Cell;
use std::time::Duration;

/// The shortest pause that is asked for; the system makes each some 50 us longer.
const SHORTEST: Duration = Duration::from_micros(10);

/// Output of one turn that speaks of a flow.
const SOME: usize = 2 << 10;

/// Output of one turn that is worth no pause: the worker has enough to do.
const MUCH: usize = 64 << 10;

thread_local! {
    static DUE: Cell<bool> = const { Cell::new(false) };
    static NEXT: Cell<Duration> = const { Cell::new(SHORTEST) };
}

/// What a turn has written.
#[derive(Debug, Default)]
pub struct Turn {
    bytes: usize,
    other: bool,
}

impl Turn {
    /// A connection is written to: that many bytes of a flow, or anything else.
    pub fn note(&mut self, flow: Option<usize>) {
        match flow {
            Some(bytes) => self.bytes += bytes,
            None => self.other = true,
        }
    }

    /// The turn is over: if it wrote nothing but flows, and little, a pause follows.
    pub fn end(self) {
        DUE.set(!self.other && (SOME..MUCH).contains(&self.bytes));
        if self.other {
            NEXT.set((NEXT.get() / 2).max(SHORTEST));
        }
    }
}

/// Pauses if that is due, for at most `longest`, not at all if that is nothing. To be called by a
/// worker that has nothing left to do until there is news on its sockets.
#[expect(clippy::disallowed_methods, reason = "all that is on this thread waits anyhow")]
pub fn pause(longest: Duration) {
    if DUE.take() && !longest.is_zero() {
        let pause = NEXT.get().min(longest);
        std::thread::sleep(pause);
        NEXT.set((pause * 2).min(longest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_micros(100);

    fn is_due_after(writes: &[Option<usize>]) -> bool {
        let mut turn = Turn::default();
        writes.iter().for_each(|flow| turn.note(*flow));
        turn.end();
        DUE.get()
    }

    #[test]
    fn only_flows_and_little_of_them_make_a_pause() {
        assert!(is_due_after(&[Some(SOME - 1), Some(1)]));
        assert!(!is_due_after(&[Some(SOME - 1)]));
        assert!(!is_due_after(&[Some(5_000), None]));
        assert!(!is_due_after(&[Some(MUCH - 1), Some(1)]));
        assert!(!is_due_after(&[]));
    }

    #[test]
    fn a_pause_is_made_once() {
        assert!(is_due_after(&[Some(5_000)]));
        pause(LONGEST);
        assert!(!DUE.get());
    }

    #[test]
    fn pauses_get_longer_until_a_turn_writes_something_else() {
        for _ in 0..10 {
            assert!(is_due_after(&[Some(5_000)]));
            pause(LONGEST);
        }
        assert_eq!(NEXT.get(), LONGEST);
        assert!(!is_due_after(&[Some(1)]));
        assert_eq!(NEXT.get(), LONGEST, "a turn that writes little says nothing");
        assert!(!is_due_after(&[Some(5_000), None]));
        assert_eq!(NEXT.get(), LONGEST / 2);
    }
}
