//! What has to happen however a function is left.

use std::rc::Rc;

use super::Pool;
use crate::net::{Closed, Conn};

/// Counts a request that waits, for as long as this lasts.
pub struct Waiting<'a>(&'a Pool);

impl Waiting<'_> {
    pub fn new(pool: &Pool) -> Waiting<'_> {
        pool.waiting.set(pool.waiting.get() + 1);
        Waiting(pool)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
        if self.0.waiting.get() > 0 {
            self.0.freed.notify_one(); // there may be room for the next one too
        }
        self.0.settle();
    }
}

/// Closes a connection that did not become ready in time.
pub struct CloseOnDrop(pub Option<Rc<Conn>>);

impl CloseOnDrop {
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            conn.close(Closed::PrefaceTimeout);
        }
    }
}
