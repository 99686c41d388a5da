//! The initial classification of an attempt.

use super::super::calls::Called;
use crate::model::ExchangeClass;

/// The initial classification of an attempt.
pub struct Beginning {
    pub class: ExchangeClass,
    /// Whether the outcome may update the learned streaming methods.
    pub learning: bool,
    /// The gRPC method, for its metrics.
    pub called: Option<Called>,
}

impl Beginning {
    /// For requests that are not gRPC.
    pub const HTTP: Beginning =
        Beginning { class: ExchangeClass::Call, learning: false, called: None };
}
