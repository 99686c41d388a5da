//! Overrides on top of the configuration, shown below a service's backends.

use serde::Serialize;
use serde_json::Value;

use super::policies::{in_words, settings};
use super::table::wrap;
use crate::control::proto::{self, OverrideKind};

/// One sentence for each override, if there are any.
pub(super) fn text(service: &proto::Service, width: usize) -> Option<String> {
    let first = service.overrides.first()?;
    let one = if first.backend.is_empty() { "" } else { " BACKEND" };
    let name = &service.name;
    let title =
        format!("{name}: changed over the configuration (`ctl reset {name}{one}` takes it back)");
    let lines = service.overrides.iter().map(|one| wrap(&format!("  {}", line(one)), width, 4));
    Some(format!("{}{}", wrap(&title, width, 2), lines.collect::<String>()))
}

fn line(one: &proto::Override) -> String {
    let weight = |weight: Option<u32>| weight.map_or("none".into(), |weight| weight.to_string());
    let (wanted, configured) = (weight(one.weight), weight(one.configured_weight));
    let backend = &one.backend;
    let (what, configured) = match one.kind() {
        OverrideKind::Weight => (format!("{backend} weight {wanted}"), configured),
        OverrideKind::Drain => (format!("{backend} drained"), format!("weight {configured}")),
        OverrideKind::Eject => (format!("{backend} ejected"), format!("weight {configured}")),
        OverrideKind::Add => (format!("{backend} added with weight {wanted}"), configured),
        OverrideKind::Remove => (format!("{backend} removed"), format!("weight {configured}")),
        OverrideKind::Policy => {
            let policy =
                |policy: &Option<proto::Policy>| policy.as_ref().map(in_words).unwrap_or_default();
            (format!("policy {}", policy(&one.policy)), policy(&one.configured_policy))
        }
        OverrideKind::Unspecified => {
            (format!("{backend} changed in a way that this ctl does not know"), configured)
        }
    };
    let configured = match one.kind() {
        OverrideKind::Add if one.configured_weight.is_none() => ", not configured".to_owned(),
        OverrideKind::Unspecified => String::new(),
        _ => format!(", configured {configured}"),
    };
    format!("{what}{}{configured}; by {} at {}", until(one.until.as_ref()), one.by, time(one))
}

/// Until when it holds, to the second; nothing if it does not end.
pub(super) fn until(until: Option<&prost_types::Timestamp>) -> String {
    let until = until.map(|until| prost_types::Timestamp { nanos: 0, ..*until });
    until.map(|until| format!(" until {until}")).unwrap_or_default()
}

/// The time of the override, to the second.
fn time(one: &proto::Override) -> String {
    let at = one.at.unwrap_or_default();
    prost_types::Timestamp { nanos: 0, ..at }.to_string()
}

/// An override in `--output json`.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    kind: &'static str,
    backend: Option<&'a str>,
    configured_weight: Option<u32>,
    weight: Option<u32>,
    configured_policy: Option<Policy<'a>>,
    policy: Option<Policy<'a>>,
    by: &'a str,
    reason: Option<&'a str>,
    at: String,
    until: Option<String>,
}

#[derive(Serialize)]
struct Policy<'a> {
    name: &'a str,
    settings: Value,
}

pub(super) fn json(one: &proto::Override) -> Json<'_> {
    fn policy(policy: &proto::Policy) -> Policy<'_> {
        Policy { name: &policy.name, settings: settings(policy.settings.as_ref()) }
    }
    let name = one.kind().as_str_name();
    Json {
        kind: name.strip_prefix("OVERRIDE_KIND_").unwrap_or(name),
        backend: Some(&*one.backend).filter(|backend| !backend.is_empty()),
        configured_weight: one.configured_weight,
        weight: one.weight,
        configured_policy: one.configured_policy.as_ref().map(policy),
        policy: one.policy.as_ref().map(policy),
        by: &one.by,
        reason: (!one.reason.is_empty()).then_some(&*one.reason),
        at: one.at.unwrap_or_default().to_string(),
        until: one.until.map(|until| until.to_string()),
    }
}
