//! What has to happen however a function is left.

use std::cell::Cell;
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

/// Closes a connection that nobody waits for any more before it was ready.
pub struct CloseOnDrop {
    conn: Option<Rc<Conn>>,
    /// Why it is closed if it is closed now.
    why: Rc<Cell<Closed>>,
}

impl CloseOnDrop {
    pub fn new(conn: &Rc<Conn>, why: &Rc<Cell<Closed>>) -> CloseOnDrop {
        CloseOnDrop { conn: Some(Rc::clone(conn)), why: Rc::clone(why) }
    }

    pub fn keep(mut self) {
        self.conn = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            conn.close(self.why.get());
        }
    }
}
