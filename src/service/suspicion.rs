//! Decides which backends are avoided because they are suspected to be frozen.

use std::sync::Arc;
use std::time::Duration;

use super::desired::{Backend, Desired};
use super::standing::Condition;
use super::{Ejection, UpstreamProtocol};
use crate::model::Time;

/// A suspicion ends after this time if the backend owes nothing any more, since nothing else may end
/// it. Where a PING was sent, after the time for its answer too: by then it has answered or is down.
const MAX_SUSPICION: Duration = Duration::from_secs(10);

/// Inputs of the decision about one backend.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// Since when it is suspected.
    suspected: Option<Time>,
    /// When bytes were last received from it.
    last_received: Time,
    /// Whether it gets no requests for another reason.
    out: bool,
}

/// Which of them to avoid; at most `limit` may be out at the same time. A suspicion counts only if
/// another backend has sent something since: otherwise the cause may be the gateway, the network, or a
/// lack of requests.
fn avoided(candidates: &[Candidate], limit: usize) -> Vec<bool> {
    let spoke = candidates.iter().filter(|it| it.suspected.is_none() && !it.out);
    let last = spoke.map(|it| it.last_received).max().unwrap_or_default();
    let out = candidates.iter().filter(|it| it.out).count();
    let suspects = candidates.iter().enumerate().filter_map(|(at, it)| {
        let counts = !it.out && it.last_received < last;
        Some((it.suspected.filter(|_| counts)?, at))
    });
    let mut suspects: Vec<_> = suspects.collect();
    suspects.sort_unstable();
    let mut avoided = vec![false; candidates.len()];
    for (_, at) in suspects.into_iter().take(limit.saturating_sub(out)) {
        avoided.get_mut(at).into_iter().for_each(|it| *it = true);
    }
    avoided
}

impl Desired {
    /// Whether any backend is suspected to be frozen, whether or not it is avoided for that.
    pub(super) fn has_suspects(&self) -> bool {
        self.backends.iter().any(|backend| backend.endpoint.suspected().is_some())
    }

    /// Avoids backends that are suspected to be frozen, or no longer.
    pub(super) fn with_suspicion(mut self) -> Desired {
        let now = self.now();
        let counts =
            |backend: &&Backend| !backend.intent.is_taken_out() && backend.intent.weight > 0;
        self.backends.iter().for_each(|backend| self.end_suspicion(backend, now));
        let members: Vec<&Backend> = self.backends.iter().filter(counts).collect();
        let candidates: Vec<_> = members.iter().map(|backend| backend.candidate()).collect();
        let most = self
            .spec
            .ejection
            .as_ref()
            .map_or(Ejection::defaults().max_ejected, |it| it.max_ejected);
        let limit = if members.len() > 1 { members.len() * usize::from(most) / 100 } else { 0 };
        let mut avoided = avoided(&candidates, limit).into_iter();
        for backend in Arc::make_mut(&mut self.backends) {
            let avoid = counts(&&*backend) && avoided.next().unwrap_or_default();
            backend.condition.suspect = backend.endpoint.suspected().filter(|_| avoid);
        }
        self
    }

    /// Ends a suspicion that nothing else would end.
    fn end_suspicion(&self, Backend { endpoint, .. }: &Backend, now: Time) {
        let keepalive = &self.spec.upstream.keepalive;
        let most = match self.spec.protocol {
            UpstreamProtocol::Http1 => MAX_SUSPICION,
            _ => MAX_SUSPICION + keepalive.interval + keepalive.timeout,
        };
        let lasts = |since| now.since(since) < most || !endpoint.load().is_idle();
        if !self.preview && endpoint.suspected().is_some_and(|since| !lasts(since)) {
            endpoint.trust();
        }
    }
}

impl Backend {
    fn candidate(&self) -> Candidate {
        let Condition { unhealthy, down, ejected, .. } = &self.condition;
        let suspected = self.endpoint.suspected();
        // A suspect that is also down counts only once.
        let out = unhealthy.is_some() || ejected.is_some();
        let out = out || (suspected.is_none() && down.is_some());
        Candidate { suspected, last_received: self.endpoint.last_received(), out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_received(at: u64) -> Candidate {
        Candidate { suspected: None, last_received: Time::from_millis(at), out: false }
    }

    fn suspect(since: u64, received_at: u64) -> Candidate {
        Candidate { suspected: Some(Time::from_millis(since)), ..last_received(received_at) }
    }

    #[test]
    fn a_silent_backend_is_avoided_while_others_answer() {
        assert_eq!(avoided(&[suspect(600, 0)], 0), [false], "a single one serves");
        assert_eq!(avoided(&[suspect(600, 0), last_received(590)], 1), [true, false]);
        assert_eq!(
            avoided(&[suspect(600, 10), last_received(10)], 1),
            [false; 2],
            "nobody is asked"
        );
        assert_eq!(avoided(&[suspect(600, 0), suspect(610, 5)], 1), [false; 2], "all are");
        let out = Candidate { out: true, ..last_received(590) };
        assert_eq!(avoided(&[suspect(600, 0), out], 1), [false; 2], "who is out is no peer");
        assert_eq!(
            avoided(&[suspect(600, 0), out, last_received(590)], 1),
            [false; 3],
            "and counts"
        );
    }

    #[test]
    fn suspects_are_limited_and_the_oldest_come_first() {
        let all = [suspect(700, 0), suspect(600, 5), last_received(800), suspect(650, 3)];
        assert_eq!(avoided(&all, 2), [false, true, false, true]);
        assert_eq!(avoided(&all, 0), [false; 4]);
        assert_eq!(avoided(&all, 9), [true, true, false, true]);
    }
}
