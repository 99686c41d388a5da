//! A call that waits for a permit.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::{Admission, AdmittedCall};
use crate::admission::{Place, Ticket};
use crate::model::Time;

/// A call that waits for a permit; dropping it ends that.
pub struct Waiting {
    pub(super) admission: Rc<Admission>,
    pub(super) waiter: Rc<Waiter>,
    pub(super) place: Place,
    pub(super) since: Time,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) granted: Cell<bool>,
    pub(super) waker: RefCell<Option<Waker>>,
}

impl Waiter {
    pub(super) fn grant(&self) {
        self.granted.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Waiting {
    /// Resolves when it has a permit, which is the caller's from then on.
    pub async fn granted(&self) -> AdmittedCall {
        poll_fn(|cx| {
            if self.waiter.granted.take() {
                let Admission { permits, worker, .. } = &*self.admission;
                let waited = worker.now().since(self.since);
                return Poll::Ready(AdmittedCall::new(permits.calls(), waited));
            }
            *self.waiter.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Waiting { admission, waiter, place, .. } = self;
        if admission.queue.borrow_mut().remove(*place).is_some() {
            admission.flows.leave(waiter.ticket);
            admission.permits.leave(admission.worker.index());
            admission.show_head();
        } else if waiter.granted.get() {
            admission.put_back();
        }
    }
}
