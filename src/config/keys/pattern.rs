//! Regular expressions for numeric ranges and units, for the JSON Schema.

use std::fmt::Write;

use crate::text::keys::ValueKind;

/// Decimal numbers from `least` to `most`, without leading zeros.
pub fn range(least: u64, most: u64) -> String {
    let mut parts = Vec::new();
    let mut from = least;
    loop {
        let to = block_end(from, most);
        parts.push(block(from, to));
        if to >= most {
            return match parts.as_slice() {
                [one] => one.clone(),
                _ => format!("(?:{})", parts.join("|")),
            };
        }
        from = to + 1;
    }
}

/// The end of the largest block from `from` that one pattern covers: one digit varies in a range,
/// those behind it are arbitrary.
fn block_end(from: u64, most: u64) -> u64 {
    let mut unit: u64 = 1;
    while let Some(next) = unit.checked_mul(10) {
        let fits = from.checked_add(next - 1).is_some_and(|end| end <= most);
        if from < next || !from.is_multiple_of(next) || !fits {
            break;
        }
        unit = next;
    }
    let digit = from / unit % 10;
    let steps = ((most - from - (unit - 1)) / unit).min(9 - digit);
    from + steps * unit + (unit - 1)
}

/// A pattern for `from` to `to`, of equal length: common digits, one that varies in a range, then
/// arbitrary ones.
fn block(from: u64, to: u64) -> String {
    let (from, to) = (from.to_string(), to.to_string());
    let mut out = String::new();
    let mut any = 0;
    for (low, high) in from.bytes().zip(to.bytes()) {
        match (low, high) {
            (low, high) if low == high => out.push(char::from(low)),
            (b'0', b'9') => any += 1,
            (low, high) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "[{}-{}]", char::from(low), char::from(high));
            }
        }
    }
    match any {
        0 => out,
        1 => out + "[0-9]",
        any => format!("{out}[0-9]{{{any}}}"),
    }
}

/// The pattern of a kind of value; `None` for keywords.
pub fn of(kind: ValueKind) -> Option<String> {
    match kind {
        ValueKind::Duration(least, most) => {
            let clip = |n: u128| u64::try_from(n).unwrap_or(u64::MAX);
            let (least, most) = (clip(least.as_micros()), clip(most.as_micros()));
            let units = [
                ("us", 1),
                ("ms", 1_000),
                ("s", 1_000_000),
                ("m", 60_000_000),
                ("h", 3_600_000_000),
            ];
            Some(with_units(least, most, &units))
        }
        ValueKind::Size(least, most) => Some(with_units(
            least,
            most,
            &[("B?", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)],
        )),
        ValueKind::Number(least, most) => Some(format!(r"\+?0*{}", range(least, most))),
        ValueKind::Text(text) => Some((text.pattern)()),
        ValueKind::Words(_) | ValueKind::Boolean => None,
    }
}

/// Numbers with these units, from `least` to `most` of the smallest one.
fn with_units(least: u64, most: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().filter_map(|(unit, each)| {
        let (least, most) = (least.div_ceil(*each), most / each);
        (least <= most).then(|| format!("{}\\s*{unit}", range(least, most)))
    });
    format!("0*(?:{})", fitting.collect::<Vec<_>>().join("|"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::range;
    use crate::route::Pattern;

    fn matches(pattern: &str, number: u64) -> bool {
        Pattern::new(pattern).unwrap().matches(number.to_string().as_bytes())
    }

    #[test]
    fn ranges_are_matched_digit_by_digit() {
        for (least, most, pattern) in [
            (0, 9, "[0-9]"),
            (1, 1, "1"),
            (16, 1024, "(?:1[6-9]|[2-9][0-9]|[1-9][0-9]{2}|10[0-1][0-9]|102[0-4])"),
            (
                0,
                65_535,
                "(?:[0-9]|[1-9][0-9]|[1-9][0-9]{2}|[1-9][0-9]{3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])",
            ),
        ] {
            assert_eq!(range(least, most), pattern);
        }
    }

    proptest! {
        #[test]
        fn ranges_match_exactly_their_numbers(a: u64, b: u64, shift_a in 0..60u32, shift_b in 0..60u32) {
            let (a, b) = (a >> shift_a, b >> shift_b);
            let (least, most) = (a.min(b), a.max(b));
            let pattern = range(least, most);
            for number in [least, most, least + (most - least) / 2, least + (most - least) / 10] {
                prop_assert!(matches(&pattern, number), "{} {}", pattern, number);
            }
            prop_assert!(least == 0 || !matches(&pattern, least - 1));
            prop_assert!(most == u64::MAX || !matches(&pattern, most + 1));
        }
    }
}
