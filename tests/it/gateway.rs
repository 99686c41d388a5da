//! The running gateway between real clients and real backends.

mod relay;
