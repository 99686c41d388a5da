//! What answers tell of, and how it fades: one answer without a member does not remove it, as name
//! servers tell of some at a time, come up with parts of their data, and are several that differ.

use std::collections::BTreeMap;
use std::time::Duration;

use super::set::MAX_DISCOVERED;
use crate::model::Time;

/// A member goes when as many answers in a row lack it…
const ANSWERS: u32 = 3;

/// … and as much time has gone by since the first of them.
const KEEP: Duration = Duration::from_secs(30);

/// Members with what the last answer that had them said of them.
#[derive(Debug)]
pub(super) struct Fading<K, V = ()> {
    members: BTreeMap<K, Member<V>>,
}

#[derive(Debug)]
struct Member<V> {
    value: V,
    missing: Option<Missing>,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Time,
    answers: u32,
}

impl<K, V> Default for Fading<K, V> {
    fn default() -> Fading<K, V> {
        Fading { members: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, V: PartialEq> Fading<K, V> {
    /// Takes a whole answer; returns whether the members, or what is said of them, have changed.
    pub fn take(&mut self, answer: impl IntoIterator<Item = (K, V)>, now: Time) -> bool {
        let mut rest: BTreeMap<K, V> = answer.into_iter().take(MAX_DISCOVERED).collect();
        let mut changed = false;
        self.members.retain(|key, member| {
            if let Some(value) = rest.remove(key) {
                changed |= member.value != value;
                *member = Member { value, missing: None };
                return true;
            }
            let stays = member.is_missing(now);
            changed |= !stays;
            stays
        });
        changed |= !rest.is_empty();
        let new = rest.into_iter().map(|(key, value)| (key, Member { value, missing: None }));
        self.members.extend(new);
        self.bound() || changed
    }

    /// Drops those that have been missing for longest if there are too many.
    fn bound(&mut self) -> bool {
        let over = self.members.len().saturating_sub(MAX_DISCOVERED);
        if over == 0 {
            return false;
        }
        let missing = self
            .members
            .iter()
            .filter_map(|(key, member)| member.missing.map(|missing| (missing.since, key.clone())));
        let mut missing: Vec<(Time, K)> = missing.collect();
        missing.sort();
        for (_, key) in missing.into_iter().take(over) {
            self.members.remove(&key);
        }
        true
    }

    /// Drops all.
    pub fn clear(&mut self) {
        self.members.clear();
    }

    /// The members, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.members.iter().map(|(key, member)| (key, &member.value))
    }

    /// How many of them the last answer lacked.
    pub fn missing(&self) -> usize {
        self.members.values().filter(|member| member.missing.is_some()).count()
    }
}

impl<V> Member<V> {
    /// An answer lacks it; returns whether it stays.
    fn is_missing(&mut self, now: Time) -> bool {
        let missing = self.missing.get_or_insert(Missing { since: now, answers: 0 });
        missing.answers = missing.answers.saturating_add(1);
        missing.answers < ANSWERS || now.since(missing.since) < KEEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn names(set: &Fading<char>) -> String {
        set.iter().map(|(key, ())| *key).collect()
    }

    /// Takes an answer; the members then, and whether they have changed.
    fn answer(set: &mut Fading<char>, text: &str, seconds: u64) -> (String, bool) {
        let changed = set.take(text.chars().map(|key| (key, ())), at(seconds));
        (names(set), changed)
    }

    #[test]
    fn what_is_missing_stays_for_three_answers_and_thirty_seconds() {
        let mut set = Fading::default();
        assert_eq!(answer(&mut set, "ab", 0), ("ab".into(), true));
        assert_eq!(answer(&mut set, "ba", 5), ("ab".into(), false), "order says nothing");
        for seconds in [10, 15, 20, 25, 30, 35, 39] {
            assert_eq!(answer(&mut set, "b", seconds), ("ab".into(), false), "{seconds}");
            assert_eq!(set.missing(), 1);
        }
        assert_eq!(answer(&mut set, "b", 40), ("b".into(), true));
        assert_eq!(set.missing(), 0);

        let mut slow = Fading::default();
        answer(&mut slow, "ab", 0);
        assert_eq!(answer(&mut slow, "b", 300), ("ab".into(), false));
        assert_eq!(answer(&mut slow, "b", 600), ("ab".into(), false), "the second that lacks it");
        assert_eq!(answer(&mut slow, "b", 601), ("b".into(), true));
    }

    #[test]
    fn only_answers_in_a_row_count() {
        let mut set = Fading::default();
        answer(&mut set, "ab", 0);
        for round in 0..20 {
            // As a server that tells of half of them at a time.
            let text = if round % 2 == 0 { "a" } else { "b" };
            assert_eq!(answer(&mut set, text, 20 * (round + 1)), ("ab".into(), false));
        }
    }

    #[test]
    fn what_is_new_is_there_at_once_and_what_is_said_of_members_too() {
        let mut set = Fading::default();
        assert!(set.take([('a', 1)], at(0)));
        assert!(!set.take([('a', 1)], at(5)));
        assert!(set.take([('a', 2), ('b', 1)], at(10)));
        assert_eq!(set.iter().collect::<Vec<_>>(), [(&'a', &2), (&'b', &1)]);
        assert!(!set.take([('a', 2)], at(15)), "what is missing keeps what was said");
        set.clear();
        assert_eq!(set.iter().count(), 0);
    }

    #[test]
    fn of_too_many_those_go_that_are_missing_for_longest() {
        let most = u32::try_from(MAX_DISCOVERED).unwrap();
        let mut set = Fading::default();
        set.take((0..most / 2).map(|key| (key, ())), at(0));
        set.take((most / 2..most).map(|key| (key, ())), at(1));
        assert_eq!((set.iter().count(), set.missing()), (MAX_DISCOVERED, MAX_DISCOVERED / 2));
        let answer = (most / 2..most + 10).map(|key| (key, ()));
        assert!(set.take(answer, at(2)));
        assert_eq!(set.iter().count(), MAX_DISCOVERED);
        assert_eq!(set.iter().next(), Some((&10, &())));
        assert!(set.iter().any(|(key, ())| *key == most - 1), "the answer stays whole");
        set.take((0..2 * most).map(|key| (key, ())), at(3));
        assert_eq!(set.iter().count(), MAX_DISCOVERED);
    }
}
