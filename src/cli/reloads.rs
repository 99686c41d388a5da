//! Reload triggers of `serve`: SIGHUP, changed files, retries with backoff.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use crate::app::{Gateway, Reloaded};
use crate::config::{self, Plan, Report, Watch};

/// The retry interval after the first transient failure; doubles with each.
const INITIAL_RETRY: Duration = Duration::from_secs(10);

/// The maximum retry interval.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// The stream of reloads after startup.
pub struct Reloads {
    path: PathBuf,
    hangup: Signal,
    watch: Watch,
    retry: Option<Retry>,
}

/// When to retry, and the interval that led there.
#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    after: Duration,
}

impl Retry {
    fn following(before: Option<Retry>) -> Retry {
        let after = before.map_or(INITIAL_RETRY, |before| (before.after * 2).min(MAX_RETRY));
        Retry { at: Instant::now() + after, after }
    }
}

/// A loaded configuration, and what triggered the reload.
pub struct Reload {
    loaded: Result<Plan, Report>,
    again: bool,
}

impl Reloads {
    /// Reloads after `plan`. A `hangup` from before loading counts.
    pub fn new(path: &Path, plan: &Plan, hangup: Signal) -> Reloads {
        let watch = Watch::new(plan.sources.clone());
        Reloads { path: path.to_owned(), hangup, watch, retry: None }
    }

    /// Refuses reloads from now on, and logs each request for one.
    pub async fn refuse(&mut self) {
        while self.hangup.recv().await.is_some() {
            tracing::info!("SIGHUP is ignored: the gateway is going down");
        }
    }

    /// Waits for the next trigger, and loads the configuration.
    pub async fn next(&mut self) -> Reload {
        loop {
            let retry = self.retry;
            let due = async {
                match retry {
                    Some(retry) => sleep_until(retry.at).await,
                    None => std::future::pending().await,
                }
            };
            let again = tokio::select! {
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP: reloading the configuration");
                    false
                }
                () = self.watch.changed() => {
                    tracing::info!("files have changed: reloading the configuration");
                    false
                }
                () = due => true,
            };
            if !again {
                self.retry = None;
            }
            match load(&self.path).await {
                Ok(loaded) => {
                    self.watch.follow(match &loaded {
                        Ok(plan) => plan.sources.clone(),
                        Err(report) => report.sources().clone(),
                    });
                    return Reload { loaded, again };
                }
                Err(error) => tracing::error!(%error, "the configuration was not loaded"),
            }
        }
    }

    /// Applies it to the gateway. Transient failures are retried until it works or the files
    /// change.
    pub async fn apply(&mut self, change: Reload, gateway: &mut Gateway) {
        let Reload { loaded, again } = change;
        let reloaded = match again {
            false => gateway.reload(loaded).await,
            true => gateway.retry(loaded).await,
        };
        self.retry = match reloaded {
            Reloaded::Done | Reloaded::Refused => None,
            Reloaded::Hindered => Some(Retry::following(self.retry)),
        };
    }
}

/// Loads the configuration on a blocking thread.
pub async fn load(path: &Path) -> Result<Result<Plan, Report>, JoinError> {
    let path = path.to_owned();
    spawn_blocking(move || config::load(&path)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pauses_between_retries_grow_up_to_a_bound() {
        let mut retry = None;
        let pauses = std::iter::repeat_with(|| {
            retry = Some(Retry::following(retry));
            retry.unwrap().after.as_secs()
        });
        assert_eq!(pauses.take(5).collect::<Vec<_>>(), [10, 20, 40, 60, 60]);
    }
}
