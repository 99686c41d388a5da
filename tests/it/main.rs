//! Integration tests: real servers on port 0.

mod control;
