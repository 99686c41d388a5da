//! `ctl history`, `revert`, and the same for splits: the last changes, and how to undo one.

use prost_types::Timestamp;
use serde::Serialize;

use super::change::{Conditions, Expected};
use super::overrides::until;
use super::session::Session;
use super::table::wrap;
use super::{Error, json, split};
use crate::control::proto::{Change, ListChangesRequest, ListChangesResponse, RevertChangeRequest};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service
    service: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct OfSplit {
    /// The route's name, as `ctl route` shows it
    route: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Revert {
    /// The service
    service: String,
    /// The revision that the change has made, as `history` shows it
    revision: u64,
    #[command(flatten)]
    conditions: Conditions,
}

#[derive(Debug, clap::Args)]
pub(super) struct RevertSplit {
    /// The route's name
    route: String,
    /// The revision that the change has made, as `history-split` shows it
    revision: u64,
    #[command(flatten)]
    expected: Expected,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let service = self.service;
        let request = ListChangesRequest { service: service.clone(), route: String::new() };
        let mut api = session.client.api();
        let answer = session.client.wait(api.list_changes(request)).await?;
        let programs = || programs(Subject { service: Some(&service), route: None }, &answer);
        session.print(|width| text(&service, &answer, width), programs)
    }
}

impl OfSplit {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let route = self.route;
        let request = ListChangesRequest { service: String::new(), route: route.clone() };
        let mut api = session.client.api();
        let answer = session.client.wait(api.list_changes(request)).await?;
        let title = format!("the split of {route}");
        let programs = || programs(Subject { service: None, route: Some(&route) }, &answer);
        session.print(|width| text(&title, &answer, width), programs)
    }
}

impl Revert {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let Conditions { expected, allow_empty } = self.conditions;
        let request = RevertChangeRequest {
            service: self.service.clone(),
            revision: self.revision,
            expected_revision: expected.expected_revision,
            allow_empty,
            ttl: expected.ttl(),
            dry_run: expected.dry_run,
            ..RevertChangeRequest::default()
        };
        session.client.knows_dry_run(expected.dry_run).await?;
        let mut api = session.client.api();
        let answer = session.client.wait(api.revert_change(request)).await?;
        session.changed(&self.service, (answer.revision, answer.durable, answer.preview), &expected)
    }
}

impl RevertSplit {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let RevertSplit { route, revision, expected } = self;
        let request = RevertChangeRequest {
            route: route.clone(),
            revision,
            expected_revision: expected.expected_revision,
            ttl: expected.ttl(),
            dry_run: expected.dry_run,
            ..RevertChangeRequest::default()
        };
        session.client.knows_dry_run(expected.dry_run).await?;
        let mut api = session.client.api();
        let answer = session.client.wait(api.revert_change(request)).await?;
        split::changed(
            session,
            &route,
            (answer.revision, answer.durable, answer.preview),
            &expected,
        )
    }
}

fn text(what: &str, answer: &ListChangesResponse, width: usize) -> String {
    let lost = if answer.durable { "" } else { ", which are lost when the gateway ends" };
    if answer.changes.is_empty() {
        return wrap(&format!("Nobody has changed {what}."), width, 2);
    }
    let title = wrap(&format!("{what}: the last changes{lost}"), width, 2);
    let changes = answer.changes.iter().map(|change| wrap(&line(change), width, 6));
    format!("{title}{}", changes.collect::<String>())
}

/// A change as a sentence.
fn line(change: &Change) -> String {
    let at = Timestamp { nanos: 0, ..change.at.unwrap_or_default() };
    let Change { revision, actor, peer, reason, change: what, old, new, .. } = change;
    if change.ended {
        return format!("     {at} no longer configured, and so ended: {old}");
    }
    let by = match (&*change.identity, &**actor) {
        ("", "") => peer.clone(),
        ("", one) | (one, "") => format!("{one} ({peer})"),
        (identity, actor) => format!("{identity} ({actor}, {peer})"),
    };
    let reason =
        if reason.is_empty() { String::new() } else { format!(", as \u{201C}{reason}\u{201D}") };
    let until = until(change.until.as_ref());
    let difference = match (&**old, &**new) {
        ("", "") => "nothing was different".to_owned(),
        (old, new) => format!("{old} -> {new}"),
    };
    format!("{revision:>4} {at} {what}{until}, by {by}{reason}: {difference}")
}

/// What was changed.
#[derive(Clone, Copy, Serialize)]
struct Subject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
}

fn programs(subject: Subject<'_>, answer: &ListChangesResponse) -> String {
    #[derive(Serialize)]
    struct History<'a> {
        #[serde(flatten)]
        subject: Subject<'a>,
        durable: bool,
        changes: Vec<One<'a>>,
    }
    #[derive(Serialize)]
    struct One<'a> {
        revision: u64,
        at: Option<String>,
        identity: Option<&'a str>,
        actor: Option<&'a str>,
        peer: &'a str,
        reason: Option<&'a str>,
        change: &'a str,
        old: &'a str,
        new: &'a str,
        until: Option<String>,
        ended: bool,
        sequence: u64,
    }
    fn given(text: &str) -> Option<&str> {
        Some(text).filter(|text| !text.is_empty())
    }
    fn one(change: &Change) -> One<'_> {
        let Change { until, ended, sequence, identity, .. } = change;
        let Change { revision, at, actor, peer, reason, change, old, new, .. } = change;
        One {
            revision: *revision,
            at: at.map(|at| at.to_string()),
            identity: given(identity),
            actor: given(actor),
            peer,
            reason: given(reason),
            change,
            old,
            new,
            until: until.map(|until| until.to_string()),
            ended: *ended,
            sequence: *sequence,
        }
    }
    let changes = answer.changes.iter().map(one).collect();
    json::pretty(&History { subject, durable: answer.durable, changes })
}
