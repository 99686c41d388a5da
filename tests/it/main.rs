//! Integration tests: real servers on port 0.

// A failed expectation is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod control;
mod telemetry;
