//! The state machine of a backend's ejection. Pure logic: the time is an argument.

use std::cmp::Reverse;

use super::{Cause, Ejected, Ejection};
use crate::model::{HealthSignal, Time};

/// The state of a backend's ejection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EjectionState {
    /// Its ejection, if it is ejected.
    pub ejected: Option<Ejected>,
    /// When the last ejection ended.
    pub ended: Option<Time>,
    /// Consecutive relapses: the next ejection lasts longer.
    relapses: u32,
}

/// Inputs of a decision about one backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signals {
    /// Consecutive faults.
    pub consecutive: u32,
    /// The result of its trial.
    pub trial: Option<HealthSignal>,
    /// Why it is an outlier, if it is one.
    pub outlier: Option<Cause>,
    /// An operator's ejection.
    pub manual: Option<ManualEjection>,
    /// Whether it gets requests while healthy: not drained, and its weight is above 0.
    pub eligible: bool,
    /// Whether it is unreachable or unhealthy.
    pub down: bool,
}

/// An ejection by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManualEjection {
    /// When it began.
    pub since: Time,
    /// When it ends; `None` if an operator has to end it.
    pub until: Option<Time>,
}

/// A backend to decide on.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its state.
    pub state: EjectionState,
    /// The inputs.
    pub signals: Signals,
}

impl Candidate {
    fn is_ejected(&self) -> bool {
        self.state.ejected.is_some()
    }

    /// Begins or ends an ejection by operators, whatever the limits are.
    pub fn apply_manual(&mut self, now: Time) {
        let before = self.state.ejected.filter(|it| it.cause == Cause::Hand && !it.on_trial);
        match (self.signals.manual, before) {
            (Some(ManualEjection { since, until }), _) => {
                let ejected = Ejected { cause: Cause::Hand, since, until, on_trial: false };
                self.state.ejected = Some(ejected);
            }
            // An ejection that expires is followed by a trial.
            (None, Some(before)) if before.until.is_none_or(|until| until > now) => {
                self.state.end(now);
            }
            _ => {}
        }
    }
}

impl Ejection {
    /// Ends and begins ejections at `now`, within the limit.
    pub fn decide(&self, candidates: &mut [Candidate], now: Time) {
        candidates.iter_mut().for_each(|candidate| self.advance(candidate, now));
        let out = candidates.iter().filter(|it| it.signals.eligible);
        let out = out.filter(|it| it.signals.down || it.is_ejected()).count();
        let room = self.limit_of(candidates).saturating_sub(out);
        let offenders = candidates.iter_mut().filter_map(|candidate| {
            let cause = self.ejection_cause(candidate)?;
            Some((cause, &mut candidate.state))
        });
        let mut offenders: Vec<_> = offenders.collect();
        offenders.sort_by_key(|(cause, _)| Reverse(cause.severity()));
        for (cause, state) in offenders.into_iter().take(room) {
            self.eject(state, cause, now);
        }
        self.release(candidates, now);
    }

    /// Ends ejections above the limit, which shrinks with the set: the longest first. Those by operators
    /// stay.
    pub fn release(&self, candidates: &mut [Candidate], now: Time) {
        candidates.iter_mut().for_each(|candidate| candidate.apply_manual(now));
        let limit = self.limit_of(candidates);
        let ejected = candidates.iter_mut().filter(|it| it.signals.eligible && it.is_ejected());
        let (manual, mut ejected): (Vec<_>, Vec<_>) =
            ejected.partition(|it| it.signals.manual.is_some());
        ejected.sort_by_key(|it| it.state.ejected.map(|ejected| ejected.since));
        let excess = (manual.len() + ejected.len()).saturating_sub(limit);
        ejected.into_iter().take(excess).for_each(|candidate| candidate.state.end(now));
    }

    fn limit_of(&self, candidates: &[Candidate]) -> usize {
        self.limit(candidates.iter().filter(|it| it.signals.eligible).count())
    }

    /// Why a backend that is not ejected should be.
    fn ejection_cause(&self, candidate: &Candidate) -> Option<Cause> {
        let Signals { consecutive, outlier, eligible, down, .. } = candidate.signals;
        let is_in = eligible && !down && !candidate.is_ejected();
        let faults = (consecutive >= self.consecutive).then_some(Cause::Faults(consecutive));
        faults.or(outlier).filter(|_| is_in)
    }

    /// Advances an ejection: to its trial once it expires, and by the result of the trial.
    fn advance(&self, candidate: &mut Candidate, now: Time) {
        candidate.apply_manual(now);
        let Candidate { state, signals } = candidate;
        let Some(ejected) = &mut state.ejected else { return };
        if ejected.until.is_some_and(|until| until <= now) {
            (ejected.until, ejected.on_trial) = (None, true);
            return;
        }
        match signals.trial.filter(|_| ejected.on_trial) {
            Some(HealthSignal::Success) => state.end(now),
            Some(HealthSignal::Fault) => self.eject(state, Cause::Relapse, now),
            None => {}
        }
    }

    fn eject(&self, state: &mut EjectionState, cause: Cause, now: Time) {
        let lately = state.ended.is_some_and(|ended| now.since(ended) < self.max_time);
        let relapse = state.ejected.is_some() || lately;
        state.relapses = if relapse { state.relapses.saturating_add(1) } else { 0 };
        let doubled = self.time.saturating_mul(1 << state.relapses.min(30));
        let until = Some(now + doubled.min(self.max_time));
        let since = state.ejected.map_or(now, |ejected| ejected.since);
        state.ejected = Some(Ejected { cause, since, until, on_trial: false });
    }
}

impl EjectionState {
    fn end(&mut self, now: Time) {
        (self.ejected, self.ended) = (None, Some(now));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::time::Duration;

    use super::*;

    fn backend(consecutive: u32) -> Candidate {
        let signals = Signals { consecutive, eligible: true, ..Signals::default() };
        Candidate { state: EjectionState::default(), signals }
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// Whether each candidate is ejected.
    fn decided(all: &[Candidate]) -> Vec<bool> {
        let mut all = all.to_vec();
        Ejection::defaults().decide(&mut all, at(1000));
        all.iter().map(|it| it.state.ejected.is_some()).collect()
    }

    #[test]
    fn as_many_as_may_be_are_ejected_the_worst_first() {
        assert_eq!(decided(&[backend(9)]), [false], "a single one never");
        assert_eq!(decided(&[backend(4), backend(0)]), [false, false]);
        assert_eq!(decided(&[backend(5), backend(0)]), [true, false]);
        assert_eq!(decided(&[backend(5), backend(6)]), [false, true]);
        assert_eq!(decided(&[backend(5), backend(6), backend(7)]), [false, false, true]);
        let mut others = [backend(5), backend(0), backend(0)];
        others[1].signals.down = true;
        assert_eq!(decided(&others), [false; 3], "who is down counts against it");
        others[1].signals.eligible = false;
        assert_eq!(decided(&others), [true, false, false], "who is drained does not");
        let all = Ejection { max_ejected: 100, ..Ejection::defaults() };
        let mut one = [backend(9)];
        all.decide(&mut one, at(0));
        assert_eq!(one[0].state.ejected, None);
    }

    #[test]
    fn each_relapse_takes_twice_as_long_up_to_a_limit() {
        let settings = Ejection { max_time: Duration::from_secs(5), ..Ejection::defaults() };
        let mut all = [backend(5), backend(0)];
        let mut lasted = Vec::new();
        let mut now = at(1000);
        settings.decide(&mut all, now);
        for _ in 0..4 {
            let until = all[0].state.ejected.unwrap().until.unwrap();
            lasted.push(until.since(now).as_secs());
            settings.decide(&mut all, at(until.as_millis() - 1));
            assert!(!all[0].state.ejected.unwrap().on_trial);
            settings.decide(&mut all, until);
            assert!(all[0].state.ejected.unwrap().on_trial);
            now = until;
            all[0].signals.trial = Some(HealthSignal::Fault);
            settings.decide(&mut all, now);
            assert_eq!(all[0].state.ejected.unwrap().cause, Cause::Relapse);
            all[0].signals.trial = None;
        }
        assert_eq!(lasted, [1, 2, 4, 5]);
        assert_eq!(all[0].state.ejected.unwrap().since, at(1000));
    }

    #[test]
    fn three_successes_end_a_trial_and_an_ejection_soon_after_is_a_relapse() {
        let settings = Ejection::defaults();
        let mut all = [backend(5), backend(0)];
        settings.decide(&mut all, at(0));
        settings.decide(&mut all, at(1000));
        all[0].signals =
            Signals { consecutive: 0, trial: Some(HealthSignal::Success), ..all[0].signals };
        settings.decide(&mut all, at(1100));
        assert_eq!(all[0].state.ejected, None);
        all[0].signals.consecutive = 5;
        let until = |all: &[Candidate]| all[0].state.ejected.unwrap().until;
        let mut again = all;
        settings.decide(&mut again, at(61_099));
        assert_eq!(until(&again), Some(at(63_099)));
        settings.decide(&mut all, at(61_100));
        assert_eq!(until(&all), Some(at(62_100)), "it was well for long enough");
    }

    #[test]
    fn a_smaller_set_releases_the_longest_ejection() {
        let settings = Ejection::defaults();
        let mut all = [backend(5), backend(0), backend(0), backend(0)];
        settings.decide(&mut all, at(0));
        all[1].signals.consecutive = 5;
        settings.decide(&mut all, at(1));
        all[2].signals.eligible = false;
        settings.release(&mut all, at(2));
        let ejected = all.map(|it| it.state.ejected.is_some());
        assert_eq!(ejected, [false, true, false, false]);
    }

    #[test]
    fn an_outlier_is_ejected_after_those_with_faults() {
        let outlier = |mut it: Candidate| {
            it.signals.outlier =
                Some(Cause::SuccessRatio { succeeded: 41, requests: 212, others: 99 });
            it
        };
        assert_eq!(decided(&[outlier(backend(0)), backend(0)]), [true, false]);
        assert_eq!(decided(&[outlier(backend(0)), backend(5)]), [false, true]);
        let mut all = [outlier(backend(0)), backend(0)];
        Ejection::defaults().decide(&mut all, at(0));
        let told = all[0].state.ejected.unwrap().to_string();
        assert_eq!(told, "succeeded 41 % of 212, the others 99 %");
    }

    #[test]
    fn an_operators_ejection_holds_above_the_limit_and_until_it_is_taken_back() {
        let settings = Ejection::defaults();
        let manual = |until| Some(ManualEjection { since: at(0), until });
        let mut all = [backend(0), backend(0), backend(5)];
        all[0].signals.manual = manual(None);
        all[1].signals.manual = manual(Some(at(2000)));
        settings.decide(&mut all, at(1000));
        let ejected = |all: &[Candidate]| -> Vec<_> {
            all.iter().map(|it| it.state.ejected.map(|it| it.on_trial)).collect()
        };
        assert_eq!(ejected(&all), [Some(false), Some(false), None]);
        all[1].signals.manual = None; // its time is over
        all[2].signals.consecutive = 0;
        settings.decide(&mut all, at(2000));
        assert_eq!(ejected(&all), [Some(false), None, None], "no trial above the limit");
        all[0].signals.manual = None;
        settings.decide(&mut all, at(3000));
        assert_eq!(ejected(&all), [None; 3]);

        let mut two = [backend(0), backend(0)];
        two[0].signals.manual = manual(Some(at(500)));
        settings.decide(&mut two, at(100));
        two[0].signals.manual = None;
        settings.decide(&mut two, at(500));
        assert_eq!(ejected(&two), [Some(true), None]);
    }

    proptest! {
        /// For random input: never more are ejected than the limit allows, none for longer than `max_time`,
        /// and a healthy one is back after its time and its trial.
        #[test]
        fn bounds_hold_and_who_is_well_comes_back(
            count in 1usize..9,
            max_ejected in 0u8..=100,
            steps in prop::collection::vec(
                (0u64..3000, prop::collection::vec((0u32..9, 0u8..5, 0u8..9), 9)), 1..60,
            ),
        ) {
            let settings = Ejection { max_ejected, ..Ejection::defaults() };
            let mut all = vec![backend(0); count];
            let mut now = 0;
            for (passed, drawn) in steps {
                now += passed;
                for (it, (consecutive, trial, mood)) in all.iter_mut().zip(drawn) {
                    let latency = Cause::Latency { mean: settings.time, others: settings.time };
                    it.signals = Signals {
                        consecutive,
                        trial: [None, Some(HealthSignal::Success), Some(HealthSignal::Fault), None, None]
                            [usize::from(trial)],
                        outlier: (mood == 2).then_some(latency),
                        manual: (mood == 3).then_some(ManualEjection { since: at(now), until: None }),
                        eligible: mood != 0,
                        down: mood == 1,
                    };
                }
                settings.decide(&mut all, at(now));
                let eligible = || all.iter().filter(|it| it.signals.eligible);
                let ejected = eligible().filter(|it| it.is_ejected()).count();
                let manual = eligible().filter(|it| it.signals.manual.is_some()).count();
                let limit = settings.limit(eligible().count());
                prop_assert!(ejected <= limit.max(manual), "{ejected} of {limit}");
                for until in all.iter().filter_map(|it| it.state.ejected?.until) {
                    prop_assert!(until > at(now) && until.since(at(now)) <= settings.max_time);
                }
            }
            for it in &mut all {
                it.signals = Signals { eligible: true, ..Signals::default() };
            }
            now += 60_000;
            settings.decide(&mut all, at(now));
            all.iter_mut().for_each(|it| it.signals.trial = Some(HealthSignal::Success));
            settings.decide(&mut all, at(now));
            prop_assert!(all.iter().all(|it| !it.is_ejected()));
        }
    }
}
