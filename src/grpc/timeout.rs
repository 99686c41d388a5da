//! The `grpc-timeout` header: digits and a unit (gRPC over HTTP/2, "Timeout").

use std::time::Duration;

/// Units in ascending order, with their nanoseconds.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// Maximum number of digits.
const MAX_DIGITS: usize = 8;

/// The smallest number with too many digits.
const VALUE_LIMIT: u64 = 100_000_000;

/// Parses a `grpc-timeout`; `None` if it is malformed. Saturates at about five centuries.
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let (_, nanos) = UNITS.iter().find(|(letter, _)| letter == unit)?;
    if !(1..=MAX_DIGITS).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |sum, digit| 10 * sum + u64::from(digit - b'0'));
    Some(Duration::from_nanos(number.saturating_mul(*nanos)))
}

/// A formatted `grpc-timeout`: rounded down, but never to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutText {
    text: [u8; MAX_DIGITS + 1],
    len: u8,
}

impl TimeoutText {
    /// Formats it in the finest unit in which it has few enough digits.
    pub fn of(left: Duration) -> TimeoutText {
        let nanos = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
        let mut in_units = UNITS.iter().map(|(unit, each)| (*unit, nanos / each));
        // 64 bits of nanoseconds have seven digits in hours.
        let few = in_units.find(|(_, number)| *number < VALUE_LIMIT);
        let (unit, mut number) = few.unwrap_or((b'H', VALUE_LIMIT - 1));
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        let mut text = [unit; MAX_DIGITS + 1];
        for slot in text.iter_mut().take(digits).rev() {
            *slot = b'0' + (number % 10) as u8;
            number /= 10;
        }
        TimeoutText { text, len: digits as u8 + 1 }
    }

    /// The value of the field.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(left: Duration) -> String {
        String::from_utf8(TimeoutText::of(left).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn reads_what_the_specification_allows_and_nothing_else() {
        let nanos = |text: &str| parse_timeout(text.as_bytes()).map(|time| time.as_nanos());
        for (text, time) in [
            ("1n", 1),
            ("0S", 0),
            ("00000001u", 1_000),
            ("300m", 300_000_000),
            ("1S", 1_000_000_000),
            ("2M", 120_000_000_000),
            ("99999999m", 99_999_999_000_000),
            ("1H", 3_600_000_000_000),
            ("99999999H", u128::from(u64::MAX)),
        ] {
            assert_eq!(nanos(text), Some(time), "{text}");
        }
        for odd in [
            "",
            "1",
            "S",
            "m",
            "1x",
            "1s",
            "1h",
            " 1S",
            "1S ",
            "1 S",
            "+1S",
            "-1S",
            "1.5S",
            "0x1S",
            "1SS",
            "1mS",
            "100000000n",
            "000000001S",
            "١S",
            "1e3m",
            "1S,2S",
        ] {
            assert_eq!(nanos(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_is_left_is_written_in_the_finest_unit_that_it_fits() {
        for (left, written) in [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(1), "1n"),
            (Duration::from_nanos(10), "10n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_millis(100), "100000u"),
            (Duration::from_millis(300), "300000u"),
            (Duration::from_nanos(99_999_999_999), "99999999u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(99_999), "99999000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(100_000_000), "1666666M"),
            (Duration::from_secs(6_000_000_000), "1666666H"),
            (Duration::MAX, "5124095H"),
        ] {
            assert_eq!(text(left), written, "{left:?}");
        }
    }

    #[test]
    fn what_is_written_is_never_more_and_hardly_less() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..100_000 {
            let left = Duration::from_nanos(rng.u64(..) >> rng.u8(..64));
            let written = TimeoutText::of(left);
            let read = parse_timeout(written.as_bytes()).expect("it can be read");
            assert!(read <= left, "{left:?}");
            assert!(read > Duration::ZERO || left.is_zero(), "{left:?}");
            assert!(left - read <= left / 100_000, "{left:?} became {read:?}");
        }
    }

    /// Fuzz: arbitrary bytes are parsed or refused.
    #[test]
    fn random_bytes_are_read_or_refused() {
        let mut rng = fastrand::Rng::with_seed(8);
        for _ in 0..100_000 {
            let value: Vec<u8> =
                (0..rng.usize(..12)).map(|_| b"0123456789HMSmun x\xff"[rng.usize(..19)]).collect();
            let well = value.len() >= 2
                && value.len() <= 9
                && value[..value.len() - 1].iter().all(u8::is_ascii_digit)
                && b"HMSmun".contains(&value[value.len() - 1]);
            assert_eq!(parse_timeout(&value).is_some(), well, "{value:?}");
        }
    }
}
