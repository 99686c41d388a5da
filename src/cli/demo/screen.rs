//! The demo's live numbers: a table that is painted over on a terminal, a line a turn elsewhere.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::backend::Backend;
use super::load::Load;
use crate::cli::text::{align, latency, or_dash};
use crate::model::{Counts, StatTotals};
use crate::service::{BackendView, Service};

/// Characters of the longest bar.
const BAR: usize = 12;

/// Where the numbers are shown.
pub struct Screen<'a, W> {
    out: W,
    redraw: bool,
    service: &'a Service,
    backends: &'a [Backend],
    /// What had been counted when numbers were last shown, by backend.
    before: Vec<StatTotals>,
    before_client: (Counts, u64),
    /// Lines that the next table is painted over.
    painted: usize,
    news: String,
}

/// What one backend did since the last turn.
struct Row {
    name: &'static str,
    address: String,
    delay: String,
    weight: String,
    share: f64,
    p50: Option<f64>,
    p99: Option<f64>,
}

/// What the client saw since the last turn.
struct Client {
    requests: u64,
    failed: u64,
    p50: Option<f64>,
    p99: Option<f64>,
}

impl<'a, W: Write> Screen<'a, W> {
    /// Shows on `out` how `service` spreads requests over `backends`; `redraw` paints each table
    /// over the last.
    pub fn new(out: W, redraw: bool, service: &'a Service, backends: &'a [Backend]) -> Self {
        let before = vec![StatTotals::default(); backends.len()];
        let before_client = Default::default();
        let news = String::new();
        Screen { out, redraw, service, backends, before, before_client, painted: 0, news }
    }

    /// Says something from now on.
    pub fn announce(&mut self, news: String) {
        self.news = news;
    }

    /// Shows what happened since the last turn.
    pub fn show(&mut self, turn: u64, load: &Load) -> io::Result<()> {
        let (rows, client) = (self.rows(), self.client(load));
        if self.redraw {
            let table = table(&rows, &client, &self.news);
            let up = self.painted;
            self.painted = table.lines().count();
            if up > 0 {
                write!(self.out, "\x1b[{up}A\x1b[J")?;
            }
            self.out.write_all(table.as_bytes())?;
        } else {
            if !self.news.is_empty() {
                writeln!(self.out, "{}", std::mem::take(&mut self.news))?;
            }
            self.out.write_all(line(turn, &rows, &client).as_bytes())?;
        }
        self.out.flush()
    }

    /// Says how it went.
    pub fn end(&mut self, load: &Load) -> io::Result<()> {
        let (answered, failed) = load.results();
        let answered = answered.count();
        writeln!(
            self.out,
            "\nEnded after {answered} requests that succeeded and {failed} that failed."
        )
    }

    fn rows(&mut self) -> Vec<Row> {
        let view = self.service.view();
        let now: Vec<_> = view.backends.iter().map(|backend| backend.endpoint.totals()).collect();
        let since = |(now, before): (&StatTotals, &StatTotals)| now.requests() - before.requests();
        let all: u64 = now.iter().zip(&self.before).map(since).sum();
        let both = now.iter().zip(&self.before);
        let rows = self.backends.iter().zip(&view.backends).zip(both);
        let rows = rows.map(|((backend, view), (now, before))| {
            let duration = now.duration.since(&before.duration);
            Row {
                name: backend.name(),
                address: backend.address().to_string(),
                delay: format!("{:?}", backend.delay()),
                weight: weight(view),
                share: since((now, before)) as f64 / all.max(1) as f64,
                p50: duration.quantile(0.5),
                p99: duration.quantile(0.99),
            }
        });
        let rows = rows.collect();
        self.before = now;
        rows
    }

    fn client(&mut self, load: &Load) -> Client {
        let (counts, failed) = load.results();
        let since = counts.since(&self.before_client.0);
        let failed_since = failed - self.before_client.1;
        self.before_client = (counts, failed);
        Client {
            requests: since.count() + failed_since,
            failed,
            p50: since.quantile(0.5),
            p99: since.quantile(0.99),
        }
    }
}

fn weight(backend: &BackendView) -> String {
    if backend.drained { "drained".into() } else { backend.weight.to_string() }
}

/// A table of less than 80 columns.
fn table(rows: &[Row], client: &Client, news: &str) -> String {
    let titles = ["BACKEND", "ADDRESS", "SHARE", "", "TAKES", "WEIGHT", "P50", "P99"];
    let mut cells = vec![titles.map(String::from)];
    cells.extend(rows.iter().map(|row| {
        [
            row.name.into(),
            row.address.clone(),
            bar(row.share),
            percent(row.share),
            row.delay.clone(),
            row.weight.clone(),
            or_dash(row.p50, latency),
            or_dash(row.p99, latency),
        ]
    }));
    let mut text = align(&cells, 3);
    let Client { requests, failed, p50, p99 } = client;
    let (p50, p99) = (or_dash(*p50, latency), or_dash(*p99, latency));
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "client: {requests} requests/s, p50 {p50}, p99 {p99}, {failed} failed since the start"
    );
    if !news.is_empty() {
        let _ = writeln!(text, "{news}");
    }
    text
}

fn line(turn: u64, rows: &[Row], client: &Client) -> String {
    let backend = |row: &Row| {
        let Row { name, share, p50, .. } = row;
        format!("{name} {}, p50 {}; ", percent(*share), or_dash(*p50, latency))
    };
    let backends: String = rows.iter().map(backend).collect();
    let Client { requests, failed, .. } = client;
    format!("{turn} s: {backends}{requests} requests/s, {failed} failed\n")
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// As long as `share` is large, to an eighth of a character.
fn bar(share: f64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let part = PARTS.get(eighths % 8).copied().unwrap_or_default();
    let bar = "█".repeat(eighths / 8) + part;
    format!("{bar:<BAR$}")
}
