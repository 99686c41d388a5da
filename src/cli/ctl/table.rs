//! Tables that fit the terminal: the least important columns are dropped first.

/// Spaces between columns.
const GAP: usize = 2;
/// A first cell up to this long shares the line with its row, as an IPv4 address with a port does.
const SHORT: usize = 24;
/// Indentation of the row below a long first cell.
const INDENT: usize = 2;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    title: &'static str,
    left: bool,
    /// The highest rank is dropped first; 0 never.
    rank: u8,
}

impl Column {
    /// Left-aligned, for text.
    pub const fn left(title: &'static str, rank: u8) -> Column {
        Column { title, left: true, rank }
    }

    /// Right-aligned, for numbers.
    pub const fn right(title: &'static str, rank: u8) -> Column {
        Column { title, left: false, rank }
    }
}

/// Rows with a header.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub fn new(columns: [Column; N]) -> Table<N> {
        Table { columns, rows: vec![columns.map(|column| column.title.to_owned())] }
    }

    pub fn row(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    /// Formats the table in `width` characters, as far as its first column allows.
    pub fn fit(&self, width: usize) -> String {
        self.lines(width).iter().map(|line| format!("{line}\n")).collect()
    }

    /// Header and rows; those with a long first cell take two lines.
    pub fn lines(&self, width: usize) -> Vec<String> {
        let widths = self.widths();
        let first = widths.first().copied().unwrap_or_default();
        let beside = self.kept(&widths, 0, width);
        let below = self.kept(&widths, 1, width.saturating_sub(INDENT));
        let broken = first > SHORT && below.len() + 1 > beside.len();
        self.rows
            .iter()
            .map(|row| match (broken, row.first()) {
                (true, Some(name)) => {
                    let rest = self.cells(row, &widths, &below);
                    format!("{name}\n{:INDENT$}{rest}", "").trim_end().to_owned()
                }
                _ => self.cells(row, &widths, &beside),
            })
            .collect()
    }

    /// The column widths: each that of its widest cell.
    fn widths(&self) -> [usize; N] {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        widths
    }

    /// The indices of the columns from `first` on that fit into `width`.
    fn kept(&self, widths: &[usize; N], first: usize, width: usize) -> Vec<usize> {
        let mut kept: Vec<usize> = (first..N).collect();
        let rank = |at: &usize| self.columns.get(*at).map_or(0, |column| column.rank);
        loop {
            let all: usize = kept.iter().filter_map(|at| widths.get(*at)).sum();
            let gaps = GAP * kept.len().saturating_sub(1);
            // Of equal rank, the rightmost is dropped.
            let least = kept.iter().copied().max_by_key(rank).filter(|at| rank(at) > 0);
            match least {
                Some(least) if all + gaps > width => kept.retain(|at| *at != least),
                _ => return kept,
            }
        }
    }

    fn cells(&self, row: &[String; N], widths: &[usize; N], kept: &[usize]) -> String {
        let cells = self.columns.iter().zip(row).zip(widths).enumerate();
        let cells = cells.filter(|(at, _)| kept.contains(at));
        let cells = cells.map(|(_, ((column, cell), &width))| match column.left {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        });
        let cells: Vec<String> = cells.collect();
        cells.join(&" ".repeat(GAP)).trim_end().to_owned()
    }
}

/// Word-wraps text to `width` characters with a hanging indent; longer words get a line of their
/// own.
pub(super) fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut used = 0;
    let lead = text.len() - text.trim_start().len();
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if wrapped.is_empty() {
            wrapped.push_str(&" ".repeat(lead));
            used = lead;
        } else if used + 1 + length > width {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            used = indent;
        } else {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += length;
    }
    wrapped.push('\n');
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::left("NAME", 0),
        Column::right("LEAST", 3),
        Column::right("MOST", 1),
        Column::right("MORE", 2),
    ];

    fn table(name: &str) -> Table<4> {
        let mut table = Table::new(COLUMNS);
        table.row([name, "1", "22", "333"].map(String::from));
        table
    }

    #[test]
    fn the_least_important_columns_are_left_out_first() {
        let cases = [
            (30, "NAME  LEAST  MOST  MORE\na         1    22   333\n"),
            (23, "NAME  LEAST  MOST  MORE\na         1    22   333\n"),
            (22, "NAME  MOST  MORE\na       22   333\n"),
            (15, "NAME  MOST\na       22\n"),
            (9, "NAME\na\n"),
            (0, "NAME\na\n"),
        ];
        for (width, text) in cases {
            assert_eq!(table("a").fit(width), text, "{width}");
        }
    }

    #[test]
    fn a_long_name_has_a_line_of_its_own() {
        let name = "orders-0.orders.default.svc:50051";
        assert_eq!(table(name).fit(60).lines().count(), 2);
        let text = format!("NAME\n  LEAST  MOST  MORE\n{name}\n      1    22   333\n");
        assert_eq!(table(name).fit(40), text);
    }

    #[test]
    fn whatever_the_width_no_line_is_longer() {
        for name in ["127.0.0.1:50051", "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:50051"] {
            for width in name.len()..120 {
                let text = table(name).fit(width);
                assert!(text.lines().all(|line| line.len() <= width), "{width}: {text}");
            }
        }
    }

    #[test]
    fn sentences_are_broken_between_words() {
        assert_eq!(wrap("one two three four", 9, 2), "one two\n  three\n  four\n");
        assert_eq!(wrap("  one two", 80, 4), "  one two\n");
        assert_eq!(wrap("ab incomprehensible cd", 6, 1), "ab\n incomprehensible\n cd\n");
    }
}
