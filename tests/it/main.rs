//! The gateway as its users meet it: real processes, real sockets, real files.

// A failed expectation is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod config;
mod control;
mod demo;
mod telemetry;
