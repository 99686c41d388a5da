//! A table of a service's streams, if there are or were any.

use super::backends::shown_address;
use super::table::{Column, Table, wrap};
use crate::cli::text::or_dash;
use crate::control::proto::Backend;

const COLUMNS: [Column; 6] = [
    Column::left("BACKEND", 0),
    Column::right("STREAMS", 1),
    Column::right("OPENED/S", 3),
    Column::right("ENDED/S", 3),
    Column::right("MESSAGES/S", 2),
    Column::right("AGE", 4),
];

/// The table, if the service has or had streams.
pub(super) fn text(service: &str, backends: &[Backend], width: usize) -> Option<String> {
    if backends.iter().all(|backend| backend.streams_opened == 0) {
        return None;
    }
    let mut table = Table::new(COLUMNS);
    backends.iter().for_each(|backend| table.row(row(backend)));
    table.row(total(backends));
    let title = wrap(&format!("{service}: streams, now and of the last 30 s"), width, 2);
    Some(format!("{title}{}", table.fit(width)))
}

fn row(backend: &Backend) -> [String; COLUMNS.len()] {
    [
        shown_address(backend),
        backend.open_streams.to_string(),
        rate(backend.streams_opened_per_second),
        rate(backend.streams_ended_per_second),
        rate(backend.stream_messages_per_second),
        or_dash(backend.mean_stream_age_seconds, age),
    ]
}

fn total(backends: &[Backend]) -> [String; COLUMNS.len()] {
    let sum = |value: fn(&Backend) -> f64| rate(backends.iter().map(value).sum());
    let open: u64 = backends.iter().map(|backend| u64::from(backend.open_streams)).sum();
    [
        "total".into(),
        open.to_string(),
        sum(|backend| backend.streams_opened_per_second),
        sum(|backend| backend.streams_ended_per_second),
        sum(|backend| backend.stream_messages_per_second),
        String::new(),
    ]
}

fn rate(per_second: f64) -> String {
    if per_second < 99.95 { format!("{per_second:.1}") } else { format!("{per_second:.0}") }
}

fn age(seconds: f64) -> String {
    match seconds {
        ..60.0 => format!("{seconds:.1} s"),
        ..3600.0 => format!("{:.1} min", seconds / 60.0),
        ..86_400.0 => format!("{:.1} h", seconds / 3600.0),
        _ => format!("{:.1} d", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_shown_only_if_there_were_any() {
        let quiet = Backend { address: "a:1".into(), ..Backend::default() };
        assert_eq!(text("orders", std::slice::from_ref(&quiet), 80), None);
        let busy = Backend {
            address: "b:1".into(),
            open_streams: 12,
            streams_opened: 40,
            streams_opened_per_second: 0.25,
            streams_ended_per_second: 0.1,
            stream_messages_per_second: 1234.4,
            mean_stream_age_seconds: Some(5_400.0),
            ..Backend::default()
        };
        let expected = "\
orders: streams, now and of the last 30 s
BACKEND  STREAMS  OPENED/S  ENDED/S  MESSAGES/S    AGE
a:1            0       0.0      0.0         0.0      -
b:1           12       0.2      0.1        1234  1.5 h
total         12       0.2      0.1        1234
";
        assert_eq!(text("orders", &[quiet, busy], 80).as_deref(), Some(expected));
    }
}
