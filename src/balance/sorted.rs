//! Interpolation index over sorted numbers: rank queries in two steps.
//!
//! The range is cut into equal buckets of a few numbers each, if they are evenly spread; an index
//! says where each bucket begins, and the rest is a search within it. If most numbers are in one
//! bucket, that takes as long as a plain search.

/// Sorted numbers with their bucket index.
#[derive(Debug)]
pub(super) struct Sorted {
    numbers: Box<[u64]>,
    /// Start of each bucket, and the end of the last.
    begins: Box<[u32]>,
    /// A number's bucket is its bits above this shift.
    shift: u32,
}

/// Average numbers in a bucket: half a cache line.
const NUMBERS_PER_BUCKET: usize = 4;

impl Sorted {
    /// An index of `numbers`, which are sorted.
    pub fn new(numbers: impl Into<Box<[u64]>>) -> Sorted {
        let numbers = numbers.into();
        let greatest = numbers.last().copied().unwrap_or(0);
        let parts = (numbers.len() / NUMBERS_PER_BUCKET).max(2);
        let shift = (u64::BITS - greatest.leading_zeros()).saturating_sub(parts.ilog2());
        let begin = |part| numbers.partition_point(|number| number >> shift < part) as u32;
        let begins = (0..=(greatest >> shift) + 1).map(begin).collect();
        Sorted { numbers, begins, shift }
    }

    /// The numbers.
    #[inline]
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// How many of them are below `bound`.
    #[inline]
    pub fn below(&self, bound: u64) -> usize {
        let part = (bound >> self.shift) as usize;
        let Some(&[begin, end]) = self.begins.get(part..).and_then(<[u32]>::first_chunk) else {
            return self.numbers.len();
        };
        let (begin, end) = (begin as usize, end as usize);
        begin + self.numbers[begin..end].partition_point(|number| *number < bound)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(numbers: &[u64], bounds: impl IntoIterator<Item = u64>) {
        let sorted = Sorted::new(numbers);
        for bound in bounds {
            let expected = numbers.partition_point(|number| *number < bound);
            assert_eq!(sorted.below(bound), expected, "{bound} of {numbers:?}");
        }
    }

    #[test]
    fn none_one_and_the_greatest_are_found() {
        let bounds = [0, 1, 2, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        for numbers in [&[][..], &[0], &[1], &[u64::MAX], &[0, u64::MAX], &[7; 100]] {
            check(numbers, bounds);
        }
    }

    proptest! {
        #[test]
        fn it_is_a_search_among_all(
            mut numbers in prop::collection::vec(any::<u64>(), 0..200),
            shift in 0u32..64,
            bounds in prop::collection::vec(any::<u64>(), 20),
        ) {
            numbers.iter_mut().for_each(|number| *number >>= shift);
            numbers.sort_unstable();
            let near = numbers.iter().flat_map(|n| [n.saturating_sub(1), *n, n.saturating_add(1)]);
            check(&numbers, near.chain(bounds.iter().map(|bound| bound >> shift)));
        }
    }
}
