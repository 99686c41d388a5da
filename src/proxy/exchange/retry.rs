//! Decides whether a failed attempt is retried, and when.

use std::time::Duration;

use super::attempted_endpoints::AttemptedEndpoints;
use super::classify::{Start, Verdict, retried_failure};
use super::start::AttemptError;
use super::{Attempt, Destination, Exchange, Outcome, grpc_code};
use crate::http::{Headers, Name};
use crate::model::{AttemptOutcome, Class, Code, RetryResult};
use crate::proxy::failure::Failure;
use crate::proxy::fields;
use crate::route::{RetryOn, RetryPolicy, is_idempotent, names_call};

/// Larger heads are not retried, to bound the memory they hold.
const MAX_REPLAY_HEAD: usize = 8 << 10;

/// Default limit of the replay buffer: bytes of a request body kept for a retry.
const DEFAULT_REPLAY: usize = 64 << 10;

/// A backend that asks for a longer pause is not asked again for this request.
const MAX_PUSHBACK: Duration = Duration::from_secs(60);

/// What follows an attempt.
pub enum Next {
    /// Its result is sent to the client.
    Pass,
    /// This attempt, at a backend that may implement the method.
    Attempt(Attempt),
    /// Another attempt, after a pause.
    After(Duration),
}

impl Exchange {
    /// Decides what follows `attempt`. If that is another attempt, this one is recorded and cancelled,
    /// and the body is rewound.
    pub(super) fn next(
        &self,
        destination: &Destination,
        attempt: &Attempt,
        (verdict, start): (Verdict, &Start),
        attempted: &mut AttemptedEndpoints,
    ) -> Next {
        let granted = match verdict {
            Verdict::Pass => None,
            Verdict::Unprocessed(failure) => {
                match self.resend(destination, attempt, failure, attempted) {
                    true => Some(Duration::ZERO),
                    false if self.is_retried(destination, failure) => {
                        self.retry(destination, attempt, start, attempted)
                    }
                    false => None,
                }
            }
            Verdict::Unimplemented => {
                return match self.retry_unimplemented(destination, attempt, attempted) {
                    Some(next) => Next::Attempt(next),
                    None => Next::Pass,
                };
            }
            Verdict::Retry(_) => self.retry(destination, attempt, start, attempted),
        };
        granted.map_or(Next::Pass, Next::After)
    }

    /// Retries a request that no backend can have begun. One that was not sent can always go to the next
    /// backend; one that was sent and refused is retried once, if all of it is still buffered.
    fn resend(
        &self,
        destination: &Destination,
        attempt: &Attempt,
        failure: Failure,
        attempted: &mut AttemptedEndpoints,
    ) -> bool {
        if attempt.is_sent() {
            if attempted.is_resent() || !self.is_buffered() {
                return false;
            }
            self.front.rewind();
            self.count_retry(destination, RetryResult::Transparent);
            let same = attempt.is_by_key() && !attempted.was_refused_once();
            if same && attempt.renew_connection(&self.proxy.worker) {
                attempted.refused_once();
                return true;
            }
        }
        self.record_failed(attempt, failure);
        attempted.failed(attempt, failure);
        true
    }

    /// Waits between two attempts, unless the client, a timeout or the gateway ends the request.
    pub(super) async fn pause(&self, pause: Duration) -> Result<(), AttemptError> {
        if pause.is_zero() {
            return Ok(());
        }
        // Boxed: its state would enlarge every exchange's future.
        Box::pin(self.unless_ended(self.proxy.worker.sleep(pause))).await
    }

    /// Begins an attempt at another backend, which may implement the method that the backend of `attempt`
    /// does not; rewinds the body. `None` if there is no such backend, or the request is no longer
    /// buffered.
    ///
    /// The retry budget does not count these retries: they end once it is known which backends implement
    /// the method.
    fn retry_unimplemented(
        &self,
        destination: &Destination,
        attempt: &Attempt,
        attempted: &mut AttemptedEndpoints,
    ) -> Option<Attempt> {
        if !attempt.learn_unimplemented(self.proxy.worker.now()) || !self.is_buffered() {
            return None;
        }
        attempted.passed_over(attempt);
        self.proxy.router.refresh(); // the next pick uses the newest snapshot
        let next = self.pick(destination, attempted)?;
        attempt.pass_over(&self.proxy.worker);
        self.front.rewind();
        destination.worker_service()?.count_unimplemented();
        Some(next)
    }

    /// The pause until the next attempt by the route's policy, if there is one.
    fn retry(
        &self,
        destination: &Destination,
        attempt: &Attempt,
        start: &Start,
        attempted: &mut AttemptedEndpoints,
    ) -> Option<Duration> {
        let policy = self.retry_policy(destination)?;
        let failed = self.attempts.get();
        if u32::from(failed) >= policy.attempts {
            return None;
        }
        let admitted = match self.is_buffered_within(policy.buffer) {
            true => self.may_retry(destination, attempt.p50(), pushback_of(start), policy),
            false => Err(RetryResult::Body),
        };
        let pause = match admitted {
            Ok(pause) => pause,
            Err(refused) => {
                self.count_retry(destination, refused);
                return None;
            }
        };
        self.attempts.set(failed + 1);
        attempt.on_retried(&self.proxy.worker, self.attempt_outcome(start));
        attempt.cancel();
        attempted.retried(attempt);
        self.front.rewind();
        Some(pause)
    }

    /// The pause until the next attempt if no backend could be reached, if the route's policy retries
    /// that.
    pub(super) fn retry_unreached(
        &self,
        destination: &Destination,
        error: AttemptError,
        attempted: &mut AttemptedEndpoints,
    ) -> Option<Duration> {
        let policy = self.retry_policy(destination)?;
        let failed = self.attempts.get();
        let unreached = match error {
            AttemptError::Failed(failure @ (Failure::Connect | Failure::Overloaded)) => failure,
            _ => return None,
        };
        if !self.is_retried(destination, unreached) || u32::from(failed) >= policy.attempts {
            return None;
        }
        let admitted = self.may_retry(destination, None, None, policy);
        match admitted {
            Ok(_) => {
                self.attempts.set(failed + 1);
                attempted.forget();
            }
            Err(refused) => self.count_retry(destination, refused),
        }
        admitted.ok()
    }

    /// Whether the route's policy retries this failure.
    fn is_retried(&self, destination: &Destination, failure: Failure) -> bool {
        retried_failure(failure, self.grpc, self.retried_failures(destination)).is_some()
    }

    /// The pause until the next attempt, or why there is none. Spends budget last.
    fn may_retry(
        &self,
        destination: &Destination,
        usual: Option<Duration>,
        pushback: Option<Option<Duration>>,
        policy: &RetryPolicy,
    ) -> Result<Duration, RetryResult> {
        let chance = self.proxy.worker.rng().borrow_mut().f64();
        let pause = match pushback {
            Some(pushback) => pushback.ok_or(RetryResult::Pushback)?,
            None => policy.backoff.pause(self.attempts.get().into(), chance),
        };
        if !self.has_time_for(pause + usual.unwrap_or_default()) {
            return Err(RetryResult::Deadline);
        }
        let granted = destination.worker_service().is_some_and(|service| service.may_retry());
        granted.then_some(pause).ok_or(RetryResult::Budget)
    }

    /// Whether the deadline leaves more than this.
    pub(super) fn has_time_for(&self, needed: Duration) -> bool {
        let deadline = self.timeouts.borrow().deadline();
        deadline.is_none_or(|deadline| deadline.since(self.proxy.worker.now()) > needed)
    }

    /// Whether its route retries or hedges.
    pub(super) fn has_policy(&self) -> bool {
        self.attempts.get() > 0
    }

    /// The route's policy for retries of this request, if it has one. Only before commit, as it reads the
    /// head.
    pub(super) fn retry_policy<'d>(&self, destination: &'d Destination) -> Option<&'d RetryPolicy> {
        if !self.has_policy() {
            return None;
        }
        let policy = destination.policies()?.retry.as_ref()?;
        self.may_repeat(&policy.methods).then_some(policy)
    }

    /// What that policy retries.
    pub(super) fn retried_failures<'d>(&self, destination: &'d Destination) -> &'d [RetryOn] {
        self.retry_policy(destination).map_or(&[], |policy| &policy.on)
    }

    /// Whether a policy for these methods applies to this request.
    pub(super) fn may_repeat(&self, methods: &[String]) -> bool {
        let head = self.head.borrow();
        let of = |name| head.get(name).unwrap_or_default();
        match self.grpc {
            true => names_call(methods, of(Name::Path)),
            false => is_idempotent(of(Name::Method)),
        }
    }

    /// How many bytes of the body to buffer for a further attempt, if there may be one.
    pub(super) fn replay_limit(&self, attempted: &AttemptedEndpoints) -> Option<usize> {
        let resend = (!attempted.is_resent()).then_some(DEFAULT_REPLAY);
        let policy = self.destination.get().and_then(|to| self.retry_policy(to));
        let retries = policy.filter(|policy| u32::from(self.attempts.get()) < policy.attempts);
        resend.max(retries.map(|policy| policy.buffer))
    }

    /// Counts the attempts of a request that has ended, and what came of its retries.
    pub(super) fn count_retried(&self, outcome: &Outcome) {
        if self.has_policy() {
            self.count_attempts(outcome);
        }
    }

    /// The next attempt was counted, and is not made.
    pub(super) fn forget_attempt(&self) {
        self.attempts.set(self.attempts.get().saturating_sub(1));
    }

    fn count_attempts(&self, outcome: &Outcome) {
        let Some(destination) = self.destination.get() else { return };
        let Some(service) = destination.worker_service() else { return };
        let worker = self.proxy.worker.index();
        service.service().retries().count_attempts(self.attempts.get().into(), worker);
        match outcome.class() {
            _ if self.attempts.get() - self.hedges.get() <= 1 => {}
            Class::Success => self.count_retry(destination, RetryResult::Success),
            Class::Failure => self.count_retry(destination, RetryResult::Failure),
            Class::Cancelled => {}
        }
    }

    fn count_retry(&self, destination: &Destination, result: RetryResult) {
        if let Some(service) = destination.worker_service() {
            service.service().retries().count(result, self.proxy.worker.index());
        }
    }

    /// The outcome of an attempt whose result is not sent to the client.
    pub(super) fn attempt_outcome(&self, start: &Start) -> AttemptOutcome {
        match start {
            Ok(response) => AttemptOutcome::Answered(match &response.trailers {
                _ if !self.grpc => Code::Http(fields::status(&response.head)),
                Some(trailers) => trailers.code,
                None => grpc_code(&response.head),
            }),
            Err(AttemptError::Failed(failure)) => failure.attempt_outcome(),
            Err(AttemptError::Reset(code)) => Outcome::reset(*code, self.grpc).attempt_outcome,
            Err(AttemptError::ClientGone) => AttemptOutcome::ClientGone,
        }
    }

    /// Whether all of the request that was received is still buffered, to be sent again.
    pub(super) fn is_buffered(&self) -> bool {
        self.is_buffered_within(usize::MAX)
    }

    /// As `is_buffered`, in at most `buffer` bytes.
    pub(super) fn is_buffered_within(&self, buffer: usize) -> bool {
        let whole = self.end || self.front.replayable().is_some_and(|bytes| bytes <= buffer);
        let small = self.head.borrow().list_size() <= MAX_REPLAY_HEAD;
        whole && small && !self.sent_trailers.get()
    }
}

/// The backend's `grpc-retry-pushback-ms`, if it sent one: a pause, or `None` for no retry (gRFC A6).
pub fn pushback(fields: &Headers) -> Option<Option<Duration>> {
    let value = fields.get_named(b"grpc-retry-pushback-ms")?;
    let millis = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
    Some(millis.map(Duration::from_millis).filter(|pause| *pause <= MAX_PUSHBACK))
}

/// As `pushback`, from the trailers or the head of a response.
pub fn pushback_of(start: &Start) -> Option<Option<Duration>> {
    let response = start.as_ref().ok()?;
    let in_trailers = response.trailers.as_ref().and_then(|trailers| trailers.pushback);
    in_trailers.or_else(|| pushback(&response.head))
}

#[cfg(test)]
mod tests {
    use super::super::start::Response;
    use super::*;

    #[test]
    fn backends_say_when_to_come_again() {
        let start = |value: &[u8]| {
            let mut head = Headers::new();
            head.add_named(b"grpc-retry-pushback-ms", value);
            Ok(Response { head, end: true, trailers: None })
        };
        assert_eq!(pushback_of(&start(b"250")), Some(Some(Duration::from_millis(250))));
        assert_eq!(pushback_of(&start(b"0")), Some(Some(Duration::ZERO)));
        assert_eq!(pushback_of(&start(b"-1")), Some(None));
        assert_eq!(pushback_of(&start(b"60001")), Some(None), "nobody waits for so long");
        assert_eq!(pushback_of(&start(b"soon")), Some(None));
        let none = Response { head: Headers::new(), end: true, trailers: None };
        assert_eq!(pushback_of(&Ok(none)), None);
        assert_eq!(pushback_of(&Err(AttemptError::ClientGone)), None);
    }
}
