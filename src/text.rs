//! Text as people write it: parsing addresses, units and keyed settings, and "did you mean"
//! suggestions.

pub mod address;
pub mod hidden;
pub mod keys;
mod listed;
mod params;
mod similar;
pub mod units;

pub(crate) use hidden::Hidden;
pub(crate) use listed::LISTED;
pub use listed::listed;
pub use params::{BadParams, ParamValue, Params};
pub use similar::nearest;
pub(crate) use similar::{is_near, suggestion};
