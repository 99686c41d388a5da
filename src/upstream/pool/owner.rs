//! What a connection tells its pool.

use std::rc::{Rc, Weak};

use tokio::sync::Notify;

use super::Pool;
use crate::http2::Headers;
use crate::net::{Closed, Handler, Stream};

/// What a connection tells the pool.
pub struct Owner {
    pub pool: Weak<Pool>,
    pub news: Notify,
}

impl Handler for Owner {
    fn request(&self, stream: Rc<Stream>, headers: Headers, _end: bool) {
        // A backend cannot open streams: push is not enabled.
        stream.conn().worker().recycle(headers);
    }

    fn oversized(&self, stream: Rc<Stream>, headers: Headers) {
        stream.conn().worker().recycle(headers);
    }

    fn changed(&self) {
        self.news.notify_waiters();
        if let Some(pool) = self.pool.upgrade() {
            pool.freed.notify_one();
        }
    }

    fn opened(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.observer.opened();
        }
    }

    fn closed(&self, why: Closed) {
        if let Some(pool) = self.pool.upgrade() {
            pool.observer.closed(why);
        }
    }
}
