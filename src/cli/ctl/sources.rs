//! `ctl sources`: how the sources do that services have their backends from.

use serde::Serialize;

use super::session::Session;
use super::table::{Column, Table, wrap};
use super::unavailable::whole;
use super::{Error, json};
use crate::cli::text::or_dash;
use crate::control::proto::{ListSourcesRequest, Source};

const COLUMNS: [Column; 7] = [
    Column::left("SERVICE", 0),
    Column::left("SOURCE", 1),
    Column::left("STATE", 0),
    Column::right("BACKENDS", 0),
    Column::right("ANSWERED", 0),
    Column::right("UPDATES", 3),
    Column::right("ERRORS", 2),
];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service; without one all that have a source
    service: Option<String>,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let mut api = session.client.api();
        let request = ListSourcesRequest { service: self.service.unwrap_or_default() };
        let sources = session.client.wait(api.list_sources(request)).await?.sources;
        session.print(|width| text(&sources, width), || programs(&sources))
    }
}

fn text(sources: &[Source], width: usize) -> String {
    if sources.is_empty() {
        return "No service has a source: their backends are those of the configuration.\n".into();
    }
    let mut table = Table::new(COLUMNS);
    for source in sources {
        table.row([
            source.service.clone(),
            source.kind.clone(),
            if source.up { "up" } else { "DOWN" }.into(),
            match source.held_backends {
                0 => source.backends.to_string(),
                held => format!("{} + {held} kept", source.backends),
            },
            or_dash(source.last_success_seconds, |age| format!("{} ago", whole(age))),
            source.updates.to_string(),
            source.errors.to_string(),
        ]);
    }
    let mut text = table.fit(width);
    for source in sources {
        text.push('\n');
        text.push_str(&wrap(&format!("{}: {}", source.service, source.place), width, 2));
        if let Some(age) = source.last_error_seconds {
            let error = format!("  last error, {} ago: {}", whole(age), source.last_error);
            text.push_str(&wrap(&error, width, 4));
        }
    }
    text
}

#[derive(Serialize)]
struct Sources<'a> {
    sources: Vec<One<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    service: &'a str,
    kind: &'a str,
    place: &'a str,
    up: bool,
    backends: u32,
    held_backends: u32,
    updates: u64,
    errors: u64,
    last_success_seconds: Option<f64>,
    last_error_seconds: Option<f64>,
    last_error: &'a str,
}

fn programs(sources: &[Source]) -> String {
    json::pretty(&Sources { sources: sources.iter().map(one).collect() })
}

fn one(source: &Source) -> One<'_> {
    One {
        service: &source.service,
        kind: &source.kind,
        place: &source.place,
        up: source.up,
        backends: source.backends,
        held_backends: source.held_backends,
        updates: source.updates,
        errors: source.errors,
        last_success_seconds: source.last_success_seconds,
        last_error_seconds: source.last_error_seconds,
        last_error: &source.last_error,
    }
}
