//! Text as people write it: parsing addresses, units and keyed settings, and "did you mean"
//! suggestions.

pub mod address;
pub mod keys;
mod listed;
mod params;
pub mod redact;
mod secret;
mod similar;
pub mod units;
pub mod yaml;

pub(crate) use listed::LISTED;
pub use listed::listed;
pub use params::{BadParams, ParamValue, Params};
pub(crate) use redact::Secret;
pub use secret::SecretText;
pub use similar::nearest;
pub(crate) use similar::{is_near, suggestion};
