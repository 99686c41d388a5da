//! Tells streams from calls by what the backend sends, never by silence and never by what a client
//! does alone: only exchanges whose response has begun are looked at.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use crate::model::Time;
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
    /// Whether what goes on behind a head that came at `head_at` is a stream. Has the task of `cx`
    /// look again when that may have shown.
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
            let look = self.look.get_or_insert_with(|| Box::new(worker.sleep(LOOK)));
            if Pin::new(&mut **look).poll(cx).is_pending() {
                return false;
            }
            self.look = None;
            let asked = front.is_some_and(|front| front.messages() >= SECOND_MESSAGE);
            let stood = worker.now().since(head_at) >= HEAD_STANDS;
            streams = back.messages() > 0 || asked || stood;
        }
        self.look = None;
        true
    }
}
