//! What people write and read: addresses, units, settings by key, and the word that they probably
//! meant.

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
