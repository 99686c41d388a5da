//! The running gateway between real clients and real backends.

mod backends;
mod balancing;
mod breaks;
mod cancel;
mod relay;
mod routing;
mod steer;
mod tls;
mod wire;
