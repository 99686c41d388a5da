//! Protects a service from sets that lose too much at once: registries that restart, or lose their
//! data, tell of no backends though all are alive.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::set::{Discovered, DiscoveredSet};
use crate::model::{Address, Time};

/// Decides which set is in effect.
#[derive(Debug)]
pub(super) struct Guard {
    keep: Duration,
    allow_empty: bool,
    /// The last set that was taken at its word.
    accepted: DiscoveredSet,
    held: Option<Held>,
}

/// A set that loses too much.
#[derive(Debug)]
struct Held {
    since: Time,
    set: DiscoveredSet,
}

impl Guard {
    /// `accepted` is what an earlier source has told, if there was one: it is not lost at once either.
    pub fn new(keep: Duration, allow_empty: bool, accepted: DiscoveredSet) -> Guard {
        Guard { keep, allow_empty, accepted, held: None }
    }

    /// Another set from the registry; returns the one to put into effect. One that loses too much is
    /// put into effect beside what it has lost, until that has lasted for `keep`.
    pub fn offer(&mut self, set: DiscoveredSet, now: Time) -> DiscoveredSet {
        let since = self.held.as_ref().map_or(now, |held| held.since);
        let kept = !self.allow_empty && now.since(since) < self.keep && self.loses_much(&set);
        if !kept {
            (self.accepted, self.held) = (set, None);
            return Arc::clone(&self.accepted);
        }
        let united = self.united(&set);
        self.held = Some(Held { since, set });
        united
    }

    /// When a held set takes effect as it is.
    pub fn due(&self) -> Option<Time> {
        self.held.as_ref().map(|held| held.since + self.keep)
    }

    /// The held set, which takes effect now.
    pub fn release(&mut self) -> Option<DiscoveredSet> {
        self.accepted = self.held.take()?.set;
        Some(Arc::clone(&self.accepted))
    }

    /// Whether `set` has less than half of those that served, or none that serves.
    fn loses_much(&self, set: &[Arc<Discovered>]) -> bool {
        let serving: HashSet<&Address> = serving(set).collect();
        let before = serving_count(&self.accepted);
        let stay = self::serving(&self.accepted).filter(|at| serving.contains(at)).count();
        before > 0 && (serving.is_empty() || stay * 2 < before)
    }

    /// `set`, and of what was accepted that which serves no more.
    fn united(&self, set: &[Arc<Discovered>]) -> DiscoveredSet {
        let serving: HashSet<&Address> = serving(set).collect();
        let lost = self.accepted.iter().filter(|it| it.serves() && !serving.contains(&it.address));
        let lost: Vec<Arc<Discovered>> = lost.cloned().collect();
        let kept: HashSet<&Address> = lost.iter().map(|it| &it.address).collect();
        let told = set.iter().filter(|it| !kept.contains(&it.address)).cloned();
        told.chain(lost.iter().cloned()).collect()
    }
}

fn serving(set: &[Arc<Discovered>]) -> impl Iterator<Item = &Address> {
    set.iter().filter(|it| it.serves()).map(|it| &it.address)
}

fn serving_count(set: &[Arc<Discovered>]) -> usize {
    serving(set).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(30);

    fn set(names: &str) -> DiscoveredSet {
        names.chars().map(|name| Discovered::at(&format!("{name}:1")).unwrap().into()).collect()
    }

    fn names(set: &[Arc<Discovered>]) -> String {
        set.iter().filter_map(|it| it.address.as_str().chars().next()).collect()
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    /// A guard that has accepted these.
    fn guard(names: &str) -> Guard {
        let mut guard = Guard::new(KEEP, false, Arc::default());
        guard.offer(set(names), at(0));
        guard
    }

    #[test]
    fn sets_that_lose_too_much_are_held_for_a_while() {
        let mut guard = guard("abcde");
        assert_eq!(names(&guard.offer(set("abc"), at(1))), "abc", "less than half are gone");
        assert_eq!(guard.due(), None);
        assert_eq!(names(&guard.offer(set(""), at(2))), "abc");
        assert_eq!(guard.due(), Some(at(32)));
        assert_eq!(names(&guard.offer(set("x"), at(10))), "xabc", "a newcomer serves at once");
        assert_eq!(guard.due(), Some(at(32)), "since the first one");
        assert_eq!(names(&guard.release().unwrap()), "x");
        assert_eq!((guard.due(), guard.release()), (None, None));
    }

    #[test]
    fn what_comes_back_ends_the_hold() {
        let mut guard = guard("abcd");
        assert_eq!(names(&guard.offer(set("a"), at(1))), "abcd");
        assert_eq!(names(&guard.offer(set("abc"), at(2))), "abc");
        assert_eq!(guard.due(), None);
        assert_eq!(names(&guard.offer(set("ab"), at(3))), "ab", "not more than half");
    }

    #[test]
    fn all_that_serve_no_more_are_as_good_as_none() {
        let mut guard = guard("ab");
        let ending =
            |it: &Arc<Discovered>| Discovered { terminating: true, ..(**it).clone() }.into();
        assert!(
            guard.offer(set("ab").iter().map(ending).collect(), at(1)).iter().all(|it| it.serves())
        );
        assert!(guard.release().unwrap().iter().all(|it| it.terminating));
        assert_eq!(names(&guard.offer(set(""), at(50))), "", "nothing that served is lost");
    }

    #[test]
    fn empty_sets_are_taken_at_their_word_if_that_is_allowed_or_nothing_was_there() {
        let mut trusting = Guard::new(KEEP, true, Arc::default());
        trusting.offer(set("abc"), at(0));
        assert_eq!(names(&trusting.offer(set(""), at(1))), "");
        let mut new = Guard::new(KEEP, false, Arc::default());
        assert_eq!((names(&new.offer(set(""), at(0))), new.due()), (String::new(), None));
    }

    #[test]
    fn what_an_earlier_source_has_told_is_not_lost_at_once() {
        let mut guard = Guard::new(KEEP, false, set("ab"));
        assert_eq!(names(&guard.offer(set(""), at(0))), "ab");
        assert_eq!(guard.due(), Some(at(30)));
    }
}
