//! Weighted random sampling of members, by the alias method.
//!
//! Walker's alias method in Vose's form: every member owns one column, of which it keeps a part and
//! gives the rest to one other member. A draw picks a column and a height in it, both from one
//! random number, in constant time. Heights are integers in units of 2^-32.

use std::hint::select_unpredictable;

use super::sorted::Sorted;
use crate::model::EndpointSet;

/// Rejected draws before falling back to a linear search, when another member is to be drawn.
const MAX_DRAWS: u32 = 4;

/// The weights of a set.
#[derive(Debug)]
pub(super) struct Weights {
    /// Prefix sums of the weights, inclusive.
    sums: Sorted,
    columns: Box<[Column]>,
}

/// A column of the alias table: heights below `kept`, of 2^32, are the owner's, those above the
/// alias's. Eight bytes, so that a thousand stay in the L1 cache.
#[derive(Clone, Copy, Debug)]
struct Column {
    kept: u32,
    alias: u32,
}

impl Weights {
    /// The weights of `set`, which is not empty.
    pub fn new(set: &EndpointSet) -> Weights {
        Weights::of_included(set, |_| true)
    }

    /// The same, but only draws members that are `included`; there is at least one.
    pub fn of_included(set: &EndpointSet, included: impl Fn(usize) -> bool) -> Weights {
        let running = set.members().iter().enumerate().scan(0, |sum, (index, member)| {
            *sum += if included(index) { u64::from(member.weight) } else { 0 };
            Some(*sum)
        });
        let sums = Sorted::new(running.collect::<Vec<_>>());
        let mut weights = Weights { sums, columns: Box::default() };
        weights.columns = columns(&weights);
        weights
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.sums.numbers().len()
    }

    /// The sum of all weights.
    pub fn total(&self) -> u64 {
        self.sums.numbers().last().copied().unwrap_or(0)
    }

    /// The weight of one member.
    pub fn of(&self, index: usize) -> u64 {
        self.sums.numbers()[index] - self.before(index)
    }

    /// The member that owns `point`, which is less than the total.
    pub fn owner(&self, point: u64) -> usize {
        self.sums.below(point + 1)
    }

    /// Draws a member.
    #[inline]
    pub fn draw(&self, rng: &mut fastrand::Rng) -> usize {
        // Integer part: the column; fraction: the height in it.
        let point = u128::from(rng.u64(..)) * self.columns.len() as u128;
        let (owner, height) = ((point >> 64) as usize, (point >> 32) as u32);
        let column = self.columns[owner];
        select_unpredictable(height < column.kept, owner, column.alias as usize)
    }

    /// Draws a member other than `index`; there are at least two.
    #[inline]
    fn draw_other(&self, index: usize, rng: &mut fastrand::Rng) -> usize {
        // Rejection sampling keeps the shares; a heavy `index` rejects many draws.
        let drawn = (0..MAX_DRAWS).map(|_| self.draw(rng)).find(|&drawn| drawn != index);
        drawn.unwrap_or_else(|| self.search_other(index, rng))
    }

    #[cold]
    fn search_other(&self, index: usize, rng: &mut fastrand::Rng) -> usize {
        let point = rng.u64(0..self.total() - self.of(index));
        let skipped = point >= self.before(index);
        self.owner(point + if skipped { self.of(index) } else { 0 })
    }

    /// Draws a member that was not tried or, if all were, any.
    #[inline]
    pub fn draw_untried(&self, tried: &[usize], rng: &mut fastrand::Rng) -> usize {
        if tried.is_empty() {
            return self.draw(rng);
        }
        self.draw_where(|index| !tried.contains(&index), rng).unwrap_or_else(|| self.draw(rng))
    }

    /// Draws a member other than `index` that was not tried, if there is one.
    #[inline]
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

    /// Draws a member that is `open`, if there is one. Linear in the members.
    #[cold]
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
        index.checked_sub(1).map_or(0, |previous| self.sums.numbers()[previous])
    }
}

/// Builds the alias table: columns with excess fill up those with a deficit.
fn columns(weights: &Weights) -> Box<[Column]> {
    let (len, height) = (weights.len(), weights.total());
    let mut kept: Vec<u64> =
        (0..len).map(|index| weights.of(index).saturating_mul(len as u64)).collect();
    let mut alias: Vec<usize> = (0..len).collect();
    let (mut low, mut high): (Vec<usize>, Vec<usize>) =
        (0..len).partition(|&index| kept[index] < height);
    while let Some(&lender) = high.last()
        && let Some(borrower) = low.pop()
    {
        alias[borrower] = lender;
        kept[lender] -= height - kept[borrower];
        if kept[lender] < height {
            high.pop();
            low.push(lender);
        }
    }
    let part = |kept: u64| (u128::from(kept) << 32) / u128::from(height.max(1));
    let column = |(kept, alias)| Column {
        kept: u32::try_from(part(kept)).unwrap_or(u32::MAX), // the whole column: its own alias
        alias: alias as u32,
    };
    kept.into_iter().zip(alias).map(column).collect()
}
