//! The gateway as its users meet it: real processes, real sockets, real files.

// A failed expectation is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)]
// Tests may wait for each other and look at the clock.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod access;
mod audit;
mod certificates;
mod config;
mod control;
mod demo;
mod discovery;
mod docs;
mod gateway;
mod http2_oracle;
mod planted;
mod process;
mod readme;
mod reload;
mod support;
mod telemetry;
mod tidy;
