//! What an attempt begins as.

use super::super::calls::Called;
use crate::model::ExchangeClass;

/// What an attempt begins as.
pub struct Beginning {
    /// Call or stream.
    pub class: ExchangeClass,
    /// Whether the exchange may teach if its method streams.
    pub learning: bool,
    /// Its method, if it is gRPC, to be counted by.
    pub called: Option<Called>,
}

impl Beginning {
    /// A request that is not gRPC.
    pub const HTTP: Beginning =
        Beginning { class: ExchangeClass::Call, learning: false, called: None };
}
