//! DNS, as the system is configured: names to addresses, and services to the hosts that offer them.
//!
//! Nothing is cached here: upstream connections cache for seconds what they ask for, and discovery
//! follows names and asks again when answers expire.

mod answer;
mod lookup_slots;
mod lookups;
mod search;
mod servers;
mod system;
mod transport;

use std::sync::Arc;

pub use answer::{Families, Found, Records, Srv};
pub use lookup_slots::LookupSlots;
pub use lookups::{Dns, LookingUp, Lookups, Nobody, Past};
pub use system::System;
pub use transport::FirstPart;

/// Why a look-up failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The name has no address (NXDOMAIN or no data).
    #[error("the name is unknown, or has no address")]
    Unknown,
    /// Timeout, or a quick look-up took too long and no slow slot was free.
    #[error("the name servers do not answer")]
    Silent,
    /// The servers, or the network, failed.
    #[error("the name could not be resolved: {0}")]
    Failed(Arc<str>),
}
