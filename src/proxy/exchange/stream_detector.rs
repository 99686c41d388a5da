//! Detects streams by what the backend sends after its response head; never by silence before the
//! head, nor by what the client does alone.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use crate::model::Time;
use crate::net::{Sleep, Stream, Worker};

/// A response still open this long after its first message (longer than one late packet takes) is a
/// stream.
const OPEN_AFTER_MESSAGE: Duration = Duration::from_millis(100);

/// A response still open this long after its head is a stream, even without a message.
const OPEN_AFTER_HEAD: Duration = Duration::from_secs(1);

/// This many messages in one direction make a stream.
pub const SECOND_MESSAGE: u64 = 2;

/// Watches one response from its head on; see the constants for the rules.
#[derive(Default)]
pub struct StreamDetector {
    /// Boxed, as few exchanges need one and it would enlarge them all.
    timer: Option<Box<Sleep>>,
}

impl StreamDetector {
    /// Whether the response whose head arrived at `head_at` is a stream. Otherwise wakes the task of
    /// `cx` for the next check.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        head_at: Time,
        front: Option<&Stream>,
        back: &Stream,
    ) -> bool {
        let mut streams = back.messages() >= SECOND_MESSAGE;
        while !streams {
            let timer =
                self.timer.get_or_insert_with(|| Box::new(worker.sleep(OPEN_AFTER_MESSAGE)));
            if Pin::new(&mut **timer).poll(cx).is_pending() {
                return false;
            }
            self.timer = None;
            let asked = front.is_some_and(|front| front.messages() >= SECOND_MESSAGE);
            let stood = worker.now().since(head_at) >= OPEN_AFTER_HEAD;
            streams = back.messages() > 0 || asked || stood;
        }
        self.timer = None;
        true
    }
}
