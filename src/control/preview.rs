//! Answers to changes: what was made, or what would be.

use super::convert::state;
use super::proto;
use crate::overrides::Expiry;
use crate::service::{BackendPreview, Preview, SharePreview, ShareView, SplitView};
use crate::text::listed;

/// What became of a change, or would.
pub(super) struct Answer {
    /// The revision that it is at now.
    pub revision: u64,
    /// Whether changes outlive the process.
    pub durable: bool,
    /// What would be, if nothing but that was asked for.
    pub preview: Option<proto::Preview>,
    /// That too many backends are out, after an ejection.
    pub warning: Option<String>,
}

/// Has an answer become the messages of these names.
macro_rules! answers {
    ($($message:ident),*) => {
        $(
            impl From<Answer> for proto::$message {
                fn from(answer: Answer) -> proto::$message {
                    let Answer { revision, durable, preview, .. } = answer;
                    proto::$message { revision, durable, preview }
                }
            }
        )*
    };
}

answers!(
    SetWeightsResponse,
    DrainBackendResponse,
    UndrainBackendResponse,
    HealBackendResponse,
    AddBackendsResponse,
    RemoveBackendsResponse,
    SetPolicyResponse,
    ResetServiceResponse,
    SetSplitResponse,
    ResetSplitResponse,
    RevertChangeResponse
);

impl From<Answer> for proto::EjectBackendResponse {
    fn from(answer: Answer) -> proto::EjectBackendResponse {
        let Answer { revision, durable, preview, warning } = answer;
        let warning = warning.unwrap_or_default();
        proto::EjectBackendResponse { revision, durable, preview, warning }
    }
}

/// What would become of a service.
pub(super) fn service(preview: Preview) -> proto::Preview {
    let Preview { revision, old, new, until, warning, backends, .. } = preview;
    proto::Preview {
        revision,
        old,
        new,
        until: until.map(Into::into),
        shares: backends.into_iter().map(backend).collect(),
        warning: warning.unwrap_or_default(),
    }
}

fn backend(backend: BackendPreview) -> proto::PreviewedShare {
    let share = |share: SharePreview| proto::ShareState {
        weight: share.weight,
        effective_weight: share.standing.weight,
        share: share.weight_share,
        expected_share: Some(share.expected_share),
        state: state(share.standing.state).into(),
        state_reason: share.standing.reason.name().into(),
    };
    proto::PreviewedShare {
        name: backend.address,
        resolved_address: backend.resolved.unwrap_or_default(),
        before: backend.before.map(share),
        after: backend.after.map(share),
    }
}

/// What would become of the split of a route.
pub(super) fn split(
    before: &SplitView,
    after: &SplitView,
    until: Option<Expiry>,
) -> proto::Preview {
    let total = |split: &SplitView| -> u64 {
        split.shares.iter().map(|share| u64::from(share.weight)).sum::<u64>().max(1)
    };
    let state = |share: &ShareView, total: u64| proto::ShareState {
        weight: share.weight,
        effective_weight: share.weight,
        share: f64::from(share.weight) / total as f64,
        ..Default::default()
    };
    let pair = |(was, is): (&ShareView, &ShareView)| proto::PreviewedShare {
        name: is.name.clone(),
        resolved_address: String::new(),
        before: Some(state(was, total(before))),
        after: Some(state(is, total(after))),
    };
    let differ = |(was, is): &(&ShareView, &ShareView)| was.weight != is.weight;
    let both = || before.shares.iter().zip(&after.shares);
    let words = |share: &ShareView| format!("{}={}", share.name, share.weight);
    proto::Preview {
        revision: after.revision,
        old: listed(both().filter(differ).map(|(was, _)| words(was)).collect()),
        new: listed(both().filter(differ).map(|(_, is)| words(is)).collect()),
        until: until.map(|until| until.wall.into()),
        shares: both().map(pair).collect(),
        warning: String::new(),
    }
}
