//! Backends that sources tell of.

mod dns;
