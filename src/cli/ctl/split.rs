//! `ctl split`, `set-split`, `reset-split`: weighted splits of routes over services.

use serde::Serialize;

use super::change::Expected;
use super::overrides::until;
use super::preview::{self, Named};
use super::session::{Made, Session};
use super::table::{Column, Table, wrap};
use super::{Error, json, parse, share};
use crate::control::proto;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The route's name, as `ctl route` shows it; all that have several services without it
    route: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The route's name
    route: String,
    /// What to set; other services keep their weight
    #[arg(required = true, value_name = "SERVICE=WEIGHT", value_parser = parse::share)]
    weights: Vec<(String, u32)>,
    #[command(flatten)]
    expected: Expected,
}

#[derive(Debug, clap::Args)]
pub(super) struct Reset {
    /// The route's name
    route: String,
    #[command(flatten)]
    expected: Expected,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let client = &session.client;
        let splits = match self.route {
            Some(route) => {
                let request = proto::GetSplitRequest { route };
                vec![client.wait(client.api().get_split(request)).await?]
            }
            None => {
                let request = proto::ListSplitsRequest {};
                client.wait(client.api().list_splits(request)).await?.splits
            }
        };
        session.print(|width| text(&splits, width), || programs(&splits))
    }
}

impl Set {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let request = proto::SetSplitRequest {
            route: self.route.clone(),
            weights: parse::weights(self.weights)?.into_iter().collect(),
            expected_revision: self.expected.expected_revision,
            ttl: self.expected.ttl(),
            dry_run: self.expected.dry_run,
        };
        let client = &session.client;
        client.knows_dry_run(request.dry_run).await?;
        let answer = client.wait(client.api().set_split(request)).await?;
        changed(
            session,
            &self.route,
            (answer.revision, answer.durable, answer.preview),
            &self.expected,
        )
    }
}

impl Reset {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let request = proto::ResetSplitRequest {
            route: self.route.clone(),
            expected_revision: self.expected.expected_revision,
            ttl: self.expected.ttl(),
            dry_run: self.expected.dry_run,
        };
        let client = &session.client;
        client.knows_dry_run(request.dry_run).await?;
        let answer = client.wait(client.api().reset_split(request)).await?;
        changed(
            session,
            &self.route,
            (answer.revision, answer.durable, answer.preview),
            &self.expected,
        )
    }
}

/// Prints the new revision of the split of a route.
pub(super) fn changed(
    session: &mut Session<'_>,
    route: &str,
    (revision, durable, preview): Made,
    expected: &Expected,
) -> Result<(), Error> {
    if let Some(preview) = preview {
        let named = Named { service: None, route: Some(route) };
        return preview::print(session, named, (revision, durable), &preview);
    }
    session.print(
        |_| expected.told(&format!("the split of {route}"), revision, durable),
        || changed_json(route, revision, durable),
    )
}

const COLUMNS: [Column; 4] = [
    Column::left("SERVICE", 0),
    Column::right("WEIGHT", 0),
    Column::right("SHARE", 0),
    Column::right("CONFIGURED", 1),
];

fn text(splits: &[proto::Split], width: usize) -> String {
    if splits.is_empty() {
        return "No route has more than one service.\n".into();
    }
    let splits: Vec<String> = splits.iter().map(|split| one(split, width)).collect();
    splits.join("\n")
}

fn one(split: &proto::Split, width: usize) -> String {
    let proto::Split { route, r#match, revision, split_by, shares } = split;
    let by = if split_by.is_empty() { "by chance".into() } else { format!("by header {split_by}") };
    let title = format!("{route}: {match}, {by}, revision {revision}");
    let total = shares.iter().map(|share| u64::from(share.weight)).sum();
    let mut table = Table::new(COLUMNS);
    for proto::Share { name, weight, configured_weight, .. } in shares {
        let part = share(u64::from(*weight), total).unwrap_or_default();
        table.row([
            name.clone(),
            weight.to_string(),
            format!("{:.1} %", part * 100.0),
            configured_weight.to_string(),
        ]);
    }
    let changed = shares.iter().filter(|share| share.at.is_some()).map(|share| {
        let at = prost_types::Timestamp { nanos: 0, ..share.at.unwrap_or_default() };
        let proto::Share { name, weight, configured_weight, by, .. } = share;
        let until = until(share.until.as_ref());
        let line = format!(
            "  {name} weight {weight}{until}, configured {configured_weight}; by {by} at {at}"
        );
        wrap(&line, width, 4)
    });
    let mut changed: String = changed.collect();
    if !changed.is_empty() {
        let title =
            format!("changed over the configuration (`ctl reset-split {route}` takes it back)");
        changed.insert_str(0, &wrap(&title, width, 2));
    }
    format!("{}{}{changed}", wrap(&title, width, 2), table.fit(width))
}

fn programs(splits: &[proto::Split]) -> String {
    #[derive(Serialize)]
    struct Splits<'a> {
        splits: Vec<Split<'a>>,
    }
    #[derive(Serialize)]
    struct Split<'a> {
        route: &'a str,
        r#match: &'a str,
        revision: u64,
        split_by: Option<&'a str>,
        shares: Vec<Share<'a>>,
    }
    #[derive(Serialize)]
    struct Share<'a> {
        name: &'a str,
        service: &'a str,
        weight: u32,
        configured_weight: u32,
        by: Option<&'a str>,
        reason: Option<&'a str>,
        at: Option<String>,
        until: Option<String>,
    }
    fn given(text: &str) -> Option<&str> {
        Some(text).filter(|text| !text.is_empty())
    }
    fn share(share: &proto::Share) -> Share<'_> {
        Share {
            name: &share.name,
            service: &share.service,
            weight: share.weight,
            configured_weight: share.configured_weight,
            by: given(&share.by),
            reason: given(&share.reason),
            at: share.at.map(|at| at.to_string()),
            until: share.until.map(|until| until.to_string()),
        }
    }
    fn split(split: &proto::Split) -> Split<'_> {
        Split {
            route: &split.route,
            r#match: &split.r#match,
            revision: split.revision,
            split_by: given(&split.split_by),
            shares: split.shares.iter().map(share).collect(),
        }
    }
    json::pretty(&Splits { splits: splits.iter().map(split).collect() })
}

fn changed_json(route: &str, revision: u64, durable: bool) -> String {
    #[derive(Serialize)]
    struct Changed<'a> {
        route: &'a str,
        revision: u64,
        durable: bool,
    }
    json::line(serde_json::to_string(&Changed { route, revision, durable }))
}
