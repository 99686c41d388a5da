//! Draws members of a set at random, each as often as its weight says.

use crate::model::EndpointSet;

/// The weights of a set as running sums, which a draw searches by halves.
#[derive(Debug)]
pub(super) struct Weights {
    /// Sum of the weights up to and with each member.
    sums: Box<[u64]>,
}

impl Weights {
    /// The weights of `set`, which is not empty.
    pub fn new(set: &EndpointSet) -> Weights {
        let running = set.members().iter().scan(0, |sum, member| {
            *sum += u64::from(member.weight);
            Some(*sum)
        });
        Weights { sums: running.collect() }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// The sum of all weights.
    pub fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    /// The weight of one member.
    pub fn of(&self, index: usize) -> u64 {
        self.sums[index] - self.before(index)
    }

    /// The member that owns `point`, which is less than the total.
    pub fn owner(&self, point: u64) -> usize {
        self.sums.partition_point(|&sum| sum <= point)
    }

    /// Any member.
    pub fn draw(&self, rng: &mut fastrand::Rng) -> usize {
        self.owner(rng.u64(0..self.total()))
    }

    /// Any member but `index`; there are two at least.
    fn draw_other(&self, index: usize, rng: &mut fastrand::Rng) -> usize {
        let point = rng.u64(0..self.total() - self.of(index));
        let skipped = point >= self.before(index);
        self.owner(point + if skipped { self.of(index) } else { 0 })
    }

    /// Any member that was not tried or, if all were, any.
    pub fn draw_untried(&self, tried: &[usize], rng: &mut fastrand::Rng) -> usize {
        if tried.is_empty() {
            return self.draw(rng);
        }
        self.draw_where(|index| !tried.contains(&index), rng).unwrap_or_else(|| self.draw(rng))
    }

    /// Any member but `index` that was not tried, if there is one.
    pub fn draw_other_untried(
        &self,
        index: usize,
        tried: &[usize],
        rng: &mut fastrand::Rng,
    ) -> Option<usize> {
        if self.len() < 2 {
            None
        } else if tried.is_empty() {
            Some(self.draw_other(index, rng))
        } else {
            self.draw_where(|other| other != index && !tried.contains(&other), rng)
        }
    }

    /// Any member that is `open`, if there is one. Slower: it looks at each member.
    fn draw_where(&self, open: impl Fn(usize) -> bool, rng: &mut fastrand::Rng) -> Option<usize> {
        let open = || (0..self.len()).filter(|&index| open(index));
        let total: u64 = open().map(|index| self.of(index)).sum();
        let mut point = rng.u64(0..total.max(1));
        open().find(|&index| {
            let found = point < self.of(index);
            point = point.saturating_sub(self.of(index));
            found
        })
    }

    fn before(&self, index: usize) -> u64 {
        index.checked_sub(1).map_or(0, |previous| self.sums[previous])
    }
}
