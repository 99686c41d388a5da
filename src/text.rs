//! What people write and read: addresses, units, settings by key, and the word that they probably
//! meant.

pub mod address;
pub mod hidden;
pub mod keys;
mod listed;
mod params;
mod similar;
pub mod units;

pub use hidden::Hidden;
pub use listed::{LISTED, listed};
pub use params::{BadParam, BadParams, ParamValue, Params};
pub use similar::{is_near, nearest, suggestion};
