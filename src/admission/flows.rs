//! Whose turn it is: start-time fair queueing over shuffle-sharded queues.
//!
//! A caller is dealt [`HAND`] of [`QUEUES`] queues by its hash; a request joins the one of them that is
//! served first. It starts at the queue's end or at the virtual time, whichever is later, and that is its
//! tag (a little less in an empty queue); the lowest tag is served next. So each queue that is not empty is served as often as any other:
//! who floods has long queues of his own, and a caller who shares some of them has others in his hand.
//!
//! Sources: P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing" (SIGCOMM '96); the hand and its
//! numbers are those of Kubernetes' API Priority and Fairness; the bound of a queue is the dynamic
//! threshold of A. Choudhury and E. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet
//! Switches" (1998): a queue may be as long as there is room left for all.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Queues of a service.
const QUEUES: usize = 64;

/// Queues of one caller.
const HAND: usize = 8;

/// Virtual time of one request of a caller with weight 1.
const COST: u64 = 1 << 20;

/// The queues of one service, shared by all workers.
#[derive(Debug)]
pub struct Flows {
    /// The start tag of the request that was served last.
    virtual_time: AtomicU64,
    queues: Box<[Queue; QUEUES]>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Where the next request starts.
    end: AtomicU64,
    length: AtomicU32,
}

/// A place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    queue: u8,
    tag: u64,
    cost: u64,
}

impl Ticket {
    /// Its start tag: the lowest is served first.
    pub fn tag(&self) -> u64 {
        self.tag
    }
}

impl Default for Flows {
    fn default() -> Flows {
        let queues = std::array::from_fn(|_| Queue::default());
        Flows { virtual_time: AtomicU64::new(0), queues: Box::new(queues) }
    }
}

impl Flows {
    /// The queue that a request of the caller with this hash joins.
    pub fn choose(&self, caller: u64) -> usize {
        let ends = deal(caller).map(|queue| (self.queues[queue].end.load(Relaxed), queue));
        ends.into_iter().min().map_or(0, |(_, queue)| queue)
    }

    /// Requests that wait in this queue.
    pub fn length(&self, queue: usize) -> u32 {
        self.queues[queue].length.load(Relaxed)
    }

    /// Requests that are served before the next one of this queue.
    pub fn ahead(&self, queue: usize) -> u32 {
        let own = self.length(queue);
        self.queues.iter().map(|other| other.length.load(Relaxed).min(own)).sum()
    }

    /// Joins a queue, with the caller's weight.
    pub fn join(&self, queue: usize, weight: u32) -> Ticket {
        let (now, cost) = (self.virtual_time.load(Relaxed), COST / u64::from(weight.max(1)));
        let Queue { end, length } = &self.queues[queue];
        length.fetch_add(1, Relaxed);
        let next = |end: u64| Some(end.max(now) + cost);
        let end = end.fetch_update(Relaxed, Relaxed, next).unwrap_or_default();
        // Who had nothing waiting is served before those whose turn it is now anyway.
        let tag = if end <= now { now.saturating_sub(COST) } else { end };
        Ticket { queue: queue as u8, tag, cost }
    }

    /// The request of this ticket is served.
    pub fn serve(&self, ticket: Ticket) {
        self.virtual_time.fetch_max(ticket.tag, Relaxed);
        self.queues[usize::from(ticket.queue)].length.fetch_sub(1, Relaxed);
    }

    /// The request of this ticket has left without being served: its caller is not charged for it.
    pub fn leave(&self, ticket: Ticket) {
        let Queue { end, length } = &self.queues[usize::from(ticket.queue)];
        length.fetch_sub(1, Relaxed);
        let refund = |end: u64| end.checked_sub(ticket.cost);
        let _ = end.fetch_update(Relaxed, Relaxed, refund); // it is never less than what was charged
    }
}

/// The hand of a caller: different queues, by its hash.
fn deal(mut hash: u64) -> [usize; HAND] {
    let mut left: [u8; QUEUES] = std::array::from_fn(|queue| queue as u8);
    std::array::from_fn(|dealt| {
        let count = (QUEUES - dealt) as u64;
        let card = dealt + (hash % count) as usize;
        hash /= count;
        left.swap(dealt, card);
        usize::from(left[dealt])
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    /// Serves `count` of the waiting requests, the lowest tag first; how many of each caller.
    fn serve(
        flows: &Flows,
        waiting: &mut Vec<(Ticket, char)>,
        count: usize,
    ) -> BTreeMap<char, usize> {
        let mut served = BTreeMap::new();
        for _ in 0..count {
            let Some(next) = (0..waiting.len()).min_by_key(|n| waiting[*n].0.tag()) else { break };
            let (ticket, caller) = waiting.remove(next);
            flows.serve(ticket);
            *served.entry(caller).or_default() += 1;
        }
        served
    }

    fn join(flows: &Flows, caller: char, weight: u32) -> (Ticket, char) {
        let hash = (caller as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (flows.join(flows.choose(hash), weight), caller)
    }

    #[test]
    fn a_hand_has_different_queues() {
        let hash = |n: u64| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hands: HashSet<_> = (0..1000).map(|n| deal(hash(n))).collect();
        assert!(hands.len() > 990);
        assert!(hands.iter().all(|hand| hand.iter().collect::<HashSet<_>>().len() == HAND));
    }

    #[test]
    fn who_comes_seldom_waits_for_one_request_alone() {
        let flows = Flows::default();
        let mut waiting: Vec<_> = (0..400).map(|_| join(&flows, 'f', 1)).collect();
        serve(&flows, &mut waiting, 100);
        waiting.push(join(&flows, 's', 1));
        let served = serve(&flows, &mut waiting, 1);
        assert_eq!(served.get(&'s'), Some(&1));
    }

    #[test]
    fn shares_follow_the_weights() {
        let flows = Flows::default();
        let mut waiting = Vec::new();
        for _ in 0..500 {
            waiting.push(join(&flows, 'a', 3));
            waiting.push(join(&flows, 'b', 1));
        }
        let served = serve(&flows, &mut waiting, 400);
        assert!(served[&'a'].abs_diff(300) < 20, "{served:?}");
    }

    #[test]
    fn who_leaves_is_not_charged() {
        let flows = Flows::default();
        for _ in 0..1000 {
            let ticket = flows.join(3, 1);
            flows.leave(ticket);
        }
        assert_eq!((flows.join(3, 1).tag(), flows.length(3)), (0, 1));
    }

    #[test]
    fn those_of_one_queue_are_served_as_they_came() {
        let flows = Flows::default();
        let tags: Vec<_> = (0..5).map(|_| flows.join(0, 1).tag()).collect();
        assert!(tags.is_sorted());
        assert_eq!(flows.ahead(0), 5);
    }
}
