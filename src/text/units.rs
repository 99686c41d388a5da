//! Durations and sizes with units: `10ms`, `5s`, `1m`; `64KiB`.

use std::time::Duration;

/// Parses a duration: an integer and one of `ms`, `s`, `m`, `h`, or `us`.
///
/// # Errors
/// What is wrong, with an example.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad =
        || format!("`{text}` is not a duration: write a number and a unit, such as 10ms, 5s or 1m");
    let (number, unit) = split(text).ok_or_else(bad)?;
    let micros_each: u64 = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err(bad()),
    };
    number.checked_mul(micros_each).map(Duration::from_micros).ok_or_else(bad)
}

/// Parses a size in bytes: an integer and `B`, `KiB`, `MiB` or `GiB`, or a bare number of bytes.
///
/// # Errors
/// What is wrong, with an example.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad =
        || format!("`{text}` is not a size: write a number and a unit, such as 64KiB or 1MiB");
    let (number, unit) = split(text).ok_or_else(bad)?;
    let bytes_each: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    number.checked_mul(bytes_each).ok_or_else(bad)
}

/// Formats a size for [`parse_size`], in the largest unit that divides it.
pub fn show_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units.iter().find(|(each, _)| bytes >= *each && bytes.is_multiple_of(*each));
    whole.map_or(format!("{bytes}"), |(each, unit)| format!("{}{unit}", bytes / each))
}

/// Formats a duration for [`parse_duration`], in the largest unit that divides it.
pub fn show_duration(time: Duration) -> String {
    let micros = time.as_micros();
    let units = [(3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1000, "ms")];
    let whole = units.iter().find(|(each, _)| micros >= *each && micros.is_multiple_of(*each));
    match whole {
        Some((each, unit)) => format!("{}{unit}", micros / each),
        None if micros == 0 => "0ms".into(),
        None => format!("{micros}us"),
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_durations_and_sizes() {
        assert_eq!(parse_duration("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(parse_duration("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("512"), Ok(512));
        for wrong in ["", "5", "s", "-1s", "1.5s", "99999999999999999999s", "1 fortnight"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "KiB", "1KB", "18446744073709551615GiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
