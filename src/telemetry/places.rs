//! The places of a server that a probe must always get into: when all are taken, whoever has the
//! least to do there goes, and of these the one that came first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use tokio::task::AbortHandle;

/// What a connection is doing.
#[derive(Debug, Default)]
pub struct Activity {
    asked: AtomicBool,
    may_stay: AtomicBool,
    answering: AtomicUsize,
}

/// A request that is being answered, for as long as this lasts.
pub struct Answering(Arc<Activity>);

impl Activity {
    /// Notes that a request has come, on a connection that may stay after it or not.
    pub fn begin(self: &Arc<Self>, may_stay: bool) -> Answering {
        self.asked.store(true, Relaxed);
        self.may_stay.store(may_stay, Relaxed);
        self.answering.fetch_add(1, Relaxed);
        Answering(Arc::clone(self))
    }

    /// Whether there was any request.
    pub fn has_asked(&self) -> bool {
        self.asked.load(Relaxed)
    }

    /// Whether it may be there for as long as its peer lives.
    pub fn may_stay(&self) -> bool {
        self.may_stay.load(Relaxed)
    }

    /// The less, the sooner its place is given away.
    fn rank(&self) -> usize {
        match self.answering.load(Relaxed) {
            0 => usize::from(self.has_asked()),
            _ => 2,
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Relaxed);
    }
}

/// The connections that are there, the oldest first.
#[derive(Debug)]
pub struct Places {
    most: usize,
    taken: VecDeque<(Arc<Activity>, AbortHandle)>,
}

impl Places {
    /// Room for so many.
    pub fn new(most: usize) -> Places {
        Places { most, taken: VecDeque::new() }
    }

    /// Gives a place to a connection; says whether another one had to go for it.
    pub fn take(&mut self, activity: Arc<Activity>, task: AbortHandle) -> bool {
        self.taken.retain(|(_, task)| !task.is_finished());
        let full = self.taken.len() >= self.most;
        if full {
            self.give_away();
        }
        self.taken.push_back((activity, task));
        full
    }

    fn give_away(&mut self) {
        let ranks = self.taken.iter().map(|(activity, _)| activity.rank()).enumerate();
        if let Some((index, _)) = ranks.min_by_key(|(_, rank)| *rank)
            && let Some((_, task)) = self.taken.remove(index)
        {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_nothing_goes_first_and_of_these_the_oldest() {
        let mut places = Places::new(3);
        let activities: [Arc<Activity>; 6] = std::array::from_fn(|_| Arc::default());
        let tasks: [_; 6] = std::array::from_fn(|_| tokio::spawn(std::future::pending::<()>()));
        let _answering = activities[0].begin(true);
        drop(activities[1].begin(true));
        let ended = async |number: usize| {
            tokio::task::yield_now().await;
            tasks[number].is_finished()
        };
        let mut take = |number: usize| {
            places.take(Arc::clone(&activities[number]), tasks[number].abort_handle())
        };
        assert!(!take(0) && !take(1) && !take(2));
        assert!(take(3));
        assert!(ended(2).await, "it never asked for anything");
        assert!(take(4));
        assert!(ended(3).await);
        drop(activities[4].begin(true));
        assert!(take(5));
        assert!(ended(1).await, "the older of two that have been answered");
        assert!(!ended(0).await);
    }
}
