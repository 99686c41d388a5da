//! Attempts that show that a backend does not implement a method.

use std::rc::Rc;

use super::Attempt;
use crate::model::{AttemptOutcome, Code, GrpcCode, Time};
use crate::net::Worker;

impl Attempt {
    /// Remembers that the backend does not implement the method. Returns false if the list is full.
    pub fn learn_unimplemented(&self, now: Time) -> bool {
        let method = self.called.as_ref().and_then(|called| self.view.calls.method(called));
        let Some((method, back)) = method.zip(self.back.get()) else { return false };
        let conn = Rc::downgrade(back.conn());
        self.view.unimplemented.learn(method, self.endpoint().id(), conn, now)
    }

    /// Forgets that the backend does not implement the method, if this outcome shows that it does.
    pub(super) fn forget_unimplemented(&self, outcome: AttemptOutcome) {
        let implemented = match outcome {
            AttemptOutcome::Answered(code) => code != Code::Grpc(GrpcCode::Unimplemented),
            _ => false,
        };
        let method = self.called.as_ref().and_then(|called| self.view.calls.method(called));
        if let Some(method) = method.filter(|_| implemented) {
            self.view.unimplemented.forget(method, self.endpoint().id());
        }
    }

    /// Ends the attempt, as another backend is tried. That this one does not implement the method is
    /// no fault.
    pub fn pass_over(&self, worker: &Worker) {
        let answer = AttemptOutcome::Answered(Code::Grpc(GrpcCode::Unimplemented));
        let stats = self.endpoint().worker_stats(worker.index());
        self.record_result(stats, answer, None, worker.now());
        self.cancel();
    }
}
