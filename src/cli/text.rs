//! Formatting of numbers and tables.

/// Formats a latency with a fitting unit.
pub fn latency(seconds: f64) -> String {
    if seconds < 0.000_999_5 {
        format!("{:.0} us", seconds * 1e6)
    } else if seconds < 0.099_95 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 0.999_5 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// Formats the value, `-` for `None`.
pub fn or_dash(value: Option<f64>, format: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".into(), format)
}

/// Aligns columns to their widest cell: the first `left` of them left, the others right.
pub fn align<R: AsRef<[String]>>(rows: &[R], left: usize) -> String {
    let mut widths = vec![0; rows.iter().map(|row| row.as_ref().len()).max().unwrap_or_default()];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths).enumerate().map(|(i, (cell, width))| {
            if i < left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_that_people_use() {
        let cases = [
            (0.000_85, "850 us"),
            (0.001_24, "1.2 ms"),
            (0.099_94, "99.9 ms"),
            (0.25, "250 ms"),
            (0.999_6, "1.00 s"),
            (12.5, "12.50 s"),
        ];
        for (seconds, text) in cases {
            assert_eq!(latency(seconds), text);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["é", "1"], ["abc", "20"]].map(|row| row.map(String::from));
        assert_eq!(align(&rows, 1), "é     1\nabc  20\n");
    }
}
