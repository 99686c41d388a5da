//! The initial classification of an attempt.

use super::super::method_metrics::CalledMethod;
use crate::model::ExchangeClass;

/// The initial classification of an attempt.
pub struct InitialClass {
    pub class: ExchangeClass,
    /// Whether the outcome may update the learned streaming methods.
    pub may_learn: bool,
    /// The gRPC method, for its metrics.
    pub called: Option<CalledMethod>,
}

impl InitialClass {
    /// For requests that are not gRPC.
    pub const HTTP: InitialClass =
        InitialClass { class: ExchangeClass::Call, may_learn: false, called: None };
}
