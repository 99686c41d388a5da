//! Connections to one endpoint on one worker.

mod settings;

pub use settings::{Settings, Tls};
