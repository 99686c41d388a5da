//! Decides whether a backend gets requests, with which weight, and why; nothing else does.

use std::sync::Arc;

use super::ejection::Ejected;
use super::membership::MergedIntent;
use super::serving_period::ServingPeriod;
use crate::health::Unhealthy;
use crate::model::{Connectivity, ConnectivityState, Down, Time};

/// The state of a backend, its effective weight, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The weight that requests are balanced by; 0 takes no new ones.
    pub weight: u32,
    /// Whether it gets requests, and if not, why.
    pub state: BackendState,
    /// The reason of the state.
    pub reason: Reason,
    /// Since when.
    pub since: Time,
    /// Until when, if known: the end of an ejection, or the drain deadline.
    pub until: Option<Time>,
    /// The part of its share that it gets, while it starts slowly.
    pub ramp: Option<f64>,
}

/// Whether a backend gets requests, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    /// It gets requests according to its weight: a connection is established, or the last one was
    /// closed gracefully a moment ago.
    Ready,
    /// An operator took it out, or it was removed: it gets no new requests.
    Draining,
    /// No connection is established: one is being made, or the backend is down, and gets no requests
    /// until there is one.
    Connecting,
    /// Unknown: no connection is established, and none was needed recently.
    Idle,
    /// Its health check fails: it gets no new requests.
    Unhealthy,
    /// It is an outlier, or an operator has ejected it: it gets no new requests for a while, and then
    /// one at a time.
    Ejected,
}

impl BackendState {
    /// The name in the API and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            BackendState::Ready => "READY",
            BackendState::Draining => "DRAINING",
            BackendState::Connecting => "CONNECTING",
            BackendState::Idle => "IDLE",
            BackendState::Unhealthy => "UNHEALTHY",
            BackendState::Ejected => "EJECTED",
        }
    }
}

/// The reason of a backend's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was removed, and has requests in flight.
    Removed,
    /// An operator drained it.
    Drained,
    /// It is about to end, as its registry says.
    Terminating,
    /// A connection is established.
    Connected,
    /// The last connection was closed gracefully a moment ago.
    Closed,
    /// A connection is being made.
    Connecting,
    /// No connection was needed recently.
    Unused,
    /// It owes answers and sends nothing, not even the answer to a PING.
    Suspect,
    /// Why it is unhealthy, down or ejected, or the state of its slow start, as text for people.
    Text(Arc<str>),
}

impl Reason {
    /// The name, as the API has it.
    pub fn name(&self) -> &str {
        match self {
            Reason::Removed => "removed",
            Reason::Drained => "drained",
            Reason::Terminating => "terminating, as the registry says",
            Reason::Connected => "connected",
            Reason::Closed => "closed",
            Reason::Connecting => "connecting",
            Reason::Unused => "unused",
            Reason::Suspect => "SUSPECT: answers are owed, and nothing comes",
            Reason::Text(why) => why,
        }
    }
}

/// Why a backend that is not drained may get no requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Its health check fails.
    pub unhealthy: Option<Unhealthy>,
    /// It has no connection, and connecting fails.
    pub down: Option<Arc<Down>>,
    /// It is ejected.
    pub ejected: Option<Ejected>,
    /// Since when it is suspected to be frozen, if it is.
    pub suspect: Option<Time>,
    /// Panic mode: so few backends are left that it gets requests nevertheless.
    pub in_panic: bool,
}

impl Condition {
    /// Whether nothing excludes it from getting requests.
    pub fn is_available(&self) -> bool {
        !self.is_unavailable() && self.ejected.is_none()
    }

    /// Whether it is unhealthy, down or suspected to be frozen.
    pub fn is_unavailable(&self) -> bool {
        self.unhealthy.is_some() || self.down.is_some() || self.suspect.is_some()
    }

    /// Whether it gets one request at a time, after an ejection.
    pub fn is_on_trial(&self) -> bool {
        !self.is_unavailable() && self.ejected.is_some_and(|ejected| ejected.on_trial)
    }

    /// Whether the backend itself reports that it takes no requests: then it gets none in panic mode
    /// either.
    pub fn declines(&self) -> bool {
        self.unhealthy.as_ref().is_some_and(|why| why.declared)
    }

    /// Whether it would get requests in panic mode.
    pub fn can_serve_in_panic(&self) -> bool {
        !self.declines() && self.down.is_none()
    }
}

/// The standing of a backend. One that is `leaving` was removed, and only finishes its requests in
/// flight. A slow start (`ramp`) does not change the weight, or pickers would have to be rebuilt: the
/// workers apply it to each pick.
///
/// Whatever else is to influence weight and state becomes another argument of this function, and is
/// used nowhere else.
pub fn standing(
    intent: MergedIntent,
    leaving: bool,
    serving_period: ServingPeriod,
    condition: &Condition,
    connectivity: Connectivity,
    ramp: Option<f64>,
) -> Standing {
    let taken_out = Standing {
        weight: 0,
        state: BackendState::Draining,
        reason: Reason::Removed,
        since: serving_period.since,
        until: serving_period.drain_deadline,
        ramp: None,
    };
    if leaving {
        return taken_out;
    }
    if intent.drained {
        return Standing { reason: Reason::Drained, ..taken_out };
    }
    if intent.terminating {
        return Standing { reason: Reason::Terminating, until: None, ..taken_out };
    }
    let serves = (condition.in_panic && condition.can_serve_in_panic()) || condition.is_on_trial();
    let weight = if serves || condition.is_available() { intent.weight } else { 0 };
    if let Some(Unhealthy { why, since, .. }) = &condition.unhealthy {
        let (state, reason) = (BackendState::Unhealthy, Reason::Text(Arc::clone(why)));
        return Standing { weight, state, reason, since: *since, until: None, ramp: None };
    }
    if let Some(down) = &condition.down {
        let (state, reason) = (BackendState::Connecting, Reason::Text(Arc::clone(&down.why)));
        return Standing { weight, state, reason, since: down.since, until: None, ramp: None };
    }
    if let Some(since) = condition.suspect {
        let (state, reason) = (BackendState::Ejected, Reason::Suspect);
        return Standing { weight, state, reason, since, until: None, ramp: None };
    }
    if let Some(ejected) = &condition.ejected {
        let reason = Reason::Text(ejected.to_string().into());
        let (since, until) = (ejected.since, ejected.until);
        return Standing { weight, state: BackendState::Ejected, reason, since, until, ramp: None };
    }
    let ready = |reason| match ramp {
        None => (BackendState::Ready, reason),
        Some(ramp) => (BackendState::Ready, Reason::Text(starting(ramp).into())),
    };
    let (state, reason) = match connectivity.state {
        ConnectivityState::Connected => ready(Reason::Connected),
        ConnectivityState::RecentlyClosed => ready(Reason::Closed),
        ConnectivityState::Connecting => (BackendState::Connecting, Reason::Connecting),
        ConnectivityState::Unknown => (BackendState::Idle, Reason::Unused),
    };
    Standing {
        weight,
        state,
        reason,
        since: serving_period.since.max(connectivity.since),
        until: None,
        ramp,
    }
}

/// What a backend is told of that starts slowly and gets this part of its share.
pub(super) fn starting(ramp: f64) -> String {
    format!("starting: {:.0} % of its share", (ramp * 100.0).floor())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Cause;

    fn unhealthy(why: &str, declared: bool) -> Option<Unhealthy> {
        Some(Unhealthy { why: why.into(), since: Time::from_millis(7), declared })
    }

    fn ejected(until: Option<u64>) -> Option<Ejected> {
        let (cause, since) = (Cause::Faults(5), Time::from_millis(7));
        let until = until.map(Time::from_millis);
        Some(Ejected { cause, since, until, on_trial: until.is_none() })
    }

    fn down() -> Option<Arc<Down>> {
        Some(Arc::new(Down { why: "connection lost".into(), since: Time::from_millis(7) }))
    }

    /// Conditions, with the state and the reason that follow, if any.
    fn conditions() -> Vec<(Condition, Option<(BackendState, &'static str)>)> {
        let by_health = Some((BackendState::Unhealthy, "HTTP 503"));
        let by_answers = Some((BackendState::Ejected, "5 faults in a row"));
        let by_way = Some((BackendState::Connecting, "connection lost"));
        let on_trial = Some((BackendState::Ejected, "on trial after 5 faults in a row"));
        let cases = [
            (None, None, None, None),
            (unhealthy("HTTP 503", false), None, None, by_health),
            (None, None, ejected(Some(9)), by_answers),
            (unhealthy("HTTP 503", true), None, ejected(None), by_health),
            (None, None, ejected(None), on_trial),
            (None, down(), None, by_way),
            (None, down(), ejected(None), by_way),
            (unhealthy("HTTP 503", false), down(), None, by_health),
        ];
        let by_silence =
            Some((BackendState::Ejected, "SUSPECT: answers are owed, and nothing comes"));
        let frozen = Some(Time::from_millis(7));
        let cases = cases.map(|(unhealthy, down, ejected, expected)| {
            (Condition { unhealthy, down, ejected, ..Condition::default() }, expected)
        });
        let suspect = |ejected| Condition { suspect: frozen, ejected, ..Condition::default() };
        let suspects = [None, ejected(None)].map(|ejected| (suspect(ejected), by_silence));
        let both = cases.into_iter().chain(suspects).flat_map(|(condition, expected)| {
            [false, true].map(|in_panic| (Condition { in_panic, ..condition.clone() }, expected))
        });
        both.collect()
    }

    #[test]
    fn every_case() {
        use BackendState::{Connecting, Draining, Idle, Ready};
        let by_connectivity = [
            (ConnectivityState::Connected, Ready, "connected"),
            (ConnectivityState::RecentlyClosed, Ready, "closed"),
            (ConnectivityState::Connecting, Connecting, "connecting"),
            (ConnectivityState::Unknown, Idle, "unused"),
        ];
        let serving_period =
            ServingPeriod { since: Time::from_millis(3), drain_deadline: None, cut_before: 0 };
        for (connectivity_state, state, reason) in by_connectivity {
            for weight in [0, 1, 1000] {
                for (drained, leaving) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    for (condition, out) in conditions() {
                        let helps = condition.in_panic && condition.can_serve_in_panic();
                        let serves = out.is_none() || helps || condition.is_on_trial();
                        let expected = match (drained, leaving, out) {
                            (_, true, _) => (0, Draining, "removed"),
                            (true, false, _) => (0, Draining, "drained"),
                            (false, false, Some((state, reason))) => {
                                (if serves { weight } else { 0 }, state, reason)
                            }
                            (false, false, None) => (weight, state, reason),
                        };
                        let intent = MergedIntent { weight, drained, terminating: false };
                        let connectivity =
                            Connectivity { state: connectivity_state, since: Time::from_millis(5) };
                        let stands = standing(
                            intent,
                            leaving,
                            serving_period,
                            &condition,
                            connectivity,
                            None,
                        );
                        let Standing { weight, state, reason, since, .. } = &stands;
                        assert_eq!(
                            (*weight, *state, reason.name()),
                            expected,
                            "{connectivity_state:?}"
                        );
                        let expected = match state {
                            Draining => 3,
                            _ if out.is_some() => 7,
                            _ => 5,
                        };
                        assert_eq!(*since, Time::from_millis(expected));
                        let is_down = condition.down.is_some() && !drained && !leaving;
                        assert!(!is_down || *weight == 0, "{condition:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_slow_start_is_ready_with_a_reason() {
        let serving_period =
            ServingPeriod { since: Time::ZERO, drain_deadline: None, cut_before: 0 };
        let of = |state, drained, condition: &Condition| {
            let intent = MergedIntent { weight: 7, drained, terminating: false };
            let connectivity = Connectivity { state, since: Time::ZERO };
            standing(intent, false, serving_period, condition, connectivity, Some(0.379))
        };
        let well = Condition::default();
        let starts = of(ConnectivityState::Connected, false, &well);
        assert_eq!(
            (starts.weight, starts.state, starts.ramp),
            (7, BackendState::Ready, Some(0.379))
        );
        assert_eq!(starts.reason.name(), "starting: 37 % of its share");
        let unused = of(ConnectivityState::Unknown, false, &well);
        assert_eq!((unused.reason.name(), unused.ramp), ("unused", Some(0.379)));
        assert_eq!(of(ConnectivityState::Connected, true, &well).ramp, None);
        let ill = Condition { down: down(), ..well };
        assert_eq!(of(ConnectivityState::Connecting, false, &ill).ramp, None);
    }

    #[test]
    fn a_declared_not_serving_declines() {
        let declined: Vec<_> = conditions().iter().map(|(it, _)| it.declines()).collect();
        let at = |at: &usize| declined.get(*at) == Some(&true);
        assert_eq!((0..declined.len()).filter(at).collect::<Vec<_>>(), [6, 7]);
        let stands: Vec<_> = conditions().iter().map(|(it, _)| it.is_available()).collect();
        assert_eq!(stands[..3], [true, true, false]);
    }
}
