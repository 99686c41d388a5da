//! Following the changes of a service's slices.

use std::ops::RangeInclusive;
use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::api::{Api, Trouble};
use super::lines::Lines;
use super::slice::Slice;
use super::wire::{Event, Named, Status};
use super::{EndpointSlices, path, put};
use crate::discovery::{Feed, SourceError};
use crate::model::Time;

/// How many seconds a watch is asked to last. Middle boxes forget silent connections, and servers want
/// clients to come back spread over time.
const SECONDS: RangeInclusive<u64> = 300..=600;

/// A watch that the server does not end is given up this long after its time.
const GRACE: Duration = Duration::from_secs(30);

/// Servers that send bookmarks do so about each minute: one that is silent for so long is gone.
const MAX_SILENCE: Duration = Duration::from_secs(180);

/// The code of what is too old to be continued.
const GONE: u16 = 410;

impl EndpointSlices {
    /// Follows the changes in namespace `at` since `version` until the watch ends.
    pub(super) async fn watch(
        &mut self,
        api: &mut Api,
        at: &str,
        version: &str,
        feed: &Feed,
    ) -> Result<(), Trouble> {
        let seconds = self.rng.u64(SECONDS);
        let path = path::watch(at, &self.settings.service, version, seconds);
        let mut body = api.get(&path).await?.into_body();
        feed.confirm().await;
        let clock = feed.clock();
        let end = clock.now() + Duration::from_secs(seconds) + GRACE;
        let mut lines = Lines::default();
        loop {
            let patience = patience(self.has_bookmarks, clock.now(), end);
            let frame = match timeout(patience, body.frame()).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(_) if clock.now() >= end => return Ok(()),
                Err(_) => return Err(SourceError("the API server has fallen silent".into()).into()),
            };
            let frame = frame.map_err(|error| SourceError::new("following the changes", &error))?;
            lines.push(frame.data_ref().map(|data| &**data).unwrap_or_default());
            let mut changed = false;
            let taken = self.take(&mut lines, feed, &mut changed).await;
            match changed {
                true => feed.publish(self.slices.backends()).await,
                false => feed.confirm().await,
            }
            taken?;
        }
    }

    /// Applies all whole lines, which are published together.
    async fn take(
        &mut self,
        lines: &mut Lines,
        feed: &Feed,
        changed: &mut bool,
    ) -> Result<(), Trouble> {
        while let Some(line) = lines.next()? {
            if !line.trim_ascii().is_empty() {
                let event: Event<'_> = serde_json::from_slice(&line)
                    .map_err(|error| SourceError(format!("a line of the watch: {error}")))?;
                *changed |= self.apply(&event.kind, event.object, feed).await?;
            }
        }
        Ok(())
    }

    /// Applies an event; returns whether it changes a slice.
    async fn apply(&mut self, kind: &str, object: &RawValue, feed: &Feed) -> Result<bool, Trouble> {
        match kind {
            "ADDED" | "MODIFIED" => {
                match Slice::read(object.get(), self.settings.port.as_deref()) {
                    Ok(slice) => {
                        put(&mut self.slices, slice, feed).await;
                        Ok(true)
                    }
                    Err((name, reason)) => {
                        // What it said before stays.
                        let key = format!("EndpointSlice {}", name.unwrap_or_default());
                        feed.reject(&key, &reason).await;
                        Ok(false)
                    }
                }
            }
            "DELETED" => {
                let deleted: Named = serde_json::from_str(object.get())
                    .map_err(|error| SourceError(format!("what was deleted: {error}")))?;
                self.slices.remove(&deleted.metadata.name);
                Ok(true)
            }
            "BOOKMARK" => {
                self.has_bookmarks = true;
                Ok(false)
            }
            "ERROR" => {
                let status: Status = serde_json::from_str(object.get()).unwrap_or_default();
                if status.code == Some(GONE) {
                    return Err(Trouble::Gone);
                }
                let message = status.message.unwrap_or_default();
                Err(SourceError(format!("the API server ends the watch: {message}")).into())
            }
            kind => Err(SourceError(format!("an event `{kind}` is not understood")).into()),
        }
    }
}

/// How long the next bytes of a watch that ends at `end` are waited for.
fn patience(has_bookmarks: bool, now: Time, end: Time) -> Duration {
    let rest = end.since(now);
    if has_bookmarks { rest.min(MAX_SILENCE) } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_send_bookmarks_are_not_silent_for_long() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let waits = |has_bookmarks, now| patience(has_bookmarks, at(now), at(500)).as_secs();
        assert_eq!([waits(false, 100), waits(true, 100), waits(true, 450)], [400, 180, 50]);
        assert_eq!([waits(false, 500), waits(true, 600)], [0, 0]);
    }
}
