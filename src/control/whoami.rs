//! WhoAmI: who the caller is for the gateway, and what it may.

use super::guard::Permit;
use super::proto;
use crate::access::{Grant, Scope};

pub(super) fn answer(permit: &Permit) -> proto::WhoAmIResponse {
    let role = |grant: &Grant| proto::GrantedRole {
        role: grant.role.name().into(),
        services: match &grant.scope {
            Scope::All => vec!["*".into()],
            Scope::Some(globs) => globs.iter().map(ToString::to_string).collect(),
        },
    };
    let roles = permit.grants.0.iter().map(role).collect();
    proto::WhoAmIResponse { identity: permit.who.to_string(), roles, dry_run: true }
}
