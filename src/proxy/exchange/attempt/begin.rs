//! Begins attempts.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use super::super::super::worker_snapshot::{Picked, WorkerSnapshot};
use super::super::InitialClass;
use super::Attempt;
use crate::net::Worker;

impl Attempt {
    /// Begins an attempt; it counts as in flight until dropped.
    pub fn begin(
        view: Rc<WorkerSnapshot>,
        picked: Picked,
        initial: InitialClass,
        worker: &Worker,
    ) -> Attempt {
        let (class, now) = (initial.class, worker.now());
        let attempt = Attempt::begun(view, picked, initial, worker);
        attempt.endpoint().load().begin(class, now);
        if attempt.is_stream() {
            attempt.endpoint().worker_stats(worker.index()).record_stream_opened();
        }
        attempt
    }

    /// The same, of a call that is counted in already.
    pub fn begun(
        view: Rc<WorkerSnapshot>,
        picked: Picked,
        initial: InitialClass,
        worker: &Worker,
    ) -> Attempt {
        let Picked { index, on_trial } = picked;
        let InitialClass { class, may_learn, called } = initial;
        let now = worker.now();
        Attempt {
            pool: Rc::clone(&view.pools[index]),
            view,
            back: OnceCell::new(),
            sent: Cell::new(now),
            class: Cell::new(class),
            class_since: Cell::new(now),
            may_learn: Cell::new(may_learn),
            called,
            head_at: Cell::new(None),
            detector: RefCell::default(),
            head_is_sample: Cell::new(false),
            on_trial: Cell::new(on_trial),
            is_hedge: Cell::new(false),
        }
    }
}
