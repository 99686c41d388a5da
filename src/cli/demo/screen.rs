//! The demo's live output: a table redrawn in place on a terminal, else one line a turn.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::backend::Backend;
use super::contender::{Contender, TurnStats};
use crate::cli::text::{align, latency, or_dash};
use crate::service::{BackendView, MergedIntent};

/// Length of a full bar, in characters.
const BAR: usize = 10;

/// The output of the numbers.
pub struct Screen<'a, W> {
    out: W,
    /// Width of the terminal, for redrawing in place; `None` if it is not a terminal.
    columns: Option<usize>,
    backends: &'a [Backend],
    /// Lines of the last table, to be overwritten.
    painted: usize,
    news: String,
}

/// A backend's cells that do not depend on the policy.
struct Row {
    name: &'static str,
    address: String,
    delay: String,
    weight: String,
}

impl<'a, W: Write> Screen<'a, W> {
    /// Writes the shares of `backends` to `out`; on a terminal of `columns` each table overwrites
    /// the last.
    pub fn new(out: W, columns: Option<usize>, backends: &'a [Backend]) -> Self {
        Screen { out, columns, backends, painted: 0, news: String::new() }
    }

    /// Shows a message below the table from now on.
    pub fn announce(&mut self, news: String) {
        self.news = news;
    }

    /// Shows the statistics of a turn.
    pub fn show(&mut self, turn: u64, contenders: &mut [Contender]) -> io::Result<()> {
        let rows = self.rows(contenders);
        let turns: Vec<TurnStats> = contenders.iter_mut().map(Contender::turn).collect();
        match self.columns {
            Some(columns) => {
                let table = cut(&table(&rows, &turns, &self.news), columns);
                let up = self.painted;
                self.painted = table.lines().count();
                if up > 0 {
                    write!(self.out, "\x1b[{up}A\x1b[J")?;
                }
                self.out.write_all(table.as_bytes())?;
            }
            None => {
                if !self.news.is_empty() {
                    writeln!(self.out, "{}", std::mem::take(&mut self.news))?;
                }
                self.out.write_all(line(turn, &rows, &turns).as_bytes())?;
            }
        }
        self.out.flush()
    }

    /// Prints the summary.
    pub fn end(&mut self, contenders: &[Contender]) -> io::Result<()> {
        let (answered, failed) = Contender::results(contenders);
        writeln!(
            self.out,
            "\nEnded after {answered} requests that succeeded and {failed} that failed."
        )
    }

    fn rows(&self, contenders: &[Contender]) -> Vec<Row> {
        let views = contenders.first().map(|first| first.service().view());
        let views = views.iter().flat_map(|view| &view.backends);
        let row = |(backend, view): (&Backend, &BackendView)| Row {
            name: backend.name(),
            address: backend.address().to_string(),
            delay: format!("{:?}", backend.delay()),
            weight: match view.intent {
                MergedIntent { drained: true, .. } => "drained".into(),
                MergedIntent { weight, .. } => weight.to_string(),
            },
        };
        self.backends.iter().zip(views).map(row).collect()
    }
}

/// A table below 80 columns: backends with each policy's shares, then client-side results.
fn table(rows: &[Row], turns: &[TurnStats], news: &str) -> String {
    let mut titles = vec!["BACKEND".into(), "ADDRESS".into()];
    titles.extend(turns.iter().map(|turn| turn.policy.to_uppercase()));
    titles.extend(["TAKES".into(), "WEIGHT".into()]);
    let mut cells = vec![titles];
    cells.extend(rows.iter().enumerate().map(|(index, row)| {
        let share = |turn: &TurnStats| share(turn.shares.get(index).copied().unwrap_or_default());
        let mut cells = vec![row.name.into(), row.address.clone()];
        cells.extend(turns.iter().map(share));
        cells.extend([row.delay.clone(), row.weight.clone()]);
        cells
    }));
    let mut text = align(&cells, 2 + turns.len());
    for turn in turns {
        text.push_str(&client(turn));
    }
    if !news.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{news}");
    }
    text
}

fn client(turn: &TurnStats) -> String {
    let TurnStats { policy, requests, failed, p50, p99, .. } = turn;
    let (p50, p99) = (or_dash(*p50, latency), or_dash(*p99, latency));
    format!("{policy}: {requests} requests/s, p50 {p50}, p99 {p99}, {failed} failed\n")
}

fn line(turn: u64, rows: &[Row], turns: &[TurnStats]) -> String {
    let one = |turn: &TurnStats| {
        let share = |(row, share): (&Row, &f64)| format!("{} {}, ", row.name, percent(*share));
        let shares: String = rows.iter().zip(&turn.shares).map(share).collect();
        let (p99, failed) = (or_dash(turn.p99, latency), turn.failed);
        format!("{}: {shares}p99 {p99}, {failed} failed", turn.policy)
    };
    let all: Vec<String> = turns.iter().map(one).collect();
    format!("{turn} s: {}\n", all.join("; "))
}

/// Truncates lines that would wrap, which would break redrawing.
fn cut(text: &str, columns: usize) -> String {
    let line = |line: &str| line.chars().take(columns).chain(['\n']).collect::<String>();
    text.lines().map(line).collect()
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A bar for the share, to an eighth of a character, with the percentage.
fn share(share: f64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let part = PARTS.get(eighths % 8).copied().unwrap_or_default();
    let bar = "█".repeat(eighths / 8) + part;
    format!("{bar:<BAR$} {:>5}", percent(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(policy: &'static str) -> TurnStats {
        TurnStats {
            policy,
            shares: vec![0.333, 0.333, 1.0],
            requests: 2000,
            failed: 2000,
            p50: Some(0.0999),
            p99: Some(0.0999),
        }
    }

    #[test]
    fn two_policies_fit_eighty_columns_and_no_line_is_longer_than_the_terminal() {
        let row = |name| Row {
            name,
            address: "127.0.0.1:40000".into(),
            delay: "80ms".into(),
            weight: "drained".into(),
        };
        let rows = ["swift", "middling", "tardy"].map(row);
        let turns = ["weighted_random", "least_request"].map(turn);
        let longest = |text: &str| text.lines().map(|line| line.chars().count()).max();
        let text = table(&rows, &turns, "news");
        assert!(longest(&text) <= Some(79), "{text}");
        let narrow = cut(&text, 30);
        assert_eq!((longest(&narrow), narrow.lines().count()), (Some(30), text.lines().count()));
    }
}
