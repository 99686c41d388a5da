//! Picks among endpoints that may have a limited number of calls in flight.

use std::rc::Rc;

use super::super::hash_key::KeyContext;
use super::super::worker_snapshot::{Picked, WorkerSnapshot};
use super::attempt::Attempt;
use super::{Exchange, InitialClass};
use crate::model::ExchangeClass;

/// Further picks before all endpoints are looked through.
const PICKS: usize = 4;

impl Exchange {
    /// Begins an attempt at the picked endpoint or, if it has as many calls in flight as it may have, at
    /// another that is not `avoided`: by further picks, or whichever has room.
    #[inline(never)] // keeps the pick of a service without this limit small
    pub(super) fn begin_within(
        &self,
        limit: u32,
        view: &Rc<WorkerSnapshot>,
        (mut picked, initial): (Picked, InitialClass),
        (key_cx, avoided): (&KeyContext<'_>, &[usize]),
    ) -> Option<Attempt> {
        let worker = &self.proxy.worker;
        let mut full = avoided.to_vec(); // allocates, but only where there is this limit
        for _ in 0..PICKS {
            if self.takes_place(limit, view, picked.index) {
                return Some(Attempt::begun(Rc::clone(view), picked, initial, worker));
            }
            view.put_back(&picked, worker.now());
            full.push(picked.index);
            picked = view.pick(worker, key_cx, ExchangeClass::Call, &full)?;
            if full.contains(&picked.index) {
                break;
            }
        }
        view.put_back(&picked, worker.now());
        let start = worker.rng().borrow_mut().usize(..view.pools.len().max(1));
        let all = (start..view.pools.len()).chain(0..start);
        let mut others = all.filter(|index| !avoided.contains(index) && !view.is_on_trial(*index));
        let index = others.find(|index| self.takes_place(limit, view, *index))?;
        let picked = Picked { index, on_trial: false };
        Some(Attempt::begun(Rc::clone(view), picked, initial, worker))
    }

    /// Counts a call in at the endpoint, if it has room for one.
    fn takes_place(&self, limit: u32, view: &WorkerSnapshot, index: usize) -> bool {
        let pool = view.pools.get(index);
        pool.is_some_and(|pool| pool.endpoint().load().try_begin_call(limit))
    }
}
