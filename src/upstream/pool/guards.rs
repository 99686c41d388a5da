//! What has to happen however a function is left.

use std::rc::Rc;

use super::Pool;
use super::room::Share;
use crate::net::{Closed, Conn};

/// Counts a request that waits, for as long as this lasts.
pub struct Waiting<'a> {
    pool: &'a Pool,
    share: Share,
}

impl Waiting<'_> {
    pub fn new(pool: &Pool, share: Share) -> Waiting<'_> {
        pool.freed.enter(share);
        Waiting { pool, share }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pool.freed.leave(self.share);
        self.pool.freed.notify_one(); // there may be room for the next one too
        self.pool.settle();
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
