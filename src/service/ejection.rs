//! Who is ejected for what it answers, until when, and how it comes back: decided over given times,
//! by values alone.

use std::cmp::Reverse;
use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::model::{HealthSignal, Time};

/// When the backends of a service are ejected, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// So many faults in a row eject.
    pub consecutive: u32,
    /// How long that lasts.
    pub time: Duration,
    /// How long at most, after so many relapses.
    pub max_time: Duration,
    /// The part of the backends, in a hundred, that may be out.
    pub max_ejected: u8,
}

impl Ejection {
    /// As it is unless told otherwise.
    pub const fn usual() -> Ejection {
        Ejection {
            consecutive: 5,
            time: Duration::from_secs(1),
            max_time: Duration::from_secs(60),
            max_ejected: 50,
        }
    }
}

/// What a backend is ejected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// So many faults in a row.
    Faults(u32),
    /// A fault on trial.
    Relapse,
}

impl Cause {
    /// The names in the metrics.
    const NAMES: [&str; 2] = ["faults", "relapse"];

    fn index(self) -> usize {
        match self {
            Cause::Faults(_) => 0,
            Cause::Relapse => 1,
        }
    }
}

impl Display for Cause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Faults(faults) => write!(f, "{faults} faults in a row"),
            Cause::Relapse => f.write_str("a fault on trial"),
        }
    }
}

/// Ejections of a service, by what they were for.
#[derive(Debug, Default)]
pub struct EjectionCounts([AtomicU64; Cause::NAMES.len()]);

impl EjectionCounts {
    pub(super) fn count(&self, cause: Cause) {
        if let Some(count) = self.0.get(cause.index()) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// By the names of the causes.
    pub fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Cause::NAMES.into_iter().zip(self.0.each_ref().map(|count| count.load(Relaxed)))
    }
}

/// That a backend is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejected {
    /// What for, the last time.
    pub cause: Cause,
    /// Since when it is, with the relapses.
    pub since: Time,
    /// When its trial begins; it is on trial without.
    pub until: Option<Time>,
}

impl Ejected {
    /// Whether it gets requests again, one at a time.
    pub fn is_on_trial(&self) -> bool {
        self.until.is_none()
    }
}

impl Display for Ejected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.until {
            Some(_) => self.cause.fmt(f),
            None => write!(f, "on trial after {}", self.cause),
        }
    }
}

/// What is held of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// That it is ejected, if it is.
    pub ejected: Option<Ejected>,
    /// When the last ejection ended.
    back: Option<Time>,
    /// Ejections that came one soon after the other, but the first.
    relapses: u32,
}

/// What is seen of a backend.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Faults in a row.
    pub faults: u32,
    /// How it did on trial.
    pub verdict: Option<HealthSignal>,
    /// Whether it is to get requests as long as it is well: others are no part of the whole.
    pub counts: bool,
    /// Whether it is out for another reason.
    pub down: bool,
}

/// A backend.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What is held of it.
    pub record: Record,
    /// What is seen of it.
    pub seen: Seen,
}

impl Ejection {
    /// Makes of the records what they are at `now`: ends what is over, and ejects as many as may be.
    pub fn decide(&self, cases: &mut [Case], now: Time) {
        cases.iter_mut().for_each(|case| self.go_on(case, now));
        let out = cases
            .iter()
            .filter(|it| it.seen.counts && (it.seen.down || it.record.ejected.is_some()));
        let mut room = self.most(cases).saturating_sub(out.count());
        let guilty = |case: &&mut Case| {
            let Case { record, seen } = case;
            let news = seen.counts && !seen.down && record.ejected.is_none();
            news && seen.faults >= self.consecutive
        };
        let mut guilty: Vec<&mut Case> = cases.iter_mut().filter(guilty).collect();
        guilty.sort_by_key(|case| Reverse(case.seen.faults));
        for case in guilty {
            if room == 0 {
                break;
            }
            room -= 1;
            self.eject(&mut case.record, Cause::Faults(case.seen.faults), now);
        }
        self.release(cases, now);
    }

    /// Lets those go who are too many, as the whole has become less: first who is out for longest.
    pub fn release(&self, cases: &mut [Case], now: Time) {
        let most = self.most(cases);
        let ejected = |case: &&mut Case| case.seen.counts && case.record.ejected.is_some();
        let mut ejected: Vec<&mut Case> = cases.iter_mut().filter(ejected).collect();
        ejected.sort_by_key(|case| case.record.ejected.map(|it| it.since));
        let excess = ejected.len().saturating_sub(most);
        ejected.into_iter().take(excess).for_each(|case| case.record.end(now));
    }

    /// How many may be out: of a single one none.
    fn most(&self, cases: &[Case]) -> usize {
        match cases.iter().filter(|case| case.seen.counts).count() {
            0 | 1 => 0,
            count => count * usize::from(self.max_ejected) / 100,
        }
    }

    fn go_on(&self, Case { record, seen }: &mut Case, now: Time) {
        let Some(ejected) = &mut record.ejected else { return };
        match (ejected.until, seen.verdict) {
            (Some(until), _) if until <= now => ejected.until = None,
            (None, Some(HealthSignal::Success)) => record.end(now),
            (None, Some(HealthSignal::Fault)) => self.eject(record, Cause::Relapse, now),
            _ => {}
        }
    }

    fn eject(&self, record: &mut Record, cause: Cause, now: Time) {
        let lately = record.back.is_some_and(|back| now.since(back) < self.max_time);
        let relapse = record.ejected.is_some() || lately;
        record.relapses = if relapse { record.relapses.saturating_add(1) } else { 0 };
        let doubled = self.time.saturating_mul(1 << record.relapses.min(30));
        let until = Some(now + doubled.min(self.max_time));
        let since = record.ejected.map_or(now, |ejected| ejected.since);
        record.ejected = Some(Ejected { cause, since, until });
    }
}

impl Record {
    fn end(&mut self, now: Time) {
        (self.ejected, self.back) = (None, Some(now));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn case(faults: u32) -> Case {
        let seen = Seen { faults, verdict: None, counts: true, down: false };
        Case { record: Record::default(), seen }
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// Whether each is ejected, of those with so many faults.
    fn decided(cases: &[Case]) -> Vec<bool> {
        let mut cases = cases.to_vec();
        Ejection::usual().decide(&mut cases, at(1000));
        cases.iter().map(|case| case.record.ejected.is_some()).collect()
    }

    #[test]
    fn as_many_as_may_be_are_ejected_the_worst_first() {
        assert_eq!(decided(&[case(9)]), [false], "a single one never");
        assert_eq!(decided(&[case(4), case(0)]), [false, false]);
        assert_eq!(decided(&[case(5), case(0)]), [true, false]);
        assert_eq!(decided(&[case(5), case(6)]), [false, true]);
        assert_eq!(decided(&[case(5), case(6), case(7)]), [false, false, true]);
        let mut others = [case(5), case(0), case(0)];
        others[1].seen.down = true;
        assert_eq!(decided(&others), [false; 3], "who is down counts against it");
        others[1].seen.counts = false;
        assert_eq!(decided(&others), [true, false, false], "who is drained does not");
        let all = Ejection { max_ejected: 100, ..Ejection::usual() };
        let mut one = [case(9)];
        all.decide(&mut one, at(0));
        assert_eq!(one[0].record.ejected, None);
    }

    #[test]
    fn each_relapse_takes_twice_as_long_up_to_a_limit() {
        let settings = Ejection { max_time: Duration::from_secs(5), ..Ejection::usual() };
        let mut cases = [case(5), case(0)];
        let mut lasted = Vec::new();
        let mut now = at(1000);
        settings.decide(&mut cases, now);
        for _ in 0..4 {
            let until = cases[0].record.ejected.unwrap().until.unwrap();
            lasted.push(until.since(now).as_secs());
            settings.decide(&mut cases, at(until.as_millis() - 1));
            assert!(!cases[0].record.ejected.unwrap().is_on_trial());
            settings.decide(&mut cases, until);
            assert!(cases[0].record.ejected.unwrap().is_on_trial());
            now = until;
            cases[0].seen.verdict = Some(HealthSignal::Fault);
            settings.decide(&mut cases, now);
            assert_eq!(cases[0].record.ejected.unwrap().cause, Cause::Relapse);
            cases[0].seen.verdict = None;
        }
        assert_eq!(lasted, [1, 2, 4, 5]);
        assert_eq!(cases[0].record.ejected.unwrap().since, at(1000));
    }

    #[test]
    fn three_answers_on_trial_end_it_and_who_is_soon_ejected_again_has_relapsed() {
        let settings = Ejection::usual();
        let mut cases = [case(5), case(0)];
        settings.decide(&mut cases, at(0));
        settings.decide(&mut cases, at(1000));
        cases[0].seen = Seen { faults: 0, verdict: Some(HealthSignal::Success), ..cases[0].seen };
        settings.decide(&mut cases, at(1100));
        assert_eq!(cases[0].record.ejected, None);
        cases[0].seen.faults = 5;
        let until = |cases: &[Case]| cases[0].record.ejected.unwrap().until;
        let mut again = cases;
        settings.decide(&mut again, at(61_099));
        assert_eq!(until(&again), Some(at(63_099)));
        settings.decide(&mut cases, at(61_100));
        assert_eq!(until(&cases), Some(at(62_100)), "it was well for long enough");
    }

    #[test]
    fn when_the_whole_becomes_less_who_is_out_for_longest_is_let_go() {
        let settings = Ejection::usual();
        let mut cases = [case(5), case(0), case(0), case(0)];
        settings.decide(&mut cases, at(0));
        cases[1].seen.faults = 5;
        settings.decide(&mut cases, at(1));
        cases[2].seen.counts = false;
        settings.release(&mut cases, at(2));
        let ejected = cases.map(|case| case.record.ejected.is_some());
        assert_eq!(ejected, [false, true, false, false]);
    }

    proptest! {
        /// Whatever is seen, no more are ejected than may be, nobody for longer than it may last, and
        /// who answers is back after its time and the next look.
        #[test]
        fn bounds_hold_and_who_is_well_comes_back(
            count in 1usize..9,
            max_ejected in 0u8..=100,
            steps in prop::collection::vec(
                (0u64..3000, prop::collection::vec((0u32..9, 0u8..5, 0u8..8), 9)), 1..60,
            ),
        ) {
            let settings = Ejection { max_ejected, ..Ejection::usual() };
            let mut cases = vec![case(0); count];
            let mut now = 0;
            for (passed, seen) in steps {
                now += passed;
                for (case, (faults, verdict, mood)) in cases.iter_mut().zip(seen) {
                    let verdict = [None, Some(HealthSignal::Success), Some(HealthSignal::Fault), None, None]
                        [usize::from(verdict)];
                    case.seen = Seen { faults, verdict, counts: mood != 0, down: mood == 1 };
                }
                settings.decide(&mut cases, at(now));
                let members = cases.iter().filter(|case| case.seen.counts);
                let (all, ejected) = members.fold((0, 0), |(all, ejected), case| {
                    (all + 1, ejected + usize::from(case.record.ejected.is_some()))
                });
                prop_assert!(100 * ejected <= all * usize::from(max_ejected), "{ejected} of {all}");
                prop_assert!(all > 1 || ejected == 0);
                for until in cases.iter().filter_map(|case| case.record.ejected?.until) {
                    prop_assert!(until > at(now) && until.since(at(now)) <= settings.max_time);
                }
            }
            for case in &mut cases {
                case.seen = Seen { faults: 0, verdict: None, counts: true, down: false };
            }
            now += 60_000;
            settings.decide(&mut cases, at(now));
            cases.iter_mut().for_each(|case| case.seen.verdict = Some(HealthSignal::Success));
            settings.decide(&mut cases, at(now));
            prop_assert!(cases.iter().all(|case| case.record.ejected.is_none()));
        }
    }
}
