//! The running gateway between real clients and real backends.

mod backends;
mod breaks;
mod cancel;
mod relay;
mod routing;
mod tls;
mod wire;
