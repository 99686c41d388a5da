//! Commands that change a service.

use std::time::Duration;

use super::session::Session;
use super::{Error, parse};
use crate::control::proto;
use crate::text::units;

#[derive(Debug, clap::Args)]
pub(super) struct Expected {
    /// Change only if it is still at this revision
    #[arg(long, value_name = "N")]
    pub expected_revision: Option<u64>,
    /// How long it is to hold, 8760h at most; then it reverts by itself
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    pub ttl: Option<Duration>,
    /// Change nothing, and show what would be: old and new weights, shares and states
    #[arg(long)]
    pub dry_run: bool,
}

impl Expected {
    /// For how long it is to hold, as the API has it.
    pub fn ttl(&self) -> Option<prost_types::Duration> {
        self.ttl.map(duration)
    }

    /// A line about the new revision of `what`: how long the change holds, and whether it is lost with
    /// the process.
    pub fn told(&self, what: &str, revision: u64, durable: bool) -> String {
        let ttl = self.ttl.map(|ttl| format!(", for {}", units::show_duration(ttl)));
        let lost = if durable { "" } else { "; it is lost when the gateway ends" };
        format!("{what} is now at revision {revision}{}{lost}\n", ttl.unwrap_or_default())
    }
}

pub(super) fn duration(time: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: time.subsec_nanos().cast_signed(),
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Conditions {
    #[command(flatten)]
    pub expected: Expected,
    /// Change even if no backend is left to take requests
    #[arg(long)]
    pub allow_empty: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct SetWeight {
    /// The service
    service: String,
    /// What to set; other backends keep their weight
    #[arg(required = true, value_name = "BACKEND=WEIGHT", value_parser = parse::weight)]
    weights: Vec<(String, u32)>,
    #[command(flatten)]
    conditions: Conditions,
}

impl SetWeight {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let request = proto::SetWeightsRequest {
            service: self.service.clone(),
            weights: parse::weights(self.weights)?,
            expected_revision: self.conditions.expected.expected_revision,
            allow_empty: self.conditions.allow_empty,
            ttl: self.conditions.expected.ttl(),
            dry_run: self.conditions.expected.dry_run,
        };
        let client = &session.client;
        client.knows_dry_run(request.dry_run).await?;
        let answer = client.wait(client.api().set_weights(request)).await?;
        session.changed(
            &self.service,
            (answer.revision, answer.durable, answer.preview),
            &self.conditions.expected,
        )
    }
}

/// One backend of a service.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// The service
    pub service: String,
    /// The backend's address
    pub backend: String,
    #[command(flatten)]
    pub conditions: Conditions,
}

impl Target {
    pub(super) async fn undrain(self, session: &mut Session<'_>) -> Result<(), Error> {
        let request = proto::UndrainBackendRequest {
            service: self.service.clone(),
            backend: self.backend,
            expected_revision: self.conditions.expected.expected_revision,
            allow_empty: self.conditions.allow_empty,
            ttl: self.conditions.expected.ttl(),
            dry_run: self.conditions.expected.dry_run,
        };
        let client = &session.client;
        client.knows_dry_run(request.dry_run).await?;
        let answer = client.wait(client.api().undrain_backend(request)).await?;
        session.changed(
            &self.service,
            (answer.revision, answer.durable, answer.preview),
            &self.conditions.expected,
        )
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Eject {
    /// The service
    service: String,
    /// The backend's address
    backend: String,
    /// How long, before it is on trial: the same as --ttl; until it is healed or reset without
    #[arg(long = "for", value_name = "TIME", value_parser = units::parse_duration, conflicts_with = "ttl")]
    time: Option<Duration>,
    #[command(flatten)]
    expected: Expected,
}

impl Eject {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let expected = Expected { ttl: self.time.or(self.expected.ttl), ..self.expected };
        let request = proto::EjectBackendRequest {
            service: self.service.clone(),
            backend: self.backend,
            time: expected.ttl(),
            expected_revision: expected.expected_revision,
            dry_run: expected.dry_run,
        };
        let client = &session.client;
        client.knows_dry_run(expected.dry_run).await?;
        let answer = client.wait(client.api().eject_backend(request)).await?;
        let warning = Some(&*answer.warning).filter(|warning| !warning.is_empty());
        session.changed_with(
            &self.service,
            (answer.revision, answer.durable, answer.preview),
            &expected,
            warning,
        )
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Heal {
    /// The service
    service: String,
    /// The backend's address
    backend: String,
    #[command(flatten)]
    expected: Expected,
}

impl Heal {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let request = proto::HealBackendRequest {
            service: self.service.clone(),
            backend: self.backend,
            expected_revision: self.expected.expected_revision,
            ttl: self.expected.ttl(),
            dry_run: self.expected.dry_run,
        };
        let client = &session.client;
        client.knows_dry_run(request.dry_run).await?;
        let answer = client.wait(client.api().heal_backend(request)).await?;
        session.changed(
            &self.service,
            (answer.revision, answer.durable, answer.preview),
            &self.expected,
        )
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// The service
    service: String,
    /// Their addresses, host:port or unix:path; the weight is 1 unless given
    #[arg(required = true, value_name = "BACKEND[=WEIGHT]", value_parser = parse::new_backend)]
    backends: Vec<proto::NewBackend>,
    #[command(flatten)]
    expected: Expected,
}

impl Add {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let request = proto::AddBackendsRequest {
            service: self.service.clone(),
            backends: self.backends,
            expected_revision: self.expected.expected_revision,
            ttl: self.expected.ttl(),
            dry_run: self.expected.dry_run,
        };
        let client = &session.client;
        client.knows_dry_run(request.dry_run).await?;
        let answer = client.wait(client.api().add_backends(request)).await?;
        session.changed(
            &self.service,
            (answer.revision, answer.durable, answer.preview),
            &self.expected,
        )
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Remove {
    /// The service
    service: String,
    /// Their addresses
    #[arg(required = true, value_name = "BACKEND")]
    backends: Vec<String>,
    #[command(flatten)]
    conditions: Conditions,
}

impl Remove {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let request = proto::RemoveBackendsRequest {
            service: self.service.clone(),
            addresses: self.backends,
            expected_revision: self.conditions.expected.expected_revision,
            allow_empty: self.conditions.allow_empty,
            ttl: self.conditions.expected.ttl(),
            dry_run: self.conditions.expected.dry_run,
        };
        let client = &session.client;
        client.knows_dry_run(request.dry_run).await?;
        let answer = client.wait(client.api().remove_backends(request)).await?;
        session.changed(
            &self.service,
            (answer.revision, answer.durable, answer.preview),
            &self.conditions.expected,
        )
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct SetPolicy {
    /// The service
    service: String,
    /// The policy's name; `configured` goes back to the configuration's
    policy: String,
    /// Its settings; KEY.INNER=VALUE for what the configuration has as KEY: { INNER: VALUE }
    #[arg(value_name = "KEY=VALUE", value_parser = parse::setting)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    expected: Expected,
}

impl SetPolicy {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let request = proto::SetPolicyRequest {
            service: self.service.clone(),
            policy: self.policy,
            settings: Some(parse::settings(self.settings)?),
            expected_revision: self.expected.expected_revision,
            ttl: self.expected.ttl(),
            dry_run: self.expected.dry_run,
        };
        let client = &session.client;
        client.knows_dry_run(request.dry_run).await?;
        let answer = client.wait(client.api().set_policy(request)).await?;
        session.changed(
            &self.service,
            (answer.revision, answer.durable, answer.preview),
            &self.expected,
        )
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Reset {
    /// The service
    service: String,
    /// The backends; all that was changed about the service without any
    #[arg(value_name = "BACKEND")]
    backends: Vec<String>,
    #[command(flatten)]
    conditions: Conditions,
}

impl Reset {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let request = proto::ResetServiceRequest {
            service: self.service.clone(),
            backends: self.backends,
            expected_revision: self.conditions.expected.expected_revision,
            allow_empty: self.conditions.allow_empty,
            ttl: self.conditions.expected.ttl(),
            dry_run: self.conditions.expected.dry_run,
        };
        let client = &session.client;
        client.knows_dry_run(request.dry_run).await?;
        let answer = client.wait(client.api().reset_service(request)).await?;
        session.changed(
            &self.service,
            (answer.revision, answer.durable, answer.preview),
            &self.conditions.expected,
        )
    }
}
