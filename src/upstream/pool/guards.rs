//! RAII guards of the pool.

use std::cell::Cell;
use std::rc::Rc;

use super::Pool;
use super::select::Share;
use crate::net::{Closed, Conn};

/// Counts a waiting request.
pub struct Waiting<'a> {
    pool: &'a Pool,
    share: Share,
}

impl Waiting<'_> {
    pub fn new(pool: &Pool, share: Share) -> Waiting<'_> {
        pool.wait_queue.enter(share);
        Waiting { pool, share }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pool.wait_queue.leave(self.share);
        self.pool.wait_queue.notify_one(); // there may be capacity for the next one too
        self.pool.close_unneeded();
    }
}

/// Closes a connection whose waiter gave up before it was ready.
pub struct CloseOnDrop {
    conn: Option<Rc<Conn>>,
    /// The close reason.
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
