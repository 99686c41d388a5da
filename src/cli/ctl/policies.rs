//! `ctl policies`: services' balancing policies with their effective settings.

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde::Serialize;
use serde_json::Value as Json;

use super::session::Session;
use super::table::wrap;
use super::{Error, json};
use crate::control::proto;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service; all without it
    service: Option<String>,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let policies: Vec<(String, proto::Policy)> = match self.service {
            Some(service) => {
                let proto::Service { name, policy, policy_settings: settings, .. } =
                    session.client.get(service, None).await?;
                vec![(name, proto::Policy { name: policy, settings })]
            }
            None => {
                let services = session.client.list().await?.into_iter();
                let policy = |one: proto::ServiceSummary| {
                    (one.name, proto::Policy { name: one.policy, settings: one.policy_settings })
                };
                services.map(policy).collect()
            }
        };
        let line = |(service, policy): &(String, proto::Policy)| {
            format!("{service}: {}", in_words(policy))
        };
        session.print(
            |width| policies.iter().map(|one| wrap(&line(one), width, 2)).collect(),
            || programs(&policies),
        )
    }
}

fn programs(policies: &[(String, proto::Policy)]) -> String {
    #[derive(Serialize)]
    struct Service<'a> {
        name: &'a str,
        policy: &'a str,
        policy_settings: Json,
    }
    let service = |(name, policy): &'_ (String, proto::Policy)| {
        let settings = settings(policy.settings.as_ref());
        serde_json::to_value(Service { name, policy: &policy.name, policy_settings: settings })
            .unwrap_or_default()
    };
    json::all(policies.iter().map(service).collect())
}

/// Policy and settings in the syntax of `ctl set-policy`.
pub(super) fn in_words(policy: &proto::Policy) -> String {
    let mut words = policy.name.clone();
    for (key, value) in sorted(policy.settings.as_ref()) {
        match &value.kind {
            Some(Kind::StructValue(map)) => {
                for (inner, value) in sorted(Some(map)) {
                    words.push_str(&format!(" {key}.{inner}={}", scalar(value)));
                }
            }
            _ => words.push_str(&format!(" {key}={}", scalar(value))),
        }
    }
    words
}

/// The settings with the structure of the configuration.
pub(super) fn settings(settings: Option<&Struct>) -> Json {
    let settings = sorted(settings).map(|(key, value)| {
        let value = match &value.kind {
            Some(Kind::StructValue(map)) => self::settings(Some(map)),
            _ => Json::String(scalar(value)),
        };
        (key.clone(), value)
    });
    Json::Object(settings.collect())
}

fn sorted(settings: Option<&Struct>) -> impl Iterator<Item = (&String, &Value)> {
    settings.into_iter().flat_map(|settings| &settings.fields)
}

fn scalar(value: &Value) -> String {
    match &value.kind {
        Some(Kind::StringValue(text)) => text.clone(),
        Some(Kind::NumberValue(number)) => number.to_string(),
        Some(Kind::BoolValue(yes)) => yes.to_string(),
        _ => String::new(),
    }
}
