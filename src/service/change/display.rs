//! Changes as text, for the log and the audit.

use std::fmt;

use super::{Change, clip};
use crate::text::{listed as list, units};

/// For the log; truncated, however long the request was.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weighted = |(address, weight): (&str, u32)| format!("{}={weight}", clip(address));
        match self {
            Change::SetWeights(weights) => {
                let weights = weights.iter().map(|(address, weight)| (&**address, *weight));
                write!(f, "set weights {}", list(weights.map(weighted).collect()))
            }
            Change::Drain { address, timeout: None } => write!(f, "drain `{}`", clip(address)),
            Change::Drain { address, timeout: Some(timeout) } => {
                write!(f, "drain `{}` within {}", clip(address), units::show_duration(*timeout))
            }
            Change::Undrain(address) => write!(f, "undrain `{}`", clip(address)),
            Change::Eject { address, time: None } => write!(f, "eject `{}`", clip(address)),
            Change::Eject { address, time: Some(time) } => {
                write!(f, "eject `{}` for {}", clip(address), units::show_duration(*time))
            }
            Change::Heal(address) => write!(f, "heal `{}`", clip(address)),
            Change::Add(backends) => {
                let backends = backends.iter().map(|backend| (&*backend.address, backend.weight));
                write!(f, "add {}", list(backends.map(weighted).collect()))
            }
            Change::Remove(addresses) => {
                write!(f, "remove {}", list(addresses.iter().map(|a| clip(a)).collect()))
            }
            Change::SetPolicy { policy, .. } => write!(f, "set policy `{}`", clip(policy)),
            Change::Revert(revision) => write!(f, "revert revision {revision}"),
            Change::Reset(addresses) if addresses.is_empty() => f.write_str("reset all"),
            Change::Reset(addresses) => {
                write!(f, "reset {}", list(addresses.iter().map(|a| clip(a)).collect()))
            }
        }
    }
}
