//! Hedging: a second attempt at another backend while the first is slow. The first response that
//! would be committed wins, and the other attempts are cancelled.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::attempted_endpoints::AttemptedEndpoints;
use super::classify::{Start, Verdict, classify};
use super::start::AttemptError;
use super::{Attempt, Destination, Exchange};
use crate::model::HedgeResult;
use crate::net::Stream;
use crate::proxy::failure::Failure;
use crate::route::{HedgeDelay, HedgePolicy, RetryPolicy};

/// Concurrent attempts, in the order in which they began.
struct Race<'x> {
    attempts: Vec<Attempt>,
    /// The next attempt, while it waits for a stream.
    opening: Option<Opening<'x>>,
    /// The last one, which has failed while the next waits for a stream.
    failed: Option<(Attempt, Start)>,
    /// No further attempt may begin.
    is_closed: bool,
}

struct Opening<'x> {
    attempt: Attempt,
    stream: Pin<Box<dyn Future<Output = Result<Rc<Stream>, AttemptError>> + 'x>>,
}

/// The attempt that ended a race, by its index.
struct Last {
    index: usize,
    has_failed: bool,
}

/// What happens first in a race.
enum RaceEvent {
    /// This attempt has a result.
    Result(usize, Start),
    /// The next attempt is due.
    Due,
    /// The next attempt has a stream.
    Opened(Rc<Stream>),
    /// The next attempt did not get a stream.
    NotOpened,
}

impl Exchange {
    /// The route's policy for hedging this request, if it has one. Only before commit, as it reads the
    /// head.
    pub(super) fn hedge_policy<'d>(&self, destination: &'d Destination) -> Option<&'d HedgePolicy> {
        let policy = destination.policies()?.hedge.as_ref()?;
        self.may_repeat(&policy.methods).then_some(policy)
    }

    /// Sends the request, and again to another backend if the response is late; `picked` becomes the
    /// attempt that the result belongs to.
    pub(super) async fn await_hedged(
        &self,
        destination: &Destination,
        policy: &HedgePolicy,
        picked: &mut Option<Attempt>,
        attempted: &mut AttemptedEndpoints,
    ) -> Start {
        let Some(first) = picked.take() else { return Err(Failure::NoBackend.into()) };
        let is_stream = first.is_stream();
        let attempts = vec![first];
        let mut race = Race { attempts, opening: None, failed: None, is_closed: is_stream };
        let (last, start) = self.run_race(destination, policy, &mut race, attempted).await;
        *picked = self.end_race(destination, race, &last);
        start
    }

    /// Runs the race until an attempt has won, or the last one has failed.
    async fn run_race<'x>(
        &'x self,
        destination: &Destination,
        policy: &HedgePolicy,
        race: &mut Race<'x>,
        attempted: &mut AttemptedEndpoints,
    ) -> (Last, Start) {
        let retry = self.retry_policy(destination);
        let fails_on = retry.map_or(&RetryPolicy::USUALLY_ON[..], |retry| &retry.on);
        let limit = retry.and_then(|retry| retry.per_attempt_timeout);
        loop {
            let delay = self.hedge_delay(policy, race);
            match self.next_race_event(race, delay, limit).await {
                RaceEvent::Due => self.hedge(destination, policy, race, attempted),
                RaceEvent::NotOpened => {
                    race.opening = None;
                    if let Some((attempt, start)) = race.failed.take() {
                        race.attempts.push(attempt);
                        return (Last { index: 0, has_failed: true }, start);
                    }
                }
                RaceEvent::Opened(back) => {
                    if let Some((failed, start)) = race.failed.take() {
                        self.drop_failed(destination, &failed, &start, attempted);
                    }
                    if let Some(Opening { attempt, .. }) = race.opening.take() {
                        self.send_whole(&attempt, back);
                        race.attempts.push(attempt);
                        race.is_closed = false;
                    }
                }
                RaceEvent::Result(index, start) => {
                    let start = match (start, race.attempts.get(index)) {
                        (Ok(response), Some(attempt)) => {
                            Ok(self.hold_if_due(destination, attempt, response).await)
                        }
                        (start, _) => start,
                    };
                    let concerns_all = matches!(
                        start,
                        Err(AttemptError::ClientGone
                            | AttemptError::Failed(Failure::Expired(_) | Failure::CutOff))
                    );
                    let has_failed =
                        start.is_err() || classify(&start, self.grpc, fails_on) != Verdict::Pass;
                    let is_last = race.attempts.len() == 1 && race.opening.is_none();
                    if concerns_all || !has_failed || is_last {
                        return (Last { index, has_failed }, start);
                    }
                    race.is_closed |= super::retry::pushback_of(&start) == Some(None);
                    let failed = race.attempts.remove(index);
                    if race.attempts.is_empty() {
                        failed.cancel();
                        race.failed = Some((failed, start));
                    } else {
                        self.drop_failed(destination, &failed, &start, attempted);
                    }
                }
            }
        }
    }

    /// Records an attempt that has failed while another goes on.
    fn drop_failed(
        &self,
        destination: &Destination,
        failed: &Attempt,
        start: &Start,
        attempted: &mut AttemptedEndpoints,
    ) {
        attempted.retried(failed);
        failed.on_retried(&self.proxy.worker, self.attempt_outcome(start));
        failed.cancel();
        if failed.is_hedge() {
            self.count_hedge(destination, HedgeResult::Failed);
        }
    }

    /// How long to wait for the newest attempt before the next begins; `None` if none does.
    fn hedge_delay(&self, policy: &HedgePolicy, race: &Race<'_>) -> Option<Duration> {
        let newest = race.attempts.last()?;
        // Only a complete request can be sent a second time.
        let may_begin = !race.is_closed && race.attempts.len() < policy.attempts as usize;
        let after = match policy.after {
            _ if !may_begin => return None,
            HedgeDelay::Fixed(after) => after,
            HedgeDelay::P95 => newest.recent_p95(self.proxy.worker.now())?,
        };
        Some(after.saturating_sub(newest.silence(self.proxy.worker.now())))
    }

    /// What happens first; an attempt may take `limit` to its response head.
    async fn next_race_event(
        &self,
        race: &mut Race<'_>,
        delay: Option<Duration>,
        limit: Option<Duration>,
    ) -> RaceEvent {
        let worker = &self.proxy.worker;
        let oldest = limit.zip(race.attempts.first().map(Attempt::sent_at));
        let mut overdue = pin!(async {
            match oldest {
                Some((limit, begun)) => self.attempt_timeout(limit, begun).await,
                None => pending().await,
            }
        });
        let mut timer = pin!(worker.sleep(delay.unwrap_or_default()));
        poll_fn(|cx| {
            for (index, attempt) in race.attempts.iter().enumerate() {
                if let Poll::Ready(start) = self.poll_head(cx, attempt) {
                    return Poll::Ready(RaceEvent::Result(index, start));
                }
            }
            if let Some(opening) = &mut race.opening
                && let Poll::Ready(opened) = opening.stream.as_mut().poll(cx)
            {
                return Poll::Ready(opened.map_or(RaceEvent::NotOpened, RaceEvent::Opened));
            }
            if overdue.as_mut().poll(cx).is_ready() {
                return Poll::Ready(RaceEvent::Result(0, Err(Failure::AttemptTimeout.into())));
            }
            match delay.is_some() && timer.as_mut().poll(cx).is_ready() {
                true => Poll::Ready(RaceEvent::Due),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Begins the next attempt, if there is another backend and the budget allows.
    fn hedge<'x>(
        &'x self,
        destination: &Destination,
        policy: &HedgePolicy,
        race: &mut Race<'x>,
        attempted: &mut AttemptedEndpoints,
    ) {
        race.is_closed = true; // until that has begun
        let Some(first) = race.attempts.first() else { return };
        let most = self.retry_policy(destination).map_or(policy.attempts, |retry| retry.attempts);
        if u32::from(self.attempts.get()) >= most
            || !self.is_fully_buffered()
            || !self.has_time_for(first.p50().unwrap_or_default())
        {
            return;
        }
        race.attempts.iter().for_each(|attempt| attempted.begun(attempt));
        let Some(next) = self.pick(destination, attempted) else { return };
        if !destination.worker_service().is_some_and(|service| service.may_retry()) {
            return self.count_hedge(destination, HedgeResult::Budget);
        }
        self.attempts.set(self.attempts.get() + 1);
        self.hedges.set(self.hedges.get() + 1);
        next.mark_as_hedge();
        race.opening = Some(Opening { stream: self.open_for(&next), attempt: next });
    }

    /// Whether the request is complete, and buffered to be sent again.
    fn is_fully_buffered(&self) -> bool {
        self.is_buffered() && (self.end || self.front.is_whole())
    }

    /// Ends the race: cancels the losers, and returns the attempt that ended it.
    fn end_race(&self, destination: &Destination, race: Race<'_>, last: &Last) -> Option<Attempt> {
        let mut won = None;
        for (index, attempt) in race.attempts.into_iter().enumerate() {
            let result = match (index == last.index, last.has_failed) {
                (true, false) => HedgeResult::Won,
                (true, true) => HedgeResult::Failed,
                (false, _) => HedgeResult::Lost,
            };
            if attempt.is_hedge() {
                self.count_hedge(destination, result);
            }
            if index == last.index {
                won = Some(attempt);
            } else {
                attempt.on_lost(self.proxy.worker.now());
            }
        }
        won
    }

    fn count_hedge(&self, destination: &Destination, result: HedgeResult) {
        if let Some(service) = destination.worker_service() {
            service.service().retries().count_hedge(result, self.proxy.worker.index());
        }
    }
}
