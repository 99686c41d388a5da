//! Recovery: a request waits for a backend to be up again while none can be reached.

use std::rc::Rc;

use super::super::failure::Failure;
use super::attempted_endpoints::AttemptedEndpoints;
use super::start::AttemptError;
use super::{Destination, Exchange};

impl Exchange {
    /// Waits until a backend may be asked, where there is none because they are down, and once more
    /// for each retry that the route allows.
    pub(super) async fn await_recovery(
        &self,
        destination: &Destination,
        attempted: &mut AttemptedEndpoints,
    ) -> Result<(), AttemptError> {
        let Err(error) = self.await_backend(destination, attempted).await else { return Ok(()) };
        match self.retry_unreached(destination, error, attempted) {
            Some(pause) => self.pause(pause).await,
            None => Err(error),
        }
    }

    /// Waits until a backend may be asked, where there is none because they are down. Those who wait
    /// go on in the order in which they came.
    async fn await_backend(
        &self,
        destination: &Destination,
        attempted: &mut AttemptedEndpoints,
    ) -> Result<(), AttemptError> {
        let (router, worker) = (&self.proxy.router, &self.proxy.worker);
        let service = destination.worker_service().ok_or(Failure::NoBackend)?;
        let before = service.view();
        if !attempted.may_wait(&before) {
            return Err(attempted.last_failure().into());
        }
        let settings = &before.snapshot.spec.upstream;
        let _slot = service.waiting().try_enter(settings.max_pending).ok_or(Failure::Connect)?;
        let now = worker.now();
        before.snapshot.demand.note(now);
        let until = attempted.waits_until(now, settings.pending_timeout);
        loop {
            let renewed = service.waiting().snapshot_changed();
            router.refresh();
            let view = service.view();
            if attempted.release(&view) || !Rc::ptr_eq(&view, &before) {
                return Ok(());
            }
            let left = until.since(worker.now());
            if left.is_zero() {
                return Err(Failure::Connect.into());
            }
            let waited = async {
                tokio::select! {
                    biased;
                    () = renewed => {}
                    () = worker.sleep(left) => {}
                }
            };
            self.unless_ended(waited).await?;
        }
    }
}
