//! `ctl drain`: drains a backend, and waits until it is idle if `--wait` is given.

use std::time::Duration;

use serde::Serialize;

use super::change::Target;
use super::session::Session;
use super::{Error, json};
use crate::cli::print::complain;
use crate::control::proto::{DrainBackendRequest, DrainProgress};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
    /// Return when nothing is in flight there; what is left after --timeout, if given, is cut off
    #[arg(long, conflicts_with = "dry_run")]
    pub wait: bool,
}

impl Args {
    /// Drains; requests that are still in flight after `limit` are cut off.
    pub(super) async fn run(
        self,
        session: &mut Session<'_>,
        limit: Option<Duration>,
    ) -> Result<(), Error> {
        let Target { service, backend, conditions } = self.target;
        let request = DrainBackendRequest {
            service: service.clone(),
            backend: backend.clone(),
            expected_revision: conditions.expected.expected_revision,
            allow_empty: conditions.allow_empty,
            ttl: conditions.expected.ttl(),
            dry_run: conditions.expected.dry_run,
            timeout: limit.and_then(|limit| prost_types::Duration::try_from(limit).ok()),
        };
        let client = &session.client;
        client.knows_dry_run(request.dry_run).await?;
        let answer = client.wait(client.api().drain_backend(request)).await?;
        let (revision, durable) = (answer.revision, answer.durable);
        if !self.wait {
            let made = (revision, durable, answer.preview);
            return session.changed(&service, made, &conditions.expected);
        }
        let mut progress = client.watch_drain(service.clone(), backend.clone()).await?;
        let mut cut = 0;
        while let Some(now) = progress.next().await? {
            cut = now.cut;
            complain(&left(&now));
        }
        session.print(
            |_| format!("{service} is now at revision {revision}, {}\n", empty(&backend, cut)),
            || drained(&service, revision, durable, cut),
        )
    }
}

fn drained(service: &str, revision: u64, durable: bool, cut: u64) -> String {
    #[derive(Serialize)]
    struct Drained<'a> {
        service: &'a str,
        revision: u64,
        durable: bool,
        cut: u64,
    }
    json::line(serde_json::to_string(&Drained { service, revision, durable, cut }))
}

/// The progress line while something is in flight.
fn left(now: &DrainProgress) -> String {
    let DrainProgress { in_flight, open_streams, .. } = now;
    match u64::from(*in_flight) + u64::from(*open_streams) {
        0 => String::new(),
        all => format!("{} in flight, of them {open_streams} streams\n", requests(all)),
    }
}

fn empty(backend: &str, cut: u64) -> String {
    match cut {
        0 => format!("{backend} is empty"),
        cut => format!("{backend} is empty: {} cut off", requests(cut)),
    }
}

fn requests(count: u64) -> String {
    if count == 1 { "1 request".into() } else { format!("{count} requests") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_words() {
        let now =
            |in_flight, open_streams| left(&DrainProgress { in_flight, open_streams, cut: 0 });
        assert_eq!(now(0, 0), "");
        assert_eq!(now(1, 0), "1 request in flight, of them 0 streams\n");
        assert_eq!(now(1, 2), "3 requests in flight, of them 2 streams\n");
        assert_eq!(empty("a:1", 0), "a:1 is empty");
        assert_eq!(empty("a:1", 2), "a:1 is empty: 2 requests cut off");
    }
}
