//! Conversion of operators' overrides to API messages.

use super::policy::policy;
use super::proto;
use crate::service::{Balancer, OverrideKind, OverrideView, Setting};

pub(super) fn overridden(one: &OverrideView) -> proto::Override {
    let OverrideView { kind, backend, configured, value, provenance, until } = one;
    let kind = match kind {
        OverrideKind::Weight => proto::OverrideKind::Weight,
        OverrideKind::Drain => proto::OverrideKind::Drain,
        OverrideKind::Eject => proto::OverrideKind::Eject,
        OverrideKind::Add => proto::OverrideKind::Add,
        OverrideKind::Remove => proto::OverrideKind::Remove,
        OverrideKind::Policy => proto::OverrideKind::Policy,
    };
    proto::Override {
        kind: kind.into(),
        backend: backend.clone(),
        configured_weight: configured.as_ref().and_then(weight),
        weight: value.as_ref().and_then(weight),
        configured_policy: configured.as_ref().and_then(balancer).map(policy),
        policy: value.as_ref().and_then(balancer).map(policy),
        by: provenance.by.to_string(),
        at: Some(provenance.at.into()),
        reason: provenance.by.reason.as_deref().unwrap_or_default().into(),
        until: until.map(Into::into),
    }
}

fn weight(setting: &Setting) -> Option<u32> {
    match setting {
        Setting::Weight(weight) => Some(*weight),
        Setting::Policy(_) => None,
    }
}

fn balancer(setting: &Setting) -> Option<&Balancer> {
    match setting {
        Setting::Weight(_) => None,
        Setting::Policy(balancer) => Some(balancer),
    }
}
