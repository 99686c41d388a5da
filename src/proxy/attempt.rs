//! One request on its way to one backend: in flight until this is dropped, and what the backend
//! is known for afterwards.

use std::rc::Rc;
use std::time::Duration;

use super::key::{Issued, SetCookie};
use super::target::View;
use crate::model::{Class, Code, Endpoint, EwmaParams, Time};
use crate::net::Worker;
use crate::upstream::Pool;

/// A request that a backend was picked for.
pub struct Attempt {
    view: Rc<View>,
    index: usize,
    picked: Time,
}

impl Attempt {
    /// The request counts as in flight from now on.
    pub fn begin(view: Rc<View>, index: usize, now: Time) -> Attempt {
        let attempt = Attempt { view, index, picked: now };
        attempt.endpoint().load().begin();
        attempt
    }

    /// Connections to the backend.
    pub fn pool(&self) -> &Rc<Pool> {
        &self.view.pools[self.index]
    }

    /// The field that gives the client the cookie drawn for it.
    pub fn set_cookie(&self, issued: &Issued, secure: bool) -> Option<SetCookie> {
        self.view.set_cookie(issued, secure)
    }

    fn endpoint(&self) -> &Endpoint {
        self.pool().endpoint()
    }

    fn ewma(&self) -> &EwmaParams {
        self.view.snapshot.set.ewma()
    }

    /// The head of the response is there; `whole` if all the rest is too.
    pub fn on_head(&self, worker: &Worker, started: Time, whole: bool) {
        let now = worker.now();
        self.endpoint().worker_stats(worker.index()).record_start(now.since(started));
        if !whole {
            // A stream may last for hours: the time to its head is what tells of latency.
            self.observe(now.since(self.picked), now);
        }
    }

    /// It is over with `code`. `answered` is when the answer was there, if that says how fast
    /// the backend is: for a single message its arrival, for a stream nothing.
    pub fn on_end(&self, worker: &Worker, started: Time, code: Code, answered: Option<Time>) {
        let now = worker.now();
        self.endpoint().worker_stats(worker.index()).record(code, now.since(started));
        match (code.class(), answered) {
            (Class::Failure, _) => self.fail(now),
            (Class::Success, Some(at)) => self.observe(at.since(self.picked), now),
            (Class::Success | Class::Cancelled, _) => {}
        }
    }

    /// The client gave up before there was a head: the backend is at least as slow as that.
    pub fn on_patience_lost(&self, now: Time) {
        let waited = now.since(self.picked);
        if waited.as_secs_f64() > self.endpoint().load().ewma_seconds(self.ewma()) {
            self.observe(waited, now);
        }
    }

    /// The backend failed, or could not be reached.
    pub fn fail(&self, now: Time) {
        self.endpoint().load().observe_failure(now.since(self.picked), now, self.ewma());
    }

    fn observe(&self, rtt: Duration, now: Time) {
        self.endpoint().load().observe(rtt, now, self.ewma());
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.endpoint().load().end();
    }
}
