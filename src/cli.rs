//! The commands.

pub mod ctl;
