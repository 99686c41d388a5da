//! Log-linear bucket layout: which cell counts a sample.
//!
//! From 10 us to 900 s each decade has the same buckets, with decimal bounds that people write: 1,
//! 1.25, 1.5, 2, 2.5, 3 and so on. Each bucket is divided into equal sub-buckets ("parts"), narrow
//! enough that each is within 1/70 of its value.

/// Upper bounds of a decade's buckets, in thousandths of the decade's unit, and their number of
/// parts.
const DECADE: [(u64, u8); 28] = [
    (1000, 10),
    (1100, 7),
    (1200, 7),
    (1250, 3),
    (1300, 3),
    (1400, 6),
    (1500, 5),
    (1600, 5),
    (1750, 7),
    (1800, 2),
    (2000, 8),
    (2250, 9),
    (2500, 8),
    (2750, 7),
    (3000, 7),
    (3250, 6),
    (3500, 6),
    (3750, 5),
    (4000, 5),
    (4500, 9),
    (5000, 8),
    (5500, 7),
    (6000, 7),
    (6500, 6),
    (7000, 6),
    (7500, 5),
    (8000, 5),
    (9000, 9),
];
const DECADES: usize = 8;
const BUCKETS: usize = DECADE.len() * DECADES + 1; // the last is the overflow bucket

/// Buckets per decade.
pub const DECADE_BUCKETS: usize = DECADE.len();
/// Parts per decade; a decade's counters are one page.
pub const PAGE: usize = FIRST_PART[DECADE.len()] as usize;
/// Pages; the last one is the overflow bucket's.
pub const PAGES: usize = DECADES + 1;

/// Inclusive upper bounds of all buckets but the overflow bucket, in nanoseconds, ascending.
pub const BOUNDS: [u64; BUCKETS - 1] = bounds();

/// Prefix sums of parts over the buckets of a decade.
const FIRST_PART: [u8; DECADE.len() + 1] = first_part();

/// Parts per nanosecond of each bucket, as a fraction of 2^64: multiplying is faster than dividing.
const PARTS_PER_NANO: [u64; BUCKETS] = parts_per_nano();

/// Lookup table: the first bucket that a number of each [`log_linear_index`] may fall into.
const FIRST_BUCKET: [u8; 64 * 8] = first_buckets();

const fn bounds() -> [u64; BUCKETS - 1] {
    let mut bounds = [0; BUCKETS - 1];
    let mut thousandth = 10; // thousandths of 10 us
    let mut i = 0;
    while i < bounds.len() {
        bounds[i] = DECADE[i % DECADE.len()].0 * thousandth;
        i += 1;
        if i % DECADE.len() == 0 {
            thousandth *= 10;
        }
    }
    bounds
}

const fn first_part() -> [u8; DECADE.len() + 1] {
    let mut first = [0; DECADE.len() + 1];
    let mut i = 0;
    while i < DECADE.len() {
        first[i + 1] = first[i] + DECADE[i].1;
        i += 1;
    }
    first
}

const fn parts_per_nano() -> [u64; BUCKETS] {
    let mut each = [0; BUCKETS]; // 0 for the overflow bucket: it is a single part
    let mut lower = 0;
    let mut i = 0;
    while i < BOUNDS.len() {
        let parts = DECADE[i % DECADE.len()].1 as u128;
        each[i] = ((parts << 64) / (BOUNDS[i] - lower) as u128) as u64;
        lower = BOUNDS[i];
        i += 1;
    }
    each
}

const fn first_buckets() -> [u8; 64 * 8] {
    let mut first = [0; 64 * 8];
    let mut i = 0;
    let mut at = log_linear_index(0);
    while at < first.len() {
        let least = (8 + at as u64 % 8) << (at / 8 - 3);
        while i < BOUNDS.len() && BOUNDS[i] < least {
            i += 1;
        }
        first[at] = i as u8;
        at += 1;
    }
    first
}

/// Log-linear index: exponent and three mantissa bits.
const fn log_linear_index(nanos: u64) -> usize {
    let nanos = nanos | 8;
    let highest = nanos.ilog2();
    (highest as usize * 8) | (nanos >> (highest - 3)) as usize & 7
}

fn bucket(nanos: u64) -> usize {
    let mut i = usize::from(FIRST_BUCKET[log_linear_index(nanos)]);
    while i < BOUNDS.len() && BOUNDS[i] < nanos {
        i += 1;
    }
    i
}

/// Lower (exclusive) and upper (inclusive) bound; the overflow bucket has zero width.
fn bucket_bounds(i: usize) -> (u64, u64) {
    let bound = |i: usize| BOUNDS[i.min(BOUNDS.len() - 1)];
    (if i == 0 { 0 } else { bound(i - 1) }, bound(i))
}

/// The page and the cell on it that count a sample. Upper bounds are inclusive, so a bound falls
/// into the last part of its bucket.
pub fn cell(nanos: u64) -> (usize, usize) {
    let i = bucket(nanos);
    let above = nanos.saturating_sub(bucket_bounds(i).0 + 1);
    let part = (u128::from(above) * u128::from(PARTS_PER_NANO[i])) >> 64;
    (i / DECADE.len(), usize::from(FIRST_PART[i % DECADE.len()]) + part as usize)
}

/// The decade of a sample and its bucket within the decade.
pub fn bucket_index(nanos: u64) -> (usize, usize) {
    let i = bucket(nanos);
    (i / DECADE.len(), i % DECADE.len())
}

/// The cell on its page that represents a whole bucket.
pub fn bucket_cell(bucket: usize) -> usize {
    usize::from(FIRST_PART[bucket]) + usize::from(DECADE[bucket].1 / 2)
}

/// The midpoint of a cell, in seconds.
pub fn middle(page: usize, cell: usize) -> f64 {
    let after = FIRST_PART.partition_point(|first| usize::from(*first) <= cell);
    let bucket = after.saturating_sub(1);
    let (lower, upper) = bucket_bounds(page * DECADE.len() + bucket);
    let part = (cell - usize::from(FIRST_PART[bucket])) as f64 + 0.5;
    let parts = f64::from(DECADE[bucket].1);
    (lower as f64 + (upper - lower) as f64 * part / parts) / 1e9
}

/// The bucket bound nearest to `nanos`; cumulative counts up to it are exact.
pub fn nearest_bound(nanos: u64) -> u64 {
    let (lower, upper) = bucket_bounds(bucket(nanos));
    let below_the_middle = u128::from(nanos) * 2 < u128::from(lower) + u128::from(upper);
    if lower > 0 && below_the_middle { lower } else { upper }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_decimal_and_ascending() {
        assert_eq!((BOUNDS[0], BOUNDS[BOUNDS.len() - 1]), (10_000, 900_000_000_000));
        assert!(BOUNDS.windows(2).all(|w| w[0] < w[1]));
        for tens in [1, 12, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 90] {
            for unit in [1_000_000_u64, 10_000_000, 1_000_000_000] {
                let wanted = if tens < 10 { tens * unit * 10 } else { tens * unit };
                assert_eq!(nearest_bound(wanted), wanted);
            }
        }
    }

    #[test]
    fn the_nearest_bound_is_near() {
        for (nanos, nearest) in [
            (0, 10_000),
            (1, 10_000),
            (10_001, 10_000),
            (27_000_000, 27_500_000),
            (2_700_000_000, 2_750_000_000),
            (33_000_000, 32_500_000),
            (u64::MAX, 900_000_000_000),
        ] {
            assert_eq!(nearest_bound(nanos), nearest, "{nanos}");
        }
    }

    #[test]
    fn every_sample_falls_under_its_bound() {
        for (i, &bound) in BOUNDS.iter().enumerate() {
            assert_eq!(bucket(bound), i);
            assert_eq!(bucket(bound + 1), i + 1);
            let (page, last) = cell(bound);
            let next = if last + 1 == PAGE { (page + 1, 0) } else { (page, last + 1) };
            assert_eq!(cell(bound + 1), next, "{bound}");
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn places_ascend_with_samples_and_none_is_skipped() {
        let mut last = cell(0);
        let mut nanos = 1;
        while nanos < 2 * BOUNDS[BOUNDS.len() - 1] {
            let next = cell(nanos);
            let step = next.0 * PAGE + next.1 - last.0 * PAGE - last.1;
            assert!(step <= 1, "{nanos}");
            last = next;
            nanos += 1 + nanos / 701;
        }
        assert_eq!(last, (DECADES, 0));
    }
}
