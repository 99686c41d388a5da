//! Admits the request to its service: takes a permit, waits for one, or refuses.

use std::rc::Rc;
use std::time::Duration;

use super::super::admission::{Admission, AdmittedCall, Arrival, End, Waiting};
use super::super::caller::caller;
use super::super::failure::{Failure, Pushback};
use super::super::method_metrics::CalledMethod;
use super::super::worker_service::WorkerService;
use super::start::AttemptError;
use super::{Attempt, Destination, Exchange, Outcome};
use crate::model::{AttemptOutcome, Code, ExchangeClass, GrpcCode};
use crate::service::{Concurrency, Refusal};

/// A refused client is asked to wait for this long at least before it tries again.
const MIN_PUSHBACK: Duration = Duration::from_millis(100);

/// A refused client is asked to wait for this long at most.
const MAX_PUSHBACK: Duration = Duration::from_secs(10);

/// What a request holds of its service's limits.
#[derive(Clone, Copy, Debug, Default)]
pub enum Permit {
    /// Nothing: there is no limit, or it is not admitted yet.
    #[default]
    None,
    /// A place among the calls in flight.
    Call(AdmittedCall),
    /// A place among the streams.
    Stream,
}

/// Whether a request is admitted at once.
pub enum Admitted {
    Yes,
    /// It waits for a permit. Boxed, as it is rare.
    Waits(Box<Wait>),
    No(Failure),
}

/// The wait of a call for a permit.
pub struct Wait {
    waiting: Waiting,
    /// How long at most.
    limit: Duration,
}

impl Exchange {
    /// Takes a permit, where calls are counted.
    #[inline]
    pub(super) fn admit(&self, destination: &Destination) -> Admitted {
        let Some(service) = destination.worker_service() else { return Admitted::Yes };
        match service.admission() {
            None => Admitted::Yes,
            Some(admission) if admission.limits_calls() || service.limits_streams() => {
                self.admit_within_limits(service, admission)
            }
            Some(admission) => {
                self.permit.set(admission.try_acquire().map_or(Permit::None, Permit::Call));
                Admitted::Yes
            }
        }
    }

    #[inline(never)] // keeps what has no limits small
    fn admit_within_limits(&self, service: &WorkerService, admission: &Rc<Admission>) -> Admitted {
        let view = service.view();
        let Some(concurrency) = &view.snapshot.spec.concurrency else { return Admitted::Yes };
        let initial = self.initial_class(&view);
        if initial.class == ExchangeClass::Stream {
            if !admission.try_acquire_stream(concurrency.max_streams) {
                return Admitted::No(self.refused(concurrency, Duration::ZERO));
            }
            self.permit.set(Permit::Stream);
            return Admitted::Yes;
        }
        if let Some(call) = admission.try_acquire() {
            self.permit.set(Permit::Call(call));
            return Admitted::Yes;
        }
        let deadline = self.timeouts.borrow().deadline();
        let arrival = Arrival {
            concurrency,
            caller: caller(concurrency, &self.front, &self.head.borrow()),
            method: initial.called.as_ref().and_then(CalledMethod::index),
            left: deadline.map(|deadline| deadline.since(self.proxy.worker.now())),
        };
        match admission.join(&arrival) {
            Ok(waiting) => {
                Admitted::Waits(Box::new(Wait { waiting, limit: concurrency.queue_timeout }))
            }
            Err(expected) => Admitted::No(self.refused(concurrency, expected)),
        }
    }

    /// Waits for a permit.
    pub(super) async fn wait_for_permit(
        &self,
        destination: &Destination,
        wait: Wait,
    ) -> Result<(), AttemptError> {
        let Wait { waiting, limit } = wait;
        let granted = async {
            tokio::select! {
                biased;
                call = waiting.granted() => Some(call),
                () = self.proxy.worker.sleep(limit) => None,
            }
        };
        if let Some(call) = self.unless_ended(granted).await? {
            self.permit.set(Permit::Call(call));
            return Ok(());
        }
        let view = destination.worker_service().map(|service| service.view());
        let concurrency = view.as_ref().and_then(|view| view.snapshot.spec.concurrency.as_ref());
        Err(match concurrency {
            Some(concurrency) => self.refused(concurrency, limit).into(),
            None => Failure::Overloaded.into(), // the limits were removed meanwhile
        })
    }

    /// The refusal of a request that would have to wait for so long.
    fn refused(&self, concurrency: &Concurrency, expected: Duration) -> Failure {
        let pushback = expected.clamp(MIN_PUSHBACK, MAX_PUSHBACK);
        // Drawn, so that clients that were refused together do not come back together.
        let part = 1.0 + self.proxy.worker.rng().borrow_mut().f32();
        let pushback = Pushback::of(pushback.mul_f32(part));
        match concurrency.refusal {
            Refusal::ResourceExhausted => Failure::Limited(pushback),
            Refusal::Unavailable => Failure::Busy(pushback),
        }
    }

    /// The permit follows what the attempt is: that of a call that is a stream is one of streams.
    #[inline]
    pub(super) fn follow(&self, attempt: &Attempt) {
        let Permit::Call(call) = self.permit.get() else { return };
        if attempt.is_stream() {
            if let Some(admission) = self.admission() {
                self.permit.set(Permit::Stream);
                admission.become_stream();
            }
        } else if call.method.is_none() {
            self.permit.set(Permit::Call(AdmittedCall { method: attempt.method_index(), ..call }));
        }
    }

    /// Notes how the call has ended, for what is learnt of it when the permit is returned.
    #[inline]
    pub(super) fn note_end(&self, outcome: &Outcome) {
        let Permit::Call(call) = self.permit.get() else { return };
        let end = match outcome.attempt_outcome {
            _ if outcome.expired.is_some() => End::Expired,
            AttemptOutcome::Answered(code) if !is_refusal(code) => End::Answered,
            AttemptOutcome::ClientGone => End::GivenUp,
            _ => End::Failed,
        };
        // A client that is slow to read its answer tells nothing of the backend.
        let at = outcome.answered.unwrap_or_else(|| self.proxy.worker.now());
        self.permit.set(Permit::Call(call.ended(end, self.started, at)));
    }

    /// Returns the permit, if the request holds one.
    #[inline]
    pub(super) fn return_permit(&self) {
        let permit = self.permit.take();
        let Some(admission) = self.admission() else { return };
        match permit {
            Permit::None => {}
            Permit::Call(call) => admission.release(call),
            Permit::Stream => admission.release_stream(),
        }
    }

    fn admission(&self) -> Option<&Rc<Admission>> {
        self.destination.get()?.worker_service()?.admission()
    }
}

/// Whether a backend has refused the call: how long that took tells nothing.
fn is_refusal(code: Code) -> bool {
    use GrpcCode::{ResourceExhausted, Unavailable};
    matches!(code, Code::Grpc(ResourceExhausted | Unavailable) | Code::Http(429 | 503))
}
