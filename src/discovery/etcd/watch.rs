//! A stream of changes.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Streaming;

use super::client::Failure;
use super::proto::etcdserverpb::watch_request::RequestUnion;
use super::proto::etcdserverpb::{WatchProgressRequest, WatchRequest, WatchResponse};
use super::proto::mvccpb::Event;

/// After so long without a word the member is asked for one, which shows that it is alive, not just its
/// connection: watches have been seen to hang.
const ASK_AFTER: Duration = Duration::from_secs(10);

/// So often in a row before it is given up.
const ASK_TIMES: u32 = 3;

const DOING: &str = "watching";

/// A stream of changes.
pub(super) struct Watch {
    /// The stream ends with it.
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    /// How often it was asked for a word, and silent.
    asked: u32,
}

/// What a watch tells.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub cluster: u64,
    /// Changes; none if it only tells that it is alive.
    pub events: Vec<Event>,
    /// More belongs to these changes, and comes next.
    pub more: bool,
}

impl Watch {
    /// Awaits the word that the watch is there.
    pub async fn started(
        requests: mpsc::Sender<WatchRequest>,
        answers: Streaming<WatchResponse>,
    ) -> Result<Watch, Failure> {
        let mut watch = Watch { requests, answers, asked: 0 };
        let first = watch.answers.message().await;
        let first = first.map_err(|status| Failure::of(DOING, &status))?;
        examine(first)?;
        Ok(watch)
    }

    /// What it tells next. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Told, Failure> {
        loop {
            match timeout(ASK_AFTER, self.answers.message()).await {
                Ok(Ok(answer)) => {
                    self.asked = 0;
                    return examine(answer);
                }
                Ok(Err(status)) => return Err(Failure::of(DOING, &status)),
                Err(_) if self.asked == ASK_TIMES => {
                    let silent = ASK_AFTER * (ASK_TIMES + 1);
                    return Err(Failure::Other(format!("{DOING}: not a word in {silent:?}")));
                }
                Err(_) => {
                    self.asked += 1;
                    let progress = RequestUnion::ProgressRequest(WatchProgressRequest {});
                    let request = WatchRequest { request_union: Some(progress) };
                    let _ = self.requests.try_send(request); // an earlier one waits to be sent
                }
            }
        }
    }

    /// What it has told already, if that waits to be taken.
    pub async fn waiting(&mut self) -> Option<Result<Told, Failure>> {
        tokio::select! {
            biased;
            told = self.next() => Some(told),
            () = std::future::ready(()) => None,
        }
    }
}

/// What an answer tells, or why the watch is over.
fn examine(answer: Option<WatchResponse>) -> Result<Told, Failure> {
    let Some(answer) = answer else {
        return Err(Failure::Other(format!("{DOING}: the member has ended the stream")));
    };
    let reason = answer.cancel_reason;
    if answer.compact_revision > 0 {
        let first = answer.compact_revision;
        return Err(Failure::Other(format!("{DOING}: changes before revision {first} are gone")));
    }
    if answer.canceled {
        let why = format!("{DOING}: canceled: {reason}");
        // After a change of the users a watch with an older token is created, and then refused.
        let refused = ["permission denied", "invalid auth token", "auth store is old"];
        return match refused.iter().any(|refused| reason.contains(refused)) {
            true => Err(Failure::Token(why)),
            false => Err(Failure::Other(why)),
        };
    }
    let cluster = answer.header.unwrap_or_default().cluster_id;
    Ok(Told { cluster, events: answer.events, more: answer.fragment })
}

#[cfg(test)]
mod tests {
    use super::super::proto::etcdserverpb::ResponseHeader;
    use super::*;

    fn why(answer: WatchResponse) -> Failure {
        examine(Some(answer)).unwrap_err()
    }

    #[test]
    fn the_end_of_a_watch_is_seen() {
        let compacted =
            WatchResponse { canceled: true, compact_revision: 40, ..WatchResponse::default() };
        assert!(why(compacted).to_string().contains("before revision 40"));
        let canceled = |reason: &str| WatchResponse {
            canceled: true,
            cancel_reason: reason.into(),
            ..WatchResponse::default()
        };
        let denied = why(canceled(
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
        ));
        assert!(matches!(denied, Failure::Token(_)));
        assert!(matches!(why(canceled("closing")), Failure::Other(_)));
        assert!(examine(None).unwrap_err().to_string().contains("ended"));
    }

    #[test]
    fn changes_and_signs_of_life_are_told() {
        let header =
            Some(ResponseHeader { cluster_id: 7, revision: 3, ..ResponseHeader::default() });
        let alive = WatchResponse { header, ..WatchResponse::default() };
        assert_eq!(
            examine(Some(alive.clone())).unwrap(),
            Told { cluster: 7, events: Vec::new(), more: false }
        );
        let part = WatchResponse { events: vec![Event::default()], fragment: true, ..alive };
        let told = examine(Some(part)).unwrap();
        assert!(told.more && told.events.len() == 1);
    }
}
