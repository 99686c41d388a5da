//! Tells streams from calls by what the backend sends, never by silence and never by what a client
//! does alone: only exchanges whose response has begun are looked at.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use super::attempt::Attempt;
use crate::net::{Sleep, Stream, Worker};

/// A response that goes on for so long after its first message, and not for want of one more
/// packet, is a stream.
const LOOK: Duration = Duration::from_millis(100);

/// A head that has stood for so long without its end is one of a stream.
const HEAD_STANDS: Duration = Duration::from_secs(1);

/// So many messages one way are a stream.
pub const SECOND_MESSAGE: u64 = 2;

/// Watches one response from its head on.
#[derive(Default)]
pub struct StreamWatch {
    /// Boxed, as few requests wait for one, and all would carry it.
    look: Option<Box<Sleep>>,
}

impl StreamWatch {
    /// Looks at the exchange, and has the task of `cx` look again when that may tell more.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        attempt: &Attempt,
        front: Option<&Stream>,
        back: &Stream,
    ) {
        let Some(head_at) = attempt.head_at().filter(|_| !attempt.is_stream()) else { return };
        let mut streams = back.messages() >= SECOND_MESSAGE;
        while !streams {
            let look = self.look.get_or_insert_with(|| Box::new(worker.sleep(LOOK)));
            if Pin::new(&mut **look).poll(cx).is_pending() {
                return;
            }
            self.look = None;
            let asked = front.is_some_and(|front| front.messages() >= SECOND_MESSAGE);
            let stood = worker.now().since(head_at) >= HEAD_STANDS;
            streams = back.messages() > 0 || asked || stood;
        }
        self.look = None;
        attempt.become_stream(worker, front, back);
    }
}
